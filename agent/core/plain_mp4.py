"""A plain MP4 made from our own fragments: index in front, then the same packets, bit for bit.

Owns the sample tables of the file an owner exports and a requester keeps, which has to play in anything. Never decodes
and never changes a packet. Source: ISO 14496-12 8.6 (time), 8.7 (where samples lie).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Final

from agent.core.errors import Corrupt
from agent.core.fmp4 import Sample, box, full_box, movie_header, parse_fragment, parse_init, track
from agent.core.frame import VideoFormat

_LARGE_MDAT_HEAD: Final = 16
_U32_MAX: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the tables say of one sample."""

    size: int
    decode_ticks: int
    duration_ticks: int
    offset_ticks: int
    key: bool


def remux_plain(init: bytes, fragments: Sequence[bytes]) -> Iterator[bytes]:
    """Pieces of an MP4 file with the samples of `fragments`, the first of which begins with a key frame.

    `fragments` is gone through twice (once for the tables, once for the video), so a sequence that opens its elements
    on demand keeps memory low. The film begins at 0 whichever fragment it begins with. Corrupt if anything is not ours.
    """
    fmt = parse_init(init)
    chunks: list[list[_Entry]] = []
    zero: int | None = None
    reached = 0
    for fragment in fragments:
        samples = parse_fragment(fragment)
        if samples[0].decode_ticks < reached:
            raise Corrupt("The film's fragments are out of order; give them as they stand in the clip.")
        reached = samples[-1].decode_ticks
        if zero is None:
            if not samples[0].key:
                raise Corrupt("The film does not begin with a key frame; begin it at an earlier record.")
            zero = samples[0].present_ticks
        entries = [_entry(sample) for sample in _shown(samples, zero)]
        if entries:
            chunks.append(entries)
    if zero is None:
        raise Corrupt("The film holds no video; there is nothing to write.")
    head, payload = _head(fmt, chunks)
    yield head
    yield payload
    for fragment in fragments:
        yield b"".join(sample.data for sample in _shown(parse_fragment(fragment), zero))


def _shown(samples: list[Sample], zero: int) -> list[Sample]:
    """Without the pictures shown before the first key frame: they refer to pictures the film does not have."""
    return [sample for sample in samples if sample.present_ticks >= zero]


def _entry(sample: Sample) -> _Entry:
    return _Entry(len(sample.data), sample.decode_ticks, sample.duration_ticks, sample.offset_ticks, sample.key)


def _head(fmt: VideoFormat, chunks: list[list[_Entry]]) -> tuple[bytes, bytes]:
    """ftyp with moov, and the head of mdat. The chunk offsets depend on moov's size, hence the two renderings."""
    ftyp = box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isom", b"iso2", b"avc1", b"mp41")
    sizes = [sum(entry.size for entry in chunk) for chunk in chunks]
    large = sum(sizes) + _LARGE_MDAT_HEAD > _U32_MAX
    mdat = struct.pack(">I4sQ", 1, b"mdat", sum(sizes) + 16) if large else struct.pack(">I4s", sum(sizes) + 8, b"mdat")
    length = len(_moov(fmt, chunks, [0] * len(chunks), large))
    offsets = []
    at = len(ftyp) + length + len(mdat)
    for size in sizes:
        offsets.append(at)
        at += size
    if not large and at > _U32_MAX:
        raise Corrupt("The film is a hair under 4 GiB, where plain MP4 cannot index it; export a shorter stretch.")
    return ftyp + _moov(fmt, chunks, offsets, large), mdat


def _moov(fmt: VideoFormat, chunks: list[list[_Entry]], offsets: list[int], large: bool) -> bytes:
    entries = [entry for chunk in chunks for entry in chunk]
    durations = _durations(entries)
    total = sum(durations)
    zero = entries[0].decode_ticks + entries[0].offset_ticks
    shown = max(entry.decode_ticks + entry.offset_ticks + entry.duration_ticks for entry in entries) - zero
    # Signed offsets confuse old players: the offsets are raised to be positive, and an edit list takes it back.
    lowest = min(entry.offset_ticks for entry in entries)
    raised = [entry.offset_ticks - lowest for entry in entries]
    delay = raised[0]
    tables = [full_box(b"stts", 0, 0, _runs(durations))]
    if any(raised):
        tables.append(full_box(b"ctts", 0, 0, _runs(raised)))
    keys = [number for number, entry in enumerate(entries, 1) if entry.key]
    if len(keys) < len(entries):
        tables.append(full_box(b"stss", 0, 0, struct.pack(f">I{len(keys)}I", len(keys), *keys)))
    tables.append(full_box(b"stsc", 0, 0, _chunk_table(chunks)))
    tables.append(
        full_box(b"stsz", 0, 0, struct.pack(f">II{len(entries)}I", 0, len(entries), *[e.size for e in entries]))
    )
    kind, width = (b"co64", "Q") if large else (b"stco", "I")
    tables.append(full_box(kind, 0, 0, struct.pack(f">I{len(offsets)}{width}", len(offsets), *offsets)))
    edits = b""
    if delay:
        edits = box(b"edts", full_box(b"elst", 1, 0, struct.pack(">IQqI", 1, shown, delay, 0x10000)))
    return box(b"moov", movie_header(fmt, shown), track(fmt, total, tables, edits, shown))


def _durations(entries: list[_Entry]) -> list[int]:
    """How long each sample lasts until the next is decoded, pauses between fragments included."""
    lasting = [after.decode_ticks - entry.decode_ticks for entry, after in pairwise(entries)]
    lasting.append(entries[-1].duration_ticks)
    if max(lasting) > _U32_MAX:
        raise Corrupt("The film has a pause longer than plain MP4 can say; export the stretches around it.")
    return lasting


def _runs(values: list[int]) -> bytes:
    """A table of (how many, value), as stts and ctts are."""
    runs = [(sum(1 for _ in group), value) for value, group in groupby(values)]
    return struct.pack(">I", len(runs)) + b"".join(struct.pack(">II", count, value) for count, value in runs)


def _chunk_table(chunks: list[list[_Entry]]) -> bytes:
    """stsc: from which chunk on how many samples a chunk has."""
    rows = []
    previous = 0
    for number, chunk in enumerate(chunks, 1):
        if len(chunk) != previous:
            rows.append(struct.pack(">III", number, len(chunk), 1))
        previous = len(chunk)
    return struct.pack(">I", len(rows)) + b"".join(rows)
