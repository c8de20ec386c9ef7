"""Records open under their own key and no other; every altered bit is noticed; any bytes are refused by one error."""

from __future__ import annotations

import contextlib
import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.core import hpke
from agent.core.encoding import b64u, key_id, to_json
from agent.core.errors import BadInput, Corrupt
from agent.core.frame import Track
from agent.core.sealing import (
    CLIP_FORMAT,
    FLAG_KEY,
    SUITE,
    TAG_BYTES,
    ClipHeader,
    ClipKeys,
    RecordHeader,
    header_hash,
    open_record,
    parse_record,
    read_header,
    seal_record,
    unwrap_clip_key,
    wrap_clip_key,
)

CLIP_KEY = bytes(range(32))


def a_header(recipients: list[bytes]) -> bytes:
    return to_json(
        ClipHeader(
            CLIP_FORMAT, SUITE, b64u(bytes(16)), b64u(bytes(16)), 1, "", "2026-11-23T14:12:10Z", "synchronised",
            b64u(bytes(16)), 0, b64u(bytes(32)), [key_id(r) for r in recipients],
        )
    )  # fmt: skip


def a_record(
    index: int = 3, track: Track = Track.VIDEO, text: bytes = b"one second of video"
) -> tuple[ClipKeys, bytes]:
    keys = ClipKeys(CLIP_KEY, header_hash(b"header"))
    header = RecordHeader(keys.header_hash, track, FLAG_KEY, index, 5, 7, len(text) + TAG_BYTES)
    record = bytearray(header.total_bytes)
    seal_record(keys, header, text, memoryview(record))
    return keys, bytes(record)


def test_a_record_opens_under_its_own_key_only() -> None:
    keys, record = a_record()
    assert open_record(keys.record_secret(Track.VIDEO, 3), record) == b"one second of video"
    for track, index in ((Track.VIDEO, 2), (Track.VIDEO, 4), (Track.AUDIO, 3), (Track.ABOUT, 0)):
        with pytest.raises(Corrupt):
            open_record(keys.record_secret(track, index), record)


def test_another_clip_with_the_same_clip_key_has_other_records() -> None:
    _, record = a_record()
    other = ClipKeys(CLIP_KEY, header_hash(b"another header"))
    with pytest.raises(Corrupt):
        open_record(other.record_secret(Track.VIDEO, 3), record)


def test_every_single_flipped_bit_is_noticed() -> None:
    keys, record = a_record()
    secret = keys.record_secret(Track.VIDEO, 3)
    for at in range(len(record) * 8):
        altered = bytearray(record)
        altered[at // 8] ^= 1 << at % 8
        with pytest.raises(Corrupt):
            open_record(secret, bytes(altered))


def test_the_commitment_is_checked_before_the_tag() -> None:
    """A ciphertext that verifies under another key must still be refused: the commitment decides first."""
    keys, record = a_record()
    forged = record[:68] + bytes(32) + record[100:]
    with pytest.raises(Corrupt, match="this key does not open this record"):
        open_record(keys.record_secret(Track.VIDEO, 3), forged)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_record_or_corrupt(data: bytes) -> None:
    for attempt in (lambda: parse_record(data), lambda: open_record(bytes(32), data), lambda: read_header(data)):
        with contextlib.suppress(Corrupt):
            attempt()


@given(st.binary(max_size=200), st.integers(0, 4095), st.sampled_from(list(Track)))
def test_what_was_sealed_comes_back(text: bytes, index: int, track: Track) -> None:
    keys, record = a_record(index, track, text)
    assert parse_record(record).index == index
    assert open_record(keys.record_secret(track, index), record) == text


def test_each_recipient_opens_the_clip_key_and_nobody_else() -> None:
    people = [X25519PrivateKey.generate() for _ in range(3)]
    public = [p.public_key().public_bytes_raw() for p in people]
    header = a_header(public)
    wraps = wrap_clip_key(CLIP_KEY, header, public)
    assert [unwrap_clip_key(header, wraps, p) for p in people] == [CLIP_KEY] * 3
    with pytest.raises(Corrupt, match="not sealed to key"):
        unwrap_clip_key(header, wraps, X25519PrivateKey.generate())
    with pytest.raises(Corrupt):
        unwrap_clip_key(header.replace(b"2026", b"2027"), wraps, people[0])
    swapped = wraps[80:160] + wraps[:80] + wraps[160:]
    with pytest.raises(Corrupt):
        unwrap_clip_key(header, swapped, people[0])


def test_a_useless_public_key_is_refused() -> None:
    for useless in (bytes(32), b"short"):
        with pytest.raises(Corrupt):
            hpke.seal(b"secret", useless, b"")


def test_a_header_with_an_unknown_field_or_value_is_refused() -> None:
    good = a_header([secrets.token_bytes(32)])
    assert read_header(good).sequence == 1
    for old, new in (
        (b'"format":"doorward.clip.v1"', b'"format":"doorward.clip.v2"'),
        (b'"sequence":1', b'"sequence":0'),
        (b'"sequence":1', b'"sequence":1,"more":1'),
        (b'"trust":"synchronised"', b'"trust":"certain"'),
        (b"2026-11-23T14:12:10Z", b"2026-11-23T14:12:10"),
    ):
        assert good.replace(old, new) != good
        with pytest.raises(Corrupt):
            read_header(good.replace(old, new))


def test_an_oversize_fragment_is_refused() -> None:
    keys = ClipKeys(CLIP_KEY, header_hash(b"header"))
    text = bytes(16 * 1024 * 1024)
    header = RecordHeader(keys.header_hash, Track.VIDEO, 0, 1, 0, 0, len(text) + TAG_BYTES)
    with pytest.raises(BadInput, match="at most"):
        seal_record(keys, header, text, memoryview(bytearray(header.total_bytes)))
