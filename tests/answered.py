"""A doorbell's whole answer to a request, made in memory by the product's own core: what a requester would pull."""

from __future__ import annotations

import hashlib
import secrets
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core import statements
from agent.core.area import Circle
from agent.core.bundle import Bundle, Offer, Part, offer, read_offer
from agent.core.encoding import b64u, format_time, key_id, new_id, to_json
from agent.core.fmp4 import Fragmenter, Origin, init_segment, render_fragment
from agent.core.fmp4_sound import render_sound, sound_init
from agent.core.frame import EncodedPacket, SoundFormat, Track, VideoFormat
from agent.core.identity import KeyPair
from agent.core.manifest import Clock, Manifest, span_digest, track_records
from agent.core.release import Asked, SharedClip, TrackSpan, build_decision, seal_releases, sign_decision
from agent.core.request import Asker, FootageRequest, sign_request
from agent.core.sealing import (
    CLIP_FORMAT,
    FLAG_INIT,
    FLAG_KEY,
    SUITE,
    TAG_BYTES,
    ClipHeader,
    ClipKeys,
    RecordHeader,
    header_hash,
    record_hash,
    seal_record,
)
from agent.core.sound import SoundRun
from agent.core.statements import Kind
from agent.core.timeline import Span
from agent.requester.key_file import RequesterIdentity, create

S = 1_000_000_000
# An AVCDecoderConfigurationRecord of 320 × 240, baseline: one SPS and one PPS (ISO 14496-15 5.3.3.1).
SPS = bytes.fromhex("6742c00dd902831e5e01e1108000000300800000190f1429 92".replace(" ", ""))
PPS = bytes.fromhex("68cb83cb20")
AVCC = (
    bytes([1, SPS[1], SPS[2], SPS[3], 0xFF, 0xE1])
    + struct.pack(">H", len(SPS))
    + SPS
    + b"\x01"
    + struct.pack(">H", len(PPS))
    + PPS
)
SOUND = SoundFormat(16_000, 1, bytes.fromhex("1408"))
FRAME_NS = 64_000_000
BOOT = b64u(bytes(16))
BOOT_US = 30_000_000
SYNTHETIC = VideoFormat(320, 240, 90_000, AVCC)


def synthetic_packets(seconds: int, size: int, rate: int = 5) -> list[EncodedPacket]:
    """Packets nobody can decode, each of `size` bytes; a key packet every two seconds."""
    packets = []
    for n in range(seconds * rate):
        nal = bytes([0x65 if n % (2 * rate) == 0 else 0x41]) + hashlib.shake_128(b"%d" % n).digest(size - 5)
        at = n * S // rate
        packets.append(EncodedPacket(struct.pack(">I", len(nal)) + nal, at, at, S // rate, n % (2 * rate) == 0))
    return packets


@dataclass(frozen=True)
class SealedClip:
    """One clip as the ring holds it, and its key."""

    header: bytes
    keys: ClipKeys
    manifest: bytes
    records: dict[Track, list[bytes]]

    def share(self, track: Track, first: int, last: int) -> TrackSpan:
        hashes = [record_hash(r) for r in self.records[track]]
        return TrackSpan(track.name.lower(), first, last, b64u(span_digest(hashes, first, last)))


def seal_clip(
    device: Ed25519PrivateKey, start_ns: int, fmt: VideoFormat, packets: Sequence[EncodedPacket], *, sequence: int = 1,
    trust: str = "synchronised",
) -> SealedClip:  # fmt: skip
    """A closed clip of these packets, with a track of made-up sound beside them."""
    clip = new_id(secrets.token_bytes(16))
    device_id = key_id(statements.raw_public(device))
    start = format_time(start_ns)
    random = b64u(bytes(32))
    recipients = [b64u(bytes(16))]
    header = to_json(
        ClipHeader(
            CLIP_FORMAT,
            SUITE,
            clip,
            device_id,
            sequence,
            "",
            start,
            trust,
            BOOT,
            BOOT_US,
            random,
            recipients,
        )
    )
    hh = header_hash(header)
    keys = ClipKeys(secrets.token_bytes(32), hh)
    records: dict[Track, list[bytes]] = {Track.VIDEO: [], Track.AUDIO: []}

    def add(track: Track, flags: int, start_ns: int, duration_ns: int, content: bytes) -> None:
        index = len(records[track])
        readable = RecordHeader(hh, track, flags, index, start_ns, duration_ns, len(content) + TAG_BYTES)
        record = bytearray(readable.total_bytes)
        seal_record(keys, readable, content, memoryview(record))
        records[track].append(bytes(record))

    add(Track.VIDEO, FLAG_INIT, 0, 0, init_segment(fmt))
    add(Track.AUDIO, FLAG_INIT, 0, 0, sound_init(SOUND))
    cutter = Fragmenter()
    runs = [run for packet in packets for run in cutter.push(packet)] + cutter.flush()
    origin: Origin = runs[0].origin
    for n, run in enumerate(runs):
        content = render_fragment(run, fmt, origin, n + 1)
        add(Track.VIDEO, FLAG_KEY if run.key else 0, run.start_ns, run.duration_ns, content)
        heard = render_sound(
            SoundRun((b"sound %d" % n,) * (run.duration_ns // FRAME_NS), run.start_ns, 0), SOUND, origin.pts_ns, n + 1
        )
        add(Track.AUDIO, FLAG_KEY, run.start_ns, run.duration_ns, heard)
    hashes = {track: [record_hash(r) for r in found] for track, found in records.items()}
    end_ns = max(run.start_ns + run.duration_ns for run in runs)
    said = Manifest(clip, b64u(hh), "closed", track_records(hashes), end_ns, [(S, end_ns)], [], Clock(start, trust))
    return SealedClip(header, keys, statements.sign(Kind.MANIFEST, said, device), records)


@dataclass
class Answered:
    """A requester, its request, and a doorbell's answer, ready to be pulled."""

    identity: RequesterIdentity
    request: bytes
    transfer: str
    device: Ed25519PrivateKey
    bundle: Bundle
    pages: tuple[bytes, ...]
    offer_token: bytes
    clips: list[SealedClip]

    @property
    def offer(self) -> Offer:
        return read_offer(self.offer_token)

    @property
    def bytes(self) -> bytes:
        return b"".join(self.bundle.block(i, no_file) for i in range(self.bundle.blocks))


def no_file(source: str, offset: int, length: int) -> bytes:
    """These bundles are in memory."""
    raise AssertionError("nothing to read")


def new_requester(folder: Path, agency: str = "Springfield Police <Dept.>") -> RequesterIdentity:
    return create(folder / "police.key", agency, secrets.token_bytes(64), time.time_ns())


def a_request(identity: RequesterIdentity, now_ns: int, **changes: str) -> tuple[bytes, FootageRequest]:
    said = FootageRequest(
        id=new_id(secrets.token_bytes(16)),
        requester=Asker(identity.said.id, identity.said.agency, "Det. Alvarez", "555-0100"),
        case_number=changes.get("case_number", "24/118"),
        incident_type="Package theft",
        message=changes.get("message", "A parcel was taken.\nDid your camera see <b>anybody</b>?"),
        area=Circle((-71.0571, 42.3611), 400.0),
        span_from=format_time(now_ns - 3600 * S),
        span_to=format_time(now_ns - 1800 * S),
        issued=format_time(now_ns),
        expires=format_time(now_ns + 72 * 3600 * S),
        key=identity.said.opens,
        purpose=changes.get("purpose", "Investigation & trial"),
        retention="Two years",
        replaces="",
    )
    token, _ = sign_request(said, identity.keys.signs, now_ns=now_ns)
    identity.keep_request(token)
    return token, said


def answer(
    folder: Path,
    *,
    clips: int = 1,
    seconds: int = 8,
    packet_bytes: int = 3_000,
    sound: bool = False,
    footage: tuple[VideoFormat, list[EncodedPacket]] | None = None,
    identity: RequesterIdentity | None = None,
    clock: Callable[[Ed25519PrivateKey], bytes] | None = None,
    trust: str = "synchronised",
) -> Answered:
    """A requester (its files in `folder`), and a home's answer of `clips` clips.

    Synthetic ones are shared from record 3 to the last but one, `footage` whole. `clock` makes the clock statement that
    goes with each clip; without `synchronised` trust the clips say they were recorded half a minute into 1970.
    """
    identity = identity or new_requester(folder)
    now_ns = time.time_ns()
    request, said = a_request(identity, now_ns)
    device, owner = Ed25519PrivateKey.generate(), KeyPair.from_seeds(secrets.token_bytes(32), secrets.token_bytes(32))
    fmt, packets = footage or (SYNTHETIC, synthetic_packets(seconds, packet_bytes))
    begins = now_ns - 3000 * S if trust == "synchronised" else BOOT_US * 1000
    sealed = [seal_clip(device, begins + k * 60 * S, fmt, packets, sequence=k + 1, trust=trust) for k in range(clips)]
    tracks = (Track.VIDEO, Track.AUDIO) if sound else (Track.VIDEO,)
    first = 1 if footage else 3
    shared = [
        SharedClip(
            statements.unverified(Kind.MANIFEST, clip.manifest, Manifest).clip,
            b64u(header_hash(clip.header)),
            [clip.share(t, first, len(clip.records[t]) - 1 - (0 if footage else 1)) for t in tracks],
        )
        for clip in sealed
    ]
    request_hash = b64u(statements.digest(request))
    span = Span(now_ns - 3600 * S, now_ns - 1800 * S)
    opens = key_id(identity.keys.opens_public)
    asked = Asked(request_hash, identity.said.id, opens, said.purpose, span)
    device_id = key_id(statements.raw_public(device))
    decision = build_decision(asked, device_id, shared, now_ns=now_ns, undo_ns=0)
    token = sign_decision(decision, owner.signs)
    releases = seal_releases(token, decision, [c.keys for c in sealed], identity.keys.opens_public)
    parts = [Part("decision.jws", (token,))]
    for k, (clip, choice, release) in enumerate(zip(sealed, shared, releases, strict=True)):
        parts.append(Part(f"clips/{k}/header.json", (clip.header,)))
        parts.append(Part(f"clips/{k}/manifest.jws", (clip.manifest,)))
        if clock is not None:
            parts.append(Part(f"clips/{k}/clock.jws", (clock(device),)))
        parts.append(Part(f"clips/{k}/release", (release,)))
        for s in choice.tracks:
            records = clip.records[Track[s.track.upper()]]
            parts.append(Part(f"clips/{k}/{s.track}.records", tuple(records[i] for i in s.indexes)))
    bundle = Bundle(parts)
    pages = bundle.pages(no_file)
    transfer = new_id(secrets.token_bytes(16))
    offered = offer(
        bundle,
        pages,
        transfer=transfer,
        request=request_hash,
        requester=identity.said.id,
        decision=b64u(statements.digest(token)),
        owner=owner.signs_public,
        issued_ns=now_ns + S,
        expires_ns=now_ns + 86400 * S,
        key=device,
    )
    return Answered(identity, request, transfer, device, bundle, pages, offered, sealed)
