"""The boxes every film of ours is made of, whichever track it holds.

Owns how a box, a movie header and a track are written; what a track's samples are is `fmp4`'s (pictures) and
`fmp4_sound`'s. Never reads. Source: ISO 14496-12 4.2 (boxes), 8.2 (movie), 8.3 and 8.4 (tracks).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_SECOND_NS: Final = 1_000_000_000
_MATRIX: Final = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_NO_LANGUAGE: Final = 0x55C4  # "und"


@dataclass(frozen=True, slots=True)
class Media:
    """What a track is: its number, its handler, ticks a second, its media header box, and the size of its pictures."""

    track: int
    handler: bytes
    name: bytes
    timescale: int
    header: bytes
    size: tuple[int, int]


def box(kind: bytes, *parts: bytes) -> bytes:
    """An ISO 14496-12 box: size, type, contents."""
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """A box that begins with a version and flags (ISO 14496-12 4.2)."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def to_ticks(time_ns: int, timescale: int) -> int:
    """The nearest whole tick to a time in nanoseconds."""
    return (2 * time_ns * timescale + _SECOND_NS) // (2 * _SECOND_NS)


EMPTY_TABLES: Final = (
    full_box(b"stts", 0, 0, bytes(4)),
    full_box(b"stsc", 0, 0, bytes(4)),
    full_box(b"stsz", 0, 0, bytes(8)),
    full_box(b"stco", 0, 0, bytes(4)),
)


def fragmented_head(timescale: int, number: int, trak: bytes) -> bytes:
    """ftyp and moov of a film in fragments whose one track is `trak`, numbered `number`."""
    trex = full_box(b"trex", 0, 0, struct.pack(">5I", number, 1, 0, 0, 0))
    return box(b"ftyp", b"iso6", struct.pack(">I", 0), b"iso6", b"mp41") + box(
        b"moov", movie_header(timescale, 0, number), trak, box(b"mvex", trex)
    )


def movie_header(timescale: int, duration_ticks: int, tracks: int) -> bytes:
    """mvhd (8.2.2), version 1; times of creation stay 0, for the clip's header tells them. `tracks`: highest number."""
    return full_box(
        b"mvhd",
        1,
        0,
        struct.pack(">QQIQ", 0, 0, timescale, duration_ticks),
        struct.pack(">IHH8x", 0x10000, 0x100, 0),
        _MATRIX,
        bytes(24),
        struct.pack(">I", tracks + 1),
    )


def track(
    media: Media, entry: bytes, duration_ticks: int, tables: Iterable[bytes], edits: bytes, shown_ticks: int
) -> bytes:
    """trak (8.3.1) of samples described by `entry`, with the sample `tables` that follow stsd.

    `duration_ticks`: sum of the samples' durations, in the media's ticks; `shown_ticks`: what of it the movie shows
    after `edits`, in the movie's.
    """
    width, height = media.size
    tkhd = full_box(
        b"tkhd",
        1,
        3,  # enabled, in the movie
        struct.pack(">QQI4xQ8xHHH2x", 0, 0, media.track, shown_ticks, 0, 0, 0x100 if media.handler == b"soun" else 0),
        _MATRIX,
        struct.pack(">II", width << 16, height << 16),
    )
    stsd = full_box(b"stsd", 0, 0, struct.pack(">I", 1), entry)
    dref = full_box(b"dref", 0, 0, struct.pack(">I", 1), full_box(b"url ", 0, 1))
    return box(
        b"trak",
        tkhd,
        edits,
        box(
            b"mdia",
            full_box(b"mdhd", 1, 0, struct.pack(">QQIQHH", 0, 0, media.timescale, duration_ticks, _NO_LANGUAGE, 0)),
            full_box(b"hdlr", 0, 0, struct.pack(">4x4s12x", media.handler), media.name + b"\x00"),
            box(b"minf", media.header, box(b"dinf", dref), box(b"stbl", stsd, *tables)),
        ),
    )
