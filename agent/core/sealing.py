"""The sealed clip: header, wraps, records. Owns their bytes and keys; never touches a disk.

A record's secret `fs` is the unit of release: whoever holds it opens that record and no other. The commitment is
checked before decryption, because GCM alone lets one ciphertext open under two keys to two films.
Source: docs/spec/sealed-clip.md; RFC 5869; RFC 9180; NIST SP 800-38D.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from agent.core import hpke
from agent.core.encoding import check_id, from_b64u, from_json, key_id, parse_time
from agent.core.errors import BadInput, Corrupt, NotARecipient
from agent.core.frame import Track

CLIP_FORMAT = "doorward.clip.v1"
SUITE = "X25519-HKDF-SHA256-AES-256-GCM"
TRUSTS = ("synchronised", "provisional", "replayed")

KEY_BYTES = 32
WRAP_BYTES = KEY_BYTES + hpke.OVERHEAD_BYTES
HEADER_LIMIT = 16 * 1024
RECIPIENTS_LIMIT = 16
RECORDS_LIMIT = 4096
CLIP_LIMIT_NS = 300 * 1_000_000_000
BODY_LIMIT = 16 * 1024 * 1024
TAG_BYTES = 16
PLAINTEXT_LIMIT = BODY_LIMIT - TAG_BYTES

FLAG_KEY = 1
FLAG_INIT = 2

RECORD_MAGIC = b"DWRC"
_RECORD = struct.Struct(">4s32sBBHQqQI")
RECORD_HEADER_BYTES = _RECORD.size
COMMIT_BYTES = 32
RECORD_OVERHEAD_BYTES = RECORD_HEADER_BYTES + COMMIT_BYTES + TAG_BYTES

_CLIP_KEY_INFO = b"doorward clip key v1"
_RECORD_LABEL = b"doorward record v1"
_SEAL_LABEL = b"doorward seal v1"
_NONCE = bytes(12)  # a key seals exactly one record, once


class ClipHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known when a clip begins. Times: `start` RFC 3339 UTC, `boot_us` microseconds of the recording clock."""

    format: str
    suite: str
    clip: str
    device: str
    sequence: int
    previous: str
    start: str
    trust: str
    boot: str
    boot_us: int
    owners: str
    recipients: list[str]


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """The 68 readable bytes of a record. Times in ns from the clip's time zero; `body_bytes` is ciphertext and tag."""

    header_hash: bytes
    track: Track
    flags: int
    index: int
    start_ns: int
    duration_ns: int
    body_bytes: int

    @property
    def key(self) -> bool:
        """A run that plays may begin at this record."""
        return bool(self.flags & FLAG_KEY)

    @property
    def total_bytes(self) -> int:
        """Length of the whole record."""
        return RECORD_HEADER_BYTES + COMMIT_BYTES + self.body_bytes

    def pack(self) -> bytes:
        """The 68 bytes."""
        return _RECORD.pack(
            RECORD_MAGIC,
            self.header_hash,
            self.track,
            self.flags,
            0,
            self.index,
            self.start_ns,
            self.duration_ns,
            self.body_bytes,
        )


def read_header(data: bytes) -> ClipHeader:
    """A clip header checked against every rule of the spec, else Corrupt."""
    if len(data) > HEADER_LIMIT:
        raise Corrupt(f"a clip header may have {HEADER_LIMIT} bytes, this one has {len(data)}")
    header = from_json(data, ClipHeader, "the clip header")
    if header.format != CLIP_FORMAT or header.suite != SUITE:
        raise Corrupt(f"clip format '{header.format[:40]}' with '{header.suite[:40]}' is not one this version reads")
    check_id(header.clip)
    from_b64u(header.device, 16)
    from_b64u(header.boot, 16)
    from_b64u(header.owners, 32)
    if header.previous:
        from_b64u(header.previous, 32)
    if header.trust not in TRUSTS or header.sequence < 1 or not 0 <= header.boot_us < 2**53:
        raise Corrupt("the clip header's trust, sequence or boot time is out of range")
    try:
        parse_time(header.start)
    except BadInput as e:
        raise Corrupt(f"the clip header's start: {e}") from e
    count = len(header.recipients)
    if not 1 <= count <= RECIPIENTS_LIMIT or len(set(header.recipients)) != count:
        raise Corrupt(f"a clip has 1 to {RECIPIENTS_LIMIT} different recipients, this header names {count}")
    for kid in header.recipients:
        from_b64u(kid, 16)
    return header


def wrap_clip_key(clip_key: bytes, header: bytes, recipients: list[bytes]) -> bytes:
    """The wraps of `clip_key` to the raw X25519 public keys `recipients`, in their order, 80 bytes each."""
    return b"".join(hpke.seal(clip_key, public, _wrap_info(header, key_id(public))) for public in recipients)


def unwrap_clip_key(header: bytes, wraps: bytes, key: X25519PrivateKey) -> bytes:
    """The clip key, opened with one recipient's private key. Corrupt if it is not a recipient or a byte is off."""
    recipients = read_header(header).recipients
    if len(wraps) != WRAP_BYTES * len(recipients):
        raise Corrupt("the clip's wraps do not match its recipients")
    kid = key_id(key.public_key().public_bytes_raw())
    if kid not in recipients:
        raise NotARecipient(
            f"this clip is not sealed to key {kid}; who was an owner when it was recorded can open it, or the recovery "
            "code of then"
        )
    at = recipients.index(kid) * WRAP_BYTES
    return hpke.open_sealed(wraps[at : at + WRAP_BYTES], key, _wrap_info(header, kid))


def _wrap_info(header: bytes, kid: str) -> bytes:
    return _CLIP_KEY_INFO + header_hash(header) + from_b64u(kid, 16)


def header_hash(header: bytes) -> bytes:
    """`hh`: SHA-256 over the verbatim header bytes."""
    return hashlib.sha256(header).digest()


def record_hash(record: bytes | memoryview) -> bytes:
    """SHA-256 over a whole record."""
    return hashlib.sha256(record).digest()


class ClipKeys:
    """Derives the secret of each record of one clip from its clip key."""

    def __init__(self, clip_key: bytes, hh: bytes) -> None:
        if len(clip_key) != KEY_BYTES or len(hh) != 32:
            raise Corrupt("a clip key and a header hash have 32 bytes each")
        self.header_hash = hh
        self._prk = hmac.digest(hh, clip_key, "sha256")  # HKDF-Extract, RFC 5869 section 2.2

    def record_secret(self, track: Track, index: int) -> bytes:
        """`fs` of record `index` of `track`, 32 bytes."""
        label = _RECORD_LABEL + struct.pack(">BQ", track, index)
        return HKDFExpand(SHA256(), KEY_BYTES, label).derive(self._prk)


def seal_record(keys: ClipKeys, header: RecordHeader, plaintext: bytes, place: memoryview) -> None:
    """Make the record of `plaintext` in `place`, `header.total_bytes` long.

    `header.body_bytes` must be the plaintext's length plus the tag. BadInput over 16 MiB. The caller gives the memory
    because new memory for each record costs more than its encryption.
    """
    if len(plaintext) > PLAINTEXT_LIMIT:
        raise BadInput(f"a record holds at most {PLAINTEXT_LIMIT} bytes, this fragment has {len(plaintext)}")
    if header.body_bytes != len(plaintext) + TAG_BYTES or header.header_hash != keys.header_hash:
        raise BadInput("the record header does not belong to this fragment")
    readable = header.pack()
    key, commitment = _record_key(keys.record_secret(header.track, header.index))
    body_at = RECORD_HEADER_BYTES + COMMIT_BYTES
    place[:body_at] = readable + commitment
    AESGCM(key).encrypt_into(_NONCE, plaintext, readable, place[body_at:])


def parse_record(data: bytes | memoryview) -> RecordHeader:
    """The header of the record that `data` begins with; Corrupt unless it keeps every rule. Length is not checked."""
    if len(data) < RECORD_HEADER_BYTES:
        raise Corrupt("a record is cut off inside its header")
    magic, hh, track, flags, zero, index, start_ns, duration_ns, body_bytes = _RECORD.unpack_from(data)
    if magic != RECORD_MAGIC or zero or flags & ~(FLAG_KEY | FLAG_INIT):
        raise Corrupt("this is not a record of this version")
    if track not in _TRACKS or index >= RECORDS_LIMIT or not TAG_BYTES <= body_bytes <= BODY_LIMIT:
        raise Corrupt("a record's track, index or length is out of range")
    if abs(start_ns) > CLIP_LIMIT_NS * 2 or duration_ns > CLIP_LIMIT_NS * 2:
        raise Corrupt("a record's times are out of range")
    return RecordHeader(hh, Track(track), flags, index, start_ns, duration_ns, body_bytes)


_TRACKS = frozenset(Track)


def open_record(secret: bytes, record: bytes | memoryview) -> bytes:
    """The plaintext of a whole `record` under its secret `fs`; Corrupt if the key is not its key or a bit is off."""
    header = parse_record(record)
    if len(record) != header.total_bytes or len(secret) != KEY_BYTES:
        raise Corrupt("a record is not as long as its header says")
    key, commitment = _record_key(secret)
    body_at = RECORD_HEADER_BYTES + COMMIT_BYTES
    if not hmac.compare_digest(commitment, bytes(record[RECORD_HEADER_BYTES:body_at])):
        raise Corrupt("this key does not open this record")
    try:
        return AESGCM(key).decrypt(_NONCE, bytes(record[body_at:]), bytes(record[:RECORD_HEADER_BYTES]))
    except InvalidTag as e:
        raise Corrupt("the record was altered: its tag does not verify") from e


def _record_key(secret: bytes) -> tuple[bytes, bytes]:
    both = HKDFExpand(SHA256(), KEY_BYTES + COMMIT_BYTES, _SEAL_LABEL).derive(secret)
    return both[:KEY_BYTES], both[KEY_BYTES:]
