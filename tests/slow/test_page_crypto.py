"""What the page seals, opens and signs, against a second implementation of the specification.

The other side is written here with `cryptography` alone, from docs/spec, and shares no code with agent/core: where the
page, this file and the specification agree, the specification is enough to build from.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import random
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from tests.conftest import ROOT
from tests.page_bench import Bench
from tests.page_home import chromium

pytestmark = pytest.mark.slow

HPKE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with chromium() as browser, Bench(browser) as made:
        made.run("window.keys = await identity.makeKeys();")
        yield made


# -- the second implementation


def b64u(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_b64u(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def kid(public: bytes) -> str:
    return b64u(sha256(public)[:16])


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def jws(typ: str, payload: Any, key: Ed25519PrivateKey, **changes: Any) -> str:
    head = {"alg": "Ed25519", "typ": f"doorward.{typ}.v1", "kid": kid(key.public_key().public_bytes_raw())} | changes
    signed = f"{b64u(compact(head))}.{b64u(compact(payload))}"
    return f"{signed}.{b64u(key.sign(signed.encode()))}"


def read_jws(typ: str, token: str, key: bytes) -> Any:
    head, payload, signature = token.split(".")
    assert json.loads(from_b64u(head)) == {"alg": "Ed25519", "typ": f"doorward.{typ}.v1", "kid": kid(key)}
    Ed25519PublicKey.from_public_bytes(key).verify(from_b64u(signature), f"{head}.{payload}".encode())
    return json.loads(from_b64u(payload))


def code(secret: bytes, label: bytes) -> str:
    check = int.from_bytes(sha256(label + secret)[:2], "big") >> 4
    bits = int.from_bytes(secret, "big") << 12 | check
    letters = [CROCKFORD[bits >> shift & 31] for shift in range(135, -1, -5)]
    return "-".join("".join(letters[i : i + 4]) for i in range(0, 28, 4))


def owner_of(bench: Bench) -> dict[str, str]:
    found: dict[str, str] = bench.run("return identity.publicHalf(window.keys);")
    return found


class SealedClip:
    """A clip sealed by the letter of docs/spec/sealed-clip.md, served from memory."""

    def __init__(self, device: Ed25519PrivateKey, recipients: list[bytes], plaintexts: list[bytes]) -> None:
        self.clip = b64u(os.urandom(16))
        self.key = os.urandom(32)
        device_id = kid(device.public_key().public_bytes_raw())
        self.header = compact(
            {
                "format": "doorward.clip.v1", "suite": "X25519-HKDF-SHA256-AES-256-GCM", "clip": self.clip,
                "device": device_id, "sequence": 7, "previous": "", "start": "2026-11-23T14:12:10.25Z",
                "trust": "synchronised", "boot": b64u(os.urandom(16)), "boot_us": 12, "owners": b64u(os.urandom(32)),
                "recipients": [kid(public) for public in recipients],
            }
        )  # fmt: skip
        self.hh = sha256(self.header)
        self.wraps = b"".join(
            HPKE.encrypt(
                self.key,
                X25519PublicKey.from_public_bytes(public),
                b"doorward clip key v1" + self.hh + from_b64u(kid(public)),
            )
            for public in recipients
        )
        self.records = [self._record(i, data) for i, data in enumerate(plaintexts)]
        self.manifest: dict[str, Any] = {
            "clip": self.clip, "header": b64u(self.hh), "ended": "closed",
            "records": {"video": [b64u(sha256(record)) for record in self.records]},
            "duration_ns": 10**9 * len(plaintexts), "motion": [[10**9, 2 * 10**9]], "gaps": [[5, 9, "lost"]],
            "clock": {"start": "2026-11-23T14:12:10.25Z", "trust": "synchronised"},
        }  # fmt: skip
        self.device = device

    def secret(self, index: int) -> bytes:
        prk = hmac.digest(self.hh, self.key, "sha256")
        return HKDFExpand(SHA256(), 32, b"doorward record v1" + struct.pack(">BQ", 1, index)).derive(prk)

    def _record(self, index: int, plaintext: bytes, secret: bytes | None = None, commit: bytes | None = None) -> bytes:
        both = HKDFExpand(SHA256(), 64, b"doorward seal v1").derive(secret or self.secret(index))
        start, duration = (0, 0) if index == 0 else ((index - 1) * 10**9, 10**9)
        flags = 2 if index == 0 else index % 2  # every other record begins with a key frame
        head = b"DWRC" + self.hh + struct.pack(">BBHQqQI", 1, flags, 0, index, start, duration, len(plaintext) + 16)
        return head + (commit or both[32:]) + AESGCM(both[:32]).encrypt(bytes(12), plaintext, head)

    def served(self) -> dict[str, Any]:
        """As the owner API would tell it; `file` is what `sealed` would be, with frames' CRCs between the records."""
        places, file = [], b"preamble"
        for index, record in enumerate(self.records):
            flags, start, duration = record[37], *struct.unpack(">qQ", record[48:64])
            places.append({"track": "video", "index": index, "flags": flags, "start_ns": start,
                           "duration_ns": duration, "offset": len(file), "length": len(record)})  # fmt: skip
            file += record + b"\0\0\0\0"
        when = "2026-11-23T14:12:10.25Z"
        summary = {"id": self.clip, "start": when, "end": when, "motion_start": None, "motion_end": None, "bytes": 1,
                   "records": len(places), "labels": [], "held": False, "time_trust": "synchronised",
                   "earliest": None, "latest": None,
                   "state": "closed"}  # fmt: skip
        detail = {"summary": summary, "header": b64u(self.header), "wraps": b64u(self.wraps),
                  "manifest": jws("manifest", self.manifest, self.device), "records": places}  # fmt: skip
        key = self.device.public_key().public_bytes_raw()
        return {"clip": self.clip, "detail": detail, "file": file.hex(), "device": {"id": kid(key), "key": b64u(key)}}


OPEN = """
const file = raw(it.file);
const session = {
  doorbell: { ...it.device, keys: window.keys },
  get: async (path, reader) => reader(it.detail, path),
  stretch: async (path, offset, length) => file.slice(offset, offset + length),
};
const opened = await clip.openClip(session, it.clip);
"""
READ = """
const all = [];
for await (const { data } of opened.records("video", 0, 99)) all.push(hex(data));
"""


@pytest.fixture
def device() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def sealed(bench: Bench, device: Ed25519PrivateKey) -> SealedClip:
    other = X25519PrivateKey.generate().public_key().public_bytes_raw()
    own = from_b64u(owner_of(bench)["opens"])
    return SealedClip(device, [other, own], [os.urandom(50), b"", *(os.urandom(1000 + i) for i in range(5))])


# -- HPKE


def test_hpke_keeps_to_the_published_vector(bench: Bench) -> None:
    vector = json.loads((ROOT / "tests/vectors/hpke/base-x25519-sha256-aes256gcm.json").read_text())
    found = bench.run(
        """
        const seed = raw("302e020100300506032b656e04220420" + it.skRm);
        const key = await crypto.subtle.importKey("pkcs8", seed, { name: "X25519" }, false, ["deriveBits"]);
        const secret = await hpke.sharedSecret(key, raw(it.enc), raw(it.enc), raw(it.pkRm));
        const context = await hpke.schedule(secret, raw(it.info));
        return { shared_secret: hex(secret), key: hex(context.key), base_nonce: hex(context.nonce) };
        """,
        vector,
    )
    assert found == {name: vector[name] for name in ("shared_secret", "key", "base_nonce")}
    first = vector["encryptions"][0]
    opened = AESGCM(bytes.fromhex(found["key"])).decrypt(
        bytes.fromhex(found["base_nonce"]), bytes.fromhex(first["ct"]), bytes.fromhex(first["aad"])
    )
    assert opened.hex() == first["pt"]


@pytest.mark.parametrize("size", [0, 1, 32, 4096])
def test_hpke_both_ways(bench: Bench, size: int) -> None:
    plaintext, info = os.urandom(size), os.urandom(70)
    there = X25519PrivateKey.generate()
    sealed = bench.run(
        "return hex(await hpke.seal(raw(it[0]), raw(it[1]), raw(it[2])));",
        [plaintext.hex(), there.public_key().public_bytes_raw().hex(), info.hex()],
    )
    assert len(bytes.fromhex(sealed)) == 48 + size
    assert HPKE.decrypt(bytes.fromhex(sealed), there, info) == plaintext

    own = from_b64u(owner_of(bench)["opens"])
    back = HPKE.encrypt(plaintext, X25519PublicKey.from_public_bytes(own), info)
    opened = bench.run(
        """
        const own = await identity.rawPublic(window.keys.opens);
        const open = (sealed, info) => hpke.open(raw(sealed), window.keys.opens.privateKey, own, raw(info));
        const flipped = at => { const data = raw(it[0]); data[at] ^= 1; return hex(data); };
        return [hex(await open(it[0], it[1])), await refused(() => open(it[0], it[1] + "00")),
                await refused(() => open(flipped(5), it[1])), await refused(() => open(flipped(40), it[1]))];
        """,
        [back.hex(), info.hex()],
    )
    assert opened[0] == plaintext.hex()
    assert all(refusal is not None and refusal[0] == "Corrupt" for refusal in opened[1:])


def test_a_useless_public_key_is_refused(bench: Bench) -> None:
    for point in (bytes(32), b"\1" + bytes(31)):
        refusal = bench.run("return refused(() => hpke.seal(raw(''), raw(it), raw('')));", point.hex())
        assert refusal == ["Corrupt", "this is not a usable X25519 key"]


# -- encodings


def test_b64u_has_one_spelling(bench: Bench) -> None:
    values = [os.urandom(n) for n in range(40)]
    texts = [b64u(v) for v in values]
    assert bench.run("return it.map(t => encoding.b64u(raw(t)));", [v.hex() for v in values]) == texts
    assert bench.run("return it.map(t => hex(encoding.fromB64u(t)));", texts) == [v.hex() for v in values]
    wrong = ["A", "AAAAA", "AB", "AAB", "AA==", "A A", "A+", "A/", "Ä", "AA\n"]
    refusals = bench.run("return Promise.all(it.map(t => refused(() => encoding.fromB64u(t))));", wrong)
    assert [r and r[0] for r in refusals] == ["Corrupt"] * len(wrong)


def test_times_to_the_nanosecond(bench: Bench) -> None:
    known = {
        "2026-11-23T14:12:10.25Z": "1795443130250000000",
        "1970-01-01T00:00:00Z": "0",
        "2024-02-29T23:59:59.999999999Z": "1709251199999999999",
        "1969-12-31T23:59:59.5Z": "-500000000",
    }
    there = bench.run("return it.map(t => String(encoding.parseTime(t)));", list(known))
    assert there == list(known.values())
    assert bench.run("return it.map(t => encoding.formatTime(BigInt(t)));", list(known.values())) == list(known)
    wrong = ["2026-11-23T14:12:10", "2026-11-23T14:12:10+01:00", "2026-02-30T00:00:00Z", "2026-11-23T24:00:00Z",
             "2026-11-23 14:12:10Z", "2026-11-23T14:12:10.1234567890Z", ""]  # fmt: skip
    refusals = bench.run("return Promise.all(it.map(t => refused(() => encoding.parseTime(t))));", wrong)
    assert [r and r[0] for r in refusals] == ["Corrupt"] * len(wrong)


# -- statements


def test_statements_both_ways(bench: Bench, device: Ed25519PrivateKey) -> None:
    key = from_b64u(owner_of(bench)["decides"])
    payload = {"text": "Zoë → 門", "n": 1}
    token = bench.run(
        "return statements.sign('session', it[0], window.keys.decides.privateKey, it[1]);", [payload, kid(key)]
    )
    assert read_jws("session", token, key) == payload
    with pytest.raises(InvalidSignature):
        read_jws("session", token[:-10] + ("A" if token[-10] != "A" else "B") + token[-9:], key)

    public = device.public_key().public_bytes_raw().hex()
    token = jws("request", payload, device)
    said = bench.run("return statements.verify('request', it[0], [raw(it[1])]);", [token, public])
    assert said == payload


def test_statements_that_are_not_ours_are_refused(bench: Bench, device: Ed25519PrivateKey) -> None:
    other = Ed25519PrivateKey.generate()
    good = jws("request", {"n": 1}, device)
    head, _, signature = good.split(".")
    wrong = {
        "bad-signature": [f"{head}.{b64u(b'{}')}.{signature}"],
        "unknown-signer": [jws("request", {}, other), jws("request", {}, device, kid=kid(bytes(32)))],
        "wrong-type": [jws("requester", {}, device)],
        "malformed": [
            jws("request", {}, device, alg="none"),
            jws("request", {}, device, alg="EdDSA"),
            jws("request", {}, device, alg="HS256"),
            jws("request", {}, device, crit=["b64"]),
            jws("request", {}, device, jwk={}),
            good + ".x",
            f"{good}=",
            good.replace(".", ""),
            "",
        ],
        "too-large": [jws("request", {"x": "a" * 70_000}, device)],
    }
    body = """
    const said = [];
    for (const token of it.tokens) {
      try { await statements.verify("request", token, [raw(it.key)]); said.push("accepted"); }
      catch (e) { said.push(e.reason ?? String(e)); }
    }
    return said;
    """
    key = device.public_key().public_bytes_raw().hex()
    for reason, tokens in wrong.items():
        assert bench.run(body, {"tokens": tokens, "key": key}) == [reason] * len(tokens)
    weak = [
        bytes(32),
        bytes([1]) + bytes(31),
        bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
    ]
    for point in weak:
        token = jws("request", {}, device, kid=kid(point))
        assert bench.run(body, {"tokens": [token], "key": point.hex()}) == ["weak-key"]


# -- identity


def test_a_new_recovery_code_has_no_key_that_a_browser_loses(bench: Bench) -> None:
    """Bytes that stand for an "opens" key with a zero byte in front, a "decides" key with one, and for neither."""
    drawn = [number.to_bytes(16, "big").hex() for number in (544, 42, 1)]
    made = bench.run(
        """
        const left = it.map(raw);
        const random = crypto.getRandomValues;
        crypto.getRandomValues = (room) => (room.set(left.shift()), room);
        try { return hex(await identity.newRecoverySecret()); } finally { crypto.getRandomValues = random; }
        """,
        drawn,
    )
    assert made == drawn[2]


def test_recovery_code_and_the_keys_it_stands_for(bench: Bench) -> None:
    secret = os.urandom(16)
    written = bench.run("return identity.recoveryCode(raw(it));", secret.hex())
    assert written == code(secret, b"doorward recovery check v1")

    def derive(info: bytes) -> bytes:
        return HKDF(SHA256(), 32, b"doorward recovery v1", info).derive(secret)

    assert bench.run("return identity.recoveryKeys(raw(it));", secret.hex()) == {
        "opens": b64u(X25519PrivateKey.from_private_bytes(derive(b"opens")).public_key().public_bytes_raw()),
        "decides": b64u(Ed25519PrivateKey.from_private_bytes(derive(b"decides")).public_key().public_bytes_raw()),
    }


def test_pairing_codes_are_read_with_forgiveness_and_checked(bench: Bench) -> None:
    secret = bytes(range(16))  # not random: one wrong code in 4,096 has a check that fits
    text = code(secret, b"doorward pairing check v1")
    for typed in (text, text.lower(), text.replace("-", " "), text.replace("0", "O").replace("1", "l")):
        assert bench.run("return hex(await identity.readPairingCode(it));", typed) == secret.hex()
    swapped = ("7" if text[0] != "7" else "8") + text[1:]
    for typed in (swapped, text[:-1], text + "A", "", "U" * 28, code(secret, b"doorward recovery check v1")):
        assert bench.run("return refused(() => identity.readPairingCode(it));", typed)[0] == "Corrupt"


def test_private_keys_cannot_be_taken_out(bench: Bench) -> None:
    refusals = bench.run(
        """
        const { opens, decides } = window.keys;
        const tries = ["pkcs8", "jwk"].flatMap(form => [opens, decides].map(pair =>
          refused(() => crypto.subtle.exportKey(form, pair.privateKey))));
        return Promise.all(tries);
        """
    )
    assert [r and r[0] for r in refusals] == ["DOMException"] * 4


# WebKit cannot read an X25519 key back; Chromium can, and is made to behave likewise.
BROKEN_CLONE = "globalThis.structuredClone = () => { throw new TypeError('Unable to deserialize data.'); };"


@pytest.mark.parametrize("broken", ["", BROKEN_CLONE])
def test_keys_survive_in_the_browser(bench: Bench, broken: str) -> None:
    found = bench.run(
        f"""
        const whole = globalThis.structuredClone;
        {broken}
        const keys = await identity.makeKeys();
        globalThis.structuredClone = whole;
        await keystore.remember({{ id: "x", key: "y", keys, owners: "z", log: null, askers: {{}} }});
        """
        + """
        const found = (await keystore.recall("x")).keys;
        const message = encoding.utf8("still here");
        const signature = await crypto.subtle.sign("Ed25519", found.decides.privateKey, message);
        const own = await identity.rawPublic(found.opens);
        const sealed = await hpke.seal(message, await identity.rawPublic(keys.opens), message);
        return {
          wrapped: "wrapping" in found.kept,
          signs: await crypto.subtle.verify("Ed25519", keys.decides.publicKey, signature, message),
          opens: hex(await hpke.open(sealed, found.opens.privateKey, own, message)),
          out: await refused(() => crypto.subtle.exportKey("pkcs8", found.opens.privateKey)),
          wrappingOut: found.kept.wrapping && await refused(() => crypto.subtle.exportKey("raw", found.kept.wrapping)),
        };
        """
    )
    assert found["wrapped"] is bool(broken)
    assert found["signs"] is True
    assert bytes.fromhex(found["opens"]) == b"still here"
    assert found["out"][0] == "DOMException"
    assert not broken or found["wrappingOut"][0] == "DOMException"


# -- the sealed clip


def test_a_sealed_clip_opens(bench: Bench, sealed: SealedClip) -> None:
    found = bench.run(
        OPEN
        + READ
        + """
        const secrets = await Promise.all(all.map((_, i) => opened.recordSecret("video", i)));
        return { secrets: secrets.map(hex), start: String(opened.startNs), count: all.length,
                 digest: hex(await opened.spanDigest("video", 2, 4)) };
        """,
        sealed.served(),
    )
    hashes = [sha256(record) for record in sealed.records]
    assert found["secrets"] == [sealed.secret(i).hex() for i in range(len(sealed.records))]
    assert found["digest"] == sha256(hashes[0] + b"".join(hashes[2:5])).hex()
    assert found["start"] == "1795443130250000000"


def test_the_plaintext_is_the_plaintext(bench: Bench, device: Ed25519PrivateKey) -> None:
    own = from_b64u(owner_of(bench)["opens"])
    content = [os.urandom(20), os.urandom(700_000), os.urandom(600_000), os.urandom(3)]  # more than one fetch
    found = bench.run(OPEN + READ + "return all;", SealedClip(device, [own], content).served())
    assert found == [data.hex() for data in content]


def _with_record(sealed: SealedClip, index: int, record: bytes, *, signed: bool) -> dict[str, Any]:
    sealed.records[index] = record
    if signed:  # a doorbell taken over could sign anything
        sealed.manifest["records"]["video"][index] = b64u(sha256(record))
    return sealed.served()


def _altered(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("at", [4, 36, 37, 38, 47, 55, 63, 67, 68, 99, 100, -1])
def test_no_bit_of_a_record_may_change(bench: Bench, sealed: SealedClip, at: int, signed: bool) -> None:
    record = sealed.records[3]
    served = _with_record(sealed, 3, _altered(record, at % len(record)), signed=signed)
    served["detail"]["records"][3].update(flags=1, start_ns=2 * 10**9, duration_ns=10**9)
    assert bench.run(f"return refused(async () => {{ {OPEN} {READ} }});", served)[0] == "Corrupt"


def test_the_commitment_comes_before_decryption(bench: Bench, sealed: SealedClip) -> None:
    """A record whose tag fits but whose commitment does not: one ciphertext may not be two films."""
    forged = sealed._record(3, b"another film", commit=os.urandom(32))
    served = _with_record(sealed, 3, forged, signed=True)
    refusal = bench.run(f"return refused(async () => {{ {OPEN} {READ} }});", served)
    assert refusal == ["Corrupt", "this key does not open this part of the video"]


def test_clips_that_do_not_hold_together_are_refused(bench: Bench, sealed: SealedClip) -> None:
    good = sealed.served()
    stranger = Ed25519PrivateKey.generate()
    only_other = SealedClip(sealed.device, [X25519PrivateKey.generate().public_key().public_bytes_raw()], [b"a"])
    wrong = {
        "signed by a stranger": {"manifest": jws("manifest", sealed.manifest, stranger)},
        "of another clip": {"manifest": jws("manifest", sealed.manifest | {"clip": b64u(bytes(16))}, sealed.device)},
        "of no header": {"manifest": jws("manifest", sealed.manifest | {"header": b64u(bytes(32))}, sealed.device)},
        "an unknown name": {"manifest": jws("manifest", sealed.manifest | {"x": 1}, sealed.device)},
        "a record left out": {"records": good["detail"]["records"][:-1]},
        "records in another order": {"records": good["detail"]["records"][::-1]},
        "another header": {"header": b64u(sealed.header.replace(b'"boot_us":12', b'"boot_us":13'))},
        "a wrap too few": {"wraps": b64u(sealed.wraps[:80])},
        "a broken wrap": {"wraps": b64u(_altered(sealed.wraps, len(sealed.wraps) - 1))},
        "still being recorded": {"manifest": None},
    }
    for name, change in wrong.items():
        refusal = bench.run(f"return refused(async () => {{ {OPEN} }});", good | {"detail": good["detail"] | change})
        assert refusal is not None, f"accepted: {name}"
        assert refusal[0] in ("Corrupt", "Refused"), name
    assert bench.run(f"return refused(async () => {{ {OPEN} }});", only_other.served())[0] == "Refused"


# -- request and decision


class Asker:
    """A requester by the letter of docs/spec."""

    def __init__(self) -> None:
        self.signs, self.opens = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
        self.opens_public = self.opens.public_key().public_bytes_raw()
        signs = self.signs.public_key().public_bytes_raw()
        self.id = kid(signs)
        self.card = {"id": self.id, "agency": "Agency", "signs": b64u(signs), "opens": b64u(self.opens_public),
                     "issued": "2026-01-01T00:00:00Z", "expires": "2028-01-01T00:00:00Z"}  # fmt: skip

    def request(self, **changes: Any) -> dict[str, Any]:
        return {
            "id": b64u(os.urandom(16)),
            "requester": {"id": self.id, "agency": "Agency", "officer": "", "contact": ""},
            "case_number": "C-1", "incident_type": "theft", "message": "Please",
            "area": {"type": "Circle", "center": [8.5, 47.3], "radius_m": 300},
            "from": "2026-11-23T14:00:00Z", "to": "2026-11-23T15:00:00Z",
            "issued": "2026-11-23T16:00:00Z", "expires": "2026-11-24T16:00:00Z",
            "key": b64u(self.opens_public), "purpose": "to find out", "retention": "", "replaces": "",
        } | changes  # fmt: skip

    def sent(self, **changes: Any) -> list[str]:
        return [jws("request", self.request(**changes), self.signs), jws("requester", self.card, self.signs)]


def test_requests_are_checked_again_on_the_phone(bench: Bench) -> None:
    asker, other = Asker(), Asker()
    check = "return refused(() => request.checkRequest(it[0], it[1]));"
    assert bench.run(check, asker.sent()) is None
    square = {"type": "Polygon", "coordinates": [[[8, 47], [8.1, 47], [8.1, 47.1], [8, 47]]]}
    assert bench.run(check, asker.sent(area=square)) is None
    wrong = [
        [jws("request", asker.request(), other.signs), asker.sent()[1]],
        [asker.sent()[0], other.sent()[1]],
        [asker.sent()[0], jws("requester", asker.card | {"opens": b64u(bytes(32))}, asker.signs)],
        [asker.sent()[0], jws("requester", asker.card | {"agency": "Somebody else"}, asker.signs)],
        [asker.sent()[0], jws("requester", other.card, asker.signs)],
        asker.sent(key=b64u(other.opens_public)),
        asker.sent(urgent=True),
        asker.sent(to="2026-11-23T13:00:00Z"),
        asker.sent(area={"type": "Circle", "center": [8.5, 97.3], "radius_m": 300}),
        asker.sent(area={"type": "Square"}),
        asker.sent(message=""),
    ]
    assert [bench.run(check, sent)[0] for sent in wrong] == ["Refused"] * len(wrong)


def test_the_phone_remembers_who_asked(bench: Bench) -> None:
    first, second = Asker(), Asker()
    found = bench.run(
        """
        const [one, two] = [await request.checkRequest(...it[0]), await request.checkRequest(...it[1])];
        const doorbell = { askers: {} };
        const before = request.acquaintance(doorbell, one);
        doorbell.askers[one.requester.id] = { agency: "AGENCY", since: "2026-11-23T00:00:00Z" };
        return [before, request.acquaintance(doorbell, one), request.acquaintance(doorbell, two)];
        """,
        [first.sent(), second.sent()],
    )
    assert found == [
        {"since": None, "otherKey": False},
        {"since": "2026-11-23T00:00:00Z", "otherKey": False},
        {"since": None, "otherKey": True},
    ]


def test_a_decision_releases_exactly_what_it_names(bench: Bench, sealed: SealedClip) -> None:
    asker = Asker()
    sent = asker.sent()
    found = bench.run(
        OPEN
        + """
        const asked = await request.checkRequest(...it.sent);
        return decision.decide(asked, session.doorbell, [{ clip: opened, first: 3, last: 5 }], 30, Date.now());
        """,
        sealed.served() | {"sent": sent},
    )
    said = read_jws("decision", found["decision"], from_b64u(owner_of(bench)["decides"]))
    hashes = [sha256(record) for record in sealed.records]
    digest = sha256(hashes[0] + b"".join(hashes[3:6]))
    assert said["request"] == b64u(sha256(sent[0].encode()))
    assert said["answer"] == "share"
    assert said["clips"] == [
        {"clip": sealed.clip, "header": b64u(sealed.hh),
         "tracks": [{"track": "video", "first": 3, "last": 5, "digest": b64u(digest)}]}
    ]  # fmt: skip
    assert (said["requester"], said["key"]) == (asker.id, kid(asker.opens_public))
    assert said["purpose"] == "to find out"
    assert set(said) == {"request", "device", "answer", "clips", "requester", "key", "purpose", "issued",
                         "not_before", "expires"}  # fmt: skip
    [release] = map(from_b64u, found["releases"])
    assert len(release) == 48 + 32 * 4
    info = b"doorward release v1" + sha256(found["decision"].encode()) + sealed.hh
    keys = HPKE.decrypt(release, asker.opens, info)
    assert keys == b"".join(sealed.secret(i) for i in (0, 3, 4, 5))


def test_a_no_names_no_clip(bench: Bench, device: Ed25519PrivateKey) -> None:
    key = device.public_key().public_bytes_raw()
    found = bench.run(
        """
        const asked = await request.checkRequest(...it.sent);
        return decision.decide(asked, { ...it.device, keys: window.keys }, [], 30, Date.now());
        """,
        {"sent": Asker().sent(), "device": {"id": kid(key), "key": b64u(key)}},
    )
    said = read_jws("decision", found["decision"], from_b64u(owner_of(bench)["decides"]))
    assert (said["answer"], said["clips"], found["releases"]) == ("decline", [], [])


def test_the_records_of_a_span_are_those_of_the_rule(bench: Bench) -> None:
    """docs/spec/decision.md: what overlaps the span, and the run-in from the key record at or before its beginning."""
    dice = random.Random(7)
    cases = []
    for _ in range(300):
        records = [{"index": 0, "flags": 2, "start_ns": 0, "duration_ns": 0}]
        at = 0
        for index in range(1, dice.randint(2, 12)):
            at += dice.choice([0, 0, 3])  # a hole now and then
            length = dice.randint(1, 6)
            key = index == 1 or dice.random() < 0.4
            records.append({"index": index, "flags": int(key), "start_ns": at, "duration_ns": length})
            at += length
        start = dice.randint(-3, at + 3)
        cases.append((records, start, start + dice.randint(1, 10)))

    def rule(records: list[dict[str, int]], start: int, end: int) -> dict[str, int] | None:
        shown = [r["index"] for r in records[1:] if r["start_ns"] < end and r["start_ns"] + r["duration_ns"] > start]
        if not shown:
            return None
        return {"first": max(r["index"] for r in records[1 : shown[0] + 1] if r["flags"] & 1), "last": shown[-1]}

    found = bench.run("return it.map(([r, a, b]) => decision.recordsFor(r, BigInt(a), BigInt(b)));", cases)
    assert found == [rule(*case) for case in cases]
    assert any(one is None for one in found)
    assert any(one is not None and one["first"] > 1 for one in found)
