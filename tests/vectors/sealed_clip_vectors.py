"""The sealed-clip vectors: one input, one outcome, one named reason.

A second implementation from docs/spec/sealed-clip.md and the RFCs: it shares no line with the product. Everything is
fixed, the ephemeral keys of HPKE too, so the files come out the same byte for byte.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
import zlib
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CLIP_KEY = bytes(range(32))
OWNER = X25519PrivateKey.from_private_bytes(b"o" * 32)
RECOVERY = X25519PrivateKey.from_private_bytes(b"r" * 32)
STRANGER = X25519PrivateKey.from_private_bytes(b"s" * 32)


def b64u(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def public(key: X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def kid(key: X25519PrivateKey) -> bytes:
    return hashlib.sha256(public(key)).digest()[:16]


def extract(salt: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), ikm, "sha256")


def expand(prk: bytes, info: bytes, length: int) -> bytes:
    out, block = b"", b""
    while len(out) < length:
        block = hmac.digest(prk, block + info + bytes([len(out) // 32 + 1]), "sha256")
        out += block
    return out[:length]


def hpke_seal(plaintext: bytes, recipient: bytes, info: bytes, ephemeral: X25519PrivateKey) -> bytes:
    """RFC 9180, base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM."""
    kem_id, suite_id = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x02"

    def labeled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
        return extract(salt, b"HPKE-v1" + suite + label + ikm)

    def labeled_expand(suite: bytes, prk: bytes, label: bytes, context: bytes, length: int) -> bytes:
        return expand(prk, struct.pack(">H", length) + b"HPKE-v1" + suite + label + context, length)

    enc = public(ephemeral)
    dh = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
    eae = labeled_extract(kem_id, b"", b"eae_prk", dh)
    shared = labeled_expand(kem_id, eae, b"shared_secret", enc + recipient, 32)
    context = b"\x00" + labeled_extract(suite_id, b"", b"psk_id_hash", b"")
    context += labeled_extract(suite_id, b"", b"info_hash", info)
    secret = labeled_extract(suite_id, shared, b"secret", b"")
    key = labeled_expand(suite_id, secret, b"key", context, 32)
    nonce = labeled_expand(suite_id, secret, b"base_nonce", context, 12)
    return enc + AESGCM(key).encrypt(nonce, plaintext, b"")


def header(**changes: Any) -> bytes:
    fields = {
        "format": "doorward.clip.v1",
        "suite": "X25519-HKDF-SHA256-AES-256-GCM",
        "clip": b64u(b"c" * 16),
        "device": b64u(b"d" * 16),
        "sequence": 7,
        "previous": b64u(b"p" * 32),
        "start": "2026-11-23T14:12:10.25Z",
        "trust": "synchronised",
        "boot": b64u(b"b" * 16),
        "boot_us": 123456789,
        "owners": b64u(b"w" * 32),
        "recipients": [b64u(kid(OWNER)), b64u(kid(RECOVERY))],
    } | changes
    return json.dumps({k: v for k, v in fields.items() if v is not None}).encode()


HEADER = header()
HH = hashlib.sha256(HEADER).digest()


def wraps(of: bytes = HEADER) -> bytes:
    hh = hashlib.sha256(of).digest()
    sealed = b""
    for n, key in enumerate((OWNER, RECOVERY)):
        ephemeral = X25519PrivateKey.from_private_bytes(bytes([65 + n]) * 32)
        sealed += hpke_seal(CLIP_KEY, public(key), b"doorward clip key v1" + hh + kid(key), ephemeral)
    return sealed


def secret(track: int, index: int) -> bytes:
    return expand(extract(HH, CLIP_KEY), b"doorward record v1" + struct.pack(">BQ", track, index), 32)


def record(track: int, index: int, text: bytes, **changes: Any) -> bytes:
    f = {"magic": b"DWRC", "hh": HH, "flags": 1, "zero": 0, "start": index * 10**9, "duration": 10**9} | changes
    key_commit = expand(secret(track, index), b"doorward seal v1", 64)
    head = struct.pack(
        ">4s32sBBHQqQI", f["magic"], f["hh"], track, f["flags"], f["zero"], index, f["start"], f["duration"],
        f.get("length", len(text) + 16),
    )  # fmt: skip
    return head + key_commit[32:] + AESGCM(key_commit[:32]).encrypt(bytes(12), text, head)


def frame(data: bytes) -> bytes:
    return data + struct.pack(">I", zlib.crc32(data))


def clip_file(*frames: bytes) -> bytes:
    preamble = b"DWCLIP\x00\x01" + struct.pack(">I", len(HEADER)) + HEADER + wraps()
    return frame(preamble) + b"".join(frames)


def manifest(text: bytes = b"a.b.c") -> bytes:
    return frame(b"DWMF" + struct.pack(">I", len(text)) + text)


def filled(data: bytes) -> bytes:
    """Zeros up to the next multiple of 4096."""
    return data + bytes(-len(data) % 4096)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def header_vectors() -> dict[str, dict[str, Any]]:
    def case(reason: str, data: bytes, *, good: bool = False) -> dict[str, Any]:
        return {"what": "header", "reason": reason, "input": data.hex(), "outcome": "accepted" if good else "corrupt"}

    many = [b64u(bytes([n]) * 16) for n in range(17)]
    return {
        "header": case("every field as specified", HEADER, good=True),
        "header-first-clip": case("no clip before", header(previous=""), good=True),
        "header-other-format": case("another version", header(format="doorward.clip.v2")),
        "header-other-suite": case("another cipher suite", header(suite="X25519-HKDF-SHA256-AES-128-GCM")),
        "header-more": case("a field the version does not have", header(more=1)),
        "header-less": case("a field is missing", header(boot=None)),
        "header-short-id": case("a clip id of 15 bytes", header(clip=b64u(b"c" * 15))),
        "header-id-as-option": case("an id that begins with '-'", header(clip="-" + b64u(b"c" * 16)[1:])),
        "header-padded-id": case("base64url with padding", header(device=b64u(b"d" * 16) + "==")),
        "header-sequence-0": case("numbers begin at 1", header(sequence=0)),
        "header-no-zone": case("a time without zone", header(start="2026-11-23T14:12:10")),
        "header-trust": case("an unknown trust", header(trust="certain")),
        "header-boot-negative": case("a clock before its beginning", header(boot_us=-1)),
        "header-nobody": case("nobody can open it", header(recipients=[])),
        "header-twice": case("the same recipient twice", header(recipients=[b64u(kid(OWNER))] * 2)),
        "header-too-many": case("17 recipients", header(recipients=many)),
        "header-16-recipients": case("as many as there may be", header(recipients=many[:16]), good=True),
        "header-not-json": case("not JSON", b"DWCLIP"),
        "header-too-large": case("over 16 KiB", HEADER + b" " * 16384),
    }


def wrap_vectors() -> dict[str, dict[str, Any]]:
    good = wraps()

    def case(reason: str, key: X25519PrivateKey, sealed: bytes, opens: bool, head: bytes = HEADER) -> dict[str, Any]:
        outcome = {"clip_key": CLIP_KEY.hex()} if opens else "corrupt"
        private = key.private_bytes_raw().hex()
        return {
            "what": "wrap", "reason": reason, "header": head.hex(), "wraps": sealed.hex(), "private": private,
            "outcome": outcome,
        }  # fmt: skip

    return {
        "wrap-owner": case("the first recipient", OWNER, good, True),
        "wrap-recovery": case("the recovery code's key", RECOVERY, good, True),
        "wrap-stranger": case("not a recipient", STRANGER, good, False),
        "wrap-exchanged": case("wraps in another order", OWNER, good[80:] + good[:80], False),
        "wrap-altered": case("one bit of the ciphertext", OWNER, flipped(good, 40), False),
        "wrap-other-header": case("header altered after sealing", OWNER, good, False, header(sequence=8)),
        "wrap-cut-short": case("a wrap is missing", OWNER, good[:80], False),
        "wrap-one-byte-more": case("more than the wraps", OWNER, good + b"\x00", False),
    }


def record_vectors() -> dict[str, dict[str, Any]]:
    text = b"one second of video"
    good = record(1, 3, text)

    def case(reason: str, data: bytes, *, key: bytes | None = None, opens: bytes | None = None) -> dict[str, Any]:
        outcome = "corrupt" if opens is None else {"plaintext": opens.hex()}
        found = {"what": "record", "reason": reason, "secret": (key or secret(1, 3)).hex(), "input": data.hex()}
        return found | {"outcome": outcome}

    return {
        "record": case("as specified", good, opens=text),
        "record-empty": case("nothing in it", record(1, 3, b""), opens=b""),
        "record-init": case("an init segment", record(1, 0, text, flags=2), key=secret(1, 0), opens=text),
        "record-before-zero": case("starts before time zero", record(1, 3, text, start=-5), opens=text),
        "record-audio": case(
            "another track's record under its own key", record(2, 3, text), key=secret(2, 3), opens=text
        ),
        "record-picture": case(
            "a poster under its own key", record(3, 0, text, flags=0, duration=0), key=secret(3, 0), opens=text
        ),
        "record-of-neighbour": case("the next record's key", good, key=secret(1, 4)),
        "record-of-other-track": case("the audio key of the same number", good, key=secret(2, 3)),
        "record-commitment": case("one bit of the commitment", flipped(good, 70)),
        "record-commitment-only": case(
            "right ciphertext, commitment of another key", good[:68] + bytes(32) + good[100:]
        ),
        "record-ciphertext": case("one bit of the ciphertext", flipped(good, 105)),
        "record-tag": case("one bit of the tag", flipped(good, len(good) - 1)),
        "record-start": case("one bit of its start time", flipped(good, 50)),
        "record-index": case("one bit of its number", flipped(good, 47)),
        "record-cut-short": case("a byte is missing", good[:-1]),
        "record-one-byte-more": case("a byte too many", good + b"\x00"),
        "record-magic": case("another magic", record(1, 3, text, magic=b"DWRD")),
        "record-flag": case("a flag the version does not have", record(1, 3, text, flags=4)),
        "record-reserved": case("the reserved bytes are not zero", record(1, 3, text, zero=1)),
        "record-track-4": case("a track that does not exist", record(4, 3, text), key=secret(4, 3)),
        "record-index-4096": case("beyond the last possible number", record(1, 4096, text), key=secret(1, 4096)),
        "record-length-15": case("shorter than a tag", record(1, 3, text, length=15)),
        "record-too-long": case("a body over 16 MiB", record(1, 3, text, length=16 * 1024 * 1024 + 1)),
    }


def about_vectors() -> dict[str, dict[str, Any]]:
    def about(labels: Any, motion: Any, **more: Any) -> bytes:
        return json.dumps({"format": "doorward.about.v1", "labels": labels, "motion": motion} | more).encode()

    def case(reason: str, data: bytes, labels: list[str] | None = None) -> dict[str, Any]:
        outcome: Any = "corrupt" if labels is None else {"labels": labels}
        return {"what": "about", "reason": reason, "input": data.hex(), "outcome": outcome}

    good = about(["person", "ring"], [[5, 9]])
    return {
        "about": case("as specified", good.ljust(512), ["person", "ring"]),
        "about-not-rounded": case("the length of version 1.0's writer", good, ["person", "ring"]),
        "about-nothing": case("no label, no motion", about([], []).ljust(512), []),
        "about-word-unknown": case("a label of a newer writer", about(["parcel"], []), ["parcel"]),
        "about-label-capital": case("a capital letter", about(["Person"], [])),
        "about-label-long": case("33 letters", about(["a" * 33], [])),
        "about-label-empty": case("no letter", about([""], [])),
        "about-label-line": case("a line end behind the word", about(["person\n"], [])),
        "about-label-twice": case("the same label twice", about(["ring", "ring"], [])),
        "about-labels-16": case("as many as there may be", about([c * 2 for c in "abcdefghijklmnop"], []),
                                [c * 2 for c in "abcdefghijklmnop"]),
        "about-labels-17": case("one too many", about([c * 2 for c in "abcdefghijklmnopq"], [])),
        "about-motion-backwards": case("motion ends before it starts", about([], [[9, 5]])),
        "about-motion-far": case("motion beyond any clip", about([], [[0, 600 * 10**9 + 1]])),
        "about-more": case("a name the version does not have", about([], [], more=1)),
        "about-format": case("another format", about([], []).replace(b"v1", b"v2")),
        "about-behind": case("something other than spaces behind it", good + b"x"),
    }  # fmt: skip


def poster_vectors() -> dict[str, dict[str, Any]]:
    def case(reason: str, data: bytes, *, good: bool = False) -> dict[str, Any]:
        outcome = "accepted" if good else "corrupt"
        return {"what": "poster", "reason": reason, "input": data.hex(), "outcome": outcome}

    jpeg = b"\xff\xd8\xff\xe0 picture \xff\xd9"
    return {
        "poster": case("begins and ends as JPEG files do", jpeg, good=True),
        "poster-png": case("another kind of picture", b"\x89PNG\r\n\x1a\n"),
        "poster-cut": case("its end is missing", jpeg[:-2]),
        "poster-empty": case("nothing", b""),
    }


def file_vectors() -> dict[str, dict[str, Any]]:
    r0, r1 = record(1, 0, b"init", flags=2, duration=0, start=0), record(1, 1, b"fragment")
    whole = clip_file(frame(r0), frame(r1), manifest())

    def case(
        reason: str, data: bytes, records: int | None, has_manifest: bool = False, good: int = -1
    ) -> dict[str, Any]:
        outcome: Any = "corrupt"
        if records is not None:
            outcome = {"records": records, "manifest": has_manifest, "good_bytes": len(data) if good < 0 else good}
        return {"what": "file", "reason": reason, "input": data.hex(), "outcome": outcome}

    empty, one = len(clip_file()), len(clip_file(frame(r0)))
    torn = whole[: one + 60]
    zeroed = clip_file(frame(r0)) + bytes(200)
    gap = clip_file(frame(r0), frame(record(1, 2, b"fragment")))
    foreign = clip_file(frame(r0), frame(record(1, 1, b"fragment", hh=bytes(32))))
    first = filled(clip_file(frame(r0)))
    both = filled(first + frame(r1))
    return {
        "file": case("two records and a manifest", whole, 2, True),
        "file-growing": case("no manifest yet", clip_file(frame(r0), frame(r1)), 2),
        "file-only-preamble": case("no record yet", clip_file(), 0),
        "file-torn": case("power was lost inside the second record", torn, 1, good=one),
        "file-zeroed": case("the file system gave zeros", zeroed, 1, good=one),
        "file-crc": case("one bit of a record", flipped(whole, one + 80), 1, good=one),
        "file-gap": case("record 1 is missing", gap, 1, good=one),
        "file-foreign": case("a record of another clip", foreign, 1, good=one),
        "file-after-manifest": case("bytes behind the manifest", whole + b"more", 2, True, good=len(whole)),
        "file-manifest-crc": case("one bit of the manifest", flipped(whole, len(whole) - 6), 2, good=len(whole) - 17),
        "file-filled": case("each record reaches to the end of its page", both + manifest(), 2, True),
        "file-filled-growing": case("no manifest yet, filled", first, 1),
        "file-filled-once": case("only one of two records is filled", first + frame(r1) + manifest(), 2, True),
        "file-filled-torn": case("a zero byte is missing at the end", first[:-1], 1, good=one),
        "file-filled-short": case("a frame before the filling's end", first[:-1] + frame(r1), 1, good=one),
        "file-filled-not-zero": case("one bit of the filling", flipped(both, one + 9), 1, good=one),
        "file-filled-twice": case("a page of zeros behind the filling", first + bytes(4096), 1, good=len(first)),
        "file-no-magic": case("not a clip", b"RIFF" + whole[4:], None),
        "file-preamble-torn": case("cut off inside the wraps", whole[: empty - 30], None),
        "file-preamble-crc": case("one bit of the header", flipped(whole, 30), None),
        "file-empty": case("nothing", b"", None),
    }


def vectors() -> list[tuple[str, dict[str, Any]]]:
    found = header_vectors() | wrap_vectors() | record_vectors() | about_vectors() | poster_vectors() | file_vectors()
    return list(found.items())
