"""A plain MP4 made from our own fragments: index in front, then the same packets, bit for bit.

Owns the sample tables of the file an owner exports and a requester keeps, which has to play in anything. Never decodes
and never changes a packet. Source: ISO 14496-12 8.6 (time), 8.7 (where samples lie).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from typing import Final

from agent.core.aac import FRAME_SAMPLES
from agent.core.boxes import box, full_box, movie_header
from agent.core.errors import Corrupt
from agent.core.fmp4 import Sample, parse_fragment, parse_init, video_track
from agent.core.fmp4_sound import parse_sound, parse_sound_init, sound_track
from agent.core.frame import SoundFormat, VideoFormat

_LARGE_MDAT_HEAD: Final = 16
_U32_MAX: Final = 2**32 - 1
_SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class FilmSound:
    """The sound of a film: its init segment and its fragments, in order."""

    init: bytes
    fragments: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the tables say of one sample."""

    size: int
    decode_ticks: int
    duration_ticks: int
    offset_ticks: int
    key: bool


@dataclass(frozen=True, slots=True)
class _Chunk:
    """The samples of one fragment: which fragment, when it begins in the clip, how many samples and bytes."""

    fragment: int
    begins_ns: int
    samples: int
    size: int
    sound: bool


@dataclass(frozen=True, slots=True)
class _Pictures:
    """What the tables say of the pictures. `zero`: when the first is shown, in ticks of the clip."""

    fmt: VideoFormat
    zero: int
    entries: list[_Entry]
    chunks: list[_Chunk]

    @property
    def shown_ticks(self) -> int:
        """From the first picture until the last is no longer shown."""
        return max(e.decode_ticks + e.offset_ticks + e.duration_ticks for e in self.entries) - self.zero


@dataclass(frozen=True, slots=True)
class _Sounds:
    """What the tables say of the sound: sizes and durations by packet. `start`: in its ticks, from the film's zero."""

    fmt: SoundFormat
    start: int
    sizes: list[int]
    durations: list[int]
    chunks: list[_Chunk]


def remux_plain(init: bytes, fragments: Sequence[bytes], sound: FilmSound | None = None) -> Iterator[bytes]:
    """Pieces of an MP4 file with the samples of `fragments`, the first of which begins with a key frame, and `sound`.

    All fragments are gone through twice (once for the tables, once for the samples), so a sequence that opens its
    elements on demand keeps memory low. The film begins at 0 whichever fragment it begins with. Corrupt if anything is
    not ours.
    """
    pictures = _pictures(init, fragments)
    heard = _sounds(sound, pictures) if sound is not None and sound.fragments else None
    # Stable: where both begin at once the pictures go first.
    chunks = sorted([*pictures.chunks, *(heard.chunks if heard else [])], key=lambda chunk: chunk.begins_ns)
    head, payload = _head(pictures, heard, chunks)
    yield head
    yield payload
    for chunk in chunks:
        if chunk.sound and sound is not None:
            yield b"".join(parse_sound(sound.fragments[chunk.fragment]).packets)
        else:
            samples = _shown(parse_fragment(fragments[chunk.fragment]), pictures.zero)
            yield b"".join(sample.data for sample in samples)


def _pictures(init: bytes, fragments: Sequence[bytes]) -> _Pictures:
    fmt = parse_init(init)
    entries: list[_Entry] = []
    chunks: list[_Chunk] = []
    zero: int | None = None
    reached = 0
    for number, fragment in enumerate(fragments):
        samples = parse_fragment(fragment)
        if samples[0].decode_ticks < reached:
            raise Corrupt("The film's fragments are out of order; give them as they stand in the clip.")
        reached = samples[-1].decode_ticks
        if zero is None:
            if not samples[0].key:
                raise Corrupt("The film does not begin with a key frame; begin it at an earlier record.")
            zero = samples[0].present_ticks
        new = [_entry(sample) for sample in _shown(samples, zero)]
        if new:
            begins_ns = new[0].decode_ticks * _SECOND_NS // fmt.timescale
            chunks.append(_Chunk(number, begins_ns, len(new), sum(entry.size for entry in new), sound=False))
            entries += new
    if zero is None:
        raise Corrupt("The film holds no video; there is nothing to write.")
    return _Pictures(fmt, zero, entries, chunks)


def _sounds(sound: FilmSound, pictures: _Pictures) -> _Sounds:
    fmt = parse_sound_init(sound.init)
    sizes: list[int] = []
    durations: list[int] = []
    chunks: list[_Chunk] = []
    starts: list[int] = []
    for number, fragment in enumerate(sound.fragments):
        samples = parse_sound(fragment)
        count = len(samples.packets)
        new = [len(data) for data in samples.packets]
        if starts:
            # A pause in the sound is part of the packet before it.
            durations[-1] += samples.start_ticks - (starts[-1] + FRAME_SAMPLES * chunks[-1].samples)
            if not 0 < durations[-1] <= _U32_MAX:
                raise Corrupt("The sound's fragments are out of order; give them as they stand in the clip.")
        begins_ns = samples.start_ticks * _SECOND_NS // fmt.rate_hz
        starts.append(samples.start_ticks)
        chunks.append(_Chunk(number, begins_ns, count, sum(new), sound=True))
        sizes += new
        durations += [FRAME_SAMPLES] * count
    zero, timescale = pictures.zero, pictures.fmt.timescale
    start = starts[0] - (2 * zero * fmt.rate_hz + timescale) // (2 * timescale)
    if start + sum(durations) <= 0:
        raise Corrupt("The film's sound ends before its pictures begin; it belongs to another stretch.")
    return _Sounds(fmt, start, sizes, durations, chunks)


def _shown(samples: list[Sample], zero: int) -> list[Sample]:
    """Without the pictures shown before the first key frame: they refer to pictures the film does not have."""
    return [sample for sample in samples if sample.present_ticks >= zero]


def _entry(sample: Sample) -> _Entry:
    return _Entry(len(sample.data), sample.decode_ticks, sample.duration_ticks, sample.offset_ticks, sample.key)


def _head(pictures: _Pictures, heard: _Sounds | None, chunks: list[_Chunk]) -> tuple[bytes, bytes]:
    """ftyp with moov, and the head of mdat. The chunk offsets depend on moov's size, hence the two renderings."""
    ftyp = box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isom", b"iso2", b"avc1", b"mp41")
    size = sum(chunk.size for chunk in chunks)
    large = size + _LARGE_MDAT_HEAD > _U32_MAX
    mdat = struct.pack(">I4sQ", 1, b"mdat", size + 16) if large else struct.pack(">I4s", size + 8, b"mdat")
    length = len(_moov(pictures, heard, chunks, [0] * len(chunks), large))
    *offsets, end = accumulate((chunk.size for chunk in chunks), initial=len(ftyp) + length + len(mdat))
    if not large and end > _U32_MAX:
        raise Corrupt("The film is a hair under 4 GiB, where plain MP4 cannot index it; export a shorter stretch.")
    return ftyp + _moov(pictures, heard, chunks, offsets, large), mdat


def _moov(pictures: _Pictures, heard: _Sounds | None, chunks: list[_Chunk], offsets: list[int], large: bool) -> bytes:
    fmt = pictures.fmt
    # Edit lists count in the movie's ticks: with sound, those in which its beginning is exact.
    timescale = heard.fmt.rate_hz if heard else fmt.timescale
    shown = -(-pictures.shown_ticks * timescale // fmt.timescale)
    places = list(zip(chunks, offsets, strict=True))
    tracks = [_video_trak(pictures, shown, [at for chunk, at in places if not chunk.sound], large)]
    if heard:
        tracks.append(_sound_trak(heard, [at for chunk, at in places if chunk.sound], large))
        shown = max(shown, heard.start + sum(heard.durations))
    return box(b"moov", movie_header(timescale, shown, len(tracks)), *tracks)


def _video_trak(pictures: _Pictures, shown: int, offsets: list[int], large: bool) -> bytes:
    entries = pictures.entries
    durations = _durations(entries)
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
    tables += _places([entry.size for entry in entries], pictures.chunks, offsets, large)
    edits = _edits((shown, delay)) if delay else b""
    return video_track(pictures.fmt, sum(durations), tables, edits, shown)


def _sound_trak(heard: _Sounds, offsets: list[int], large: bool) -> bytes:
    total = sum(heard.durations)
    tables = [full_box(b"stts", 0, 0, _runs(heard.durations))]
    tables += _places(heard.sizes, heard.chunks, offsets, large)
    edits = b""
    if heard.start > 0:
        edits = _edits((heard.start, -1), (total, 0))
    elif heard.start < 0:
        edits = _edits((total + heard.start, -heard.start))
    return sound_track(heard.fmt, total, tables, edits, heard.start + total)


def _edits(*rows: tuple[int, int]) -> bytes:
    """An edit list (8.6.6): how long, in the movie's ticks, and from where, in the track's; -1 for nothing at all."""
    table = b"".join(struct.pack(">QqI", lasting, begin, 0x10000) for lasting, begin in rows)
    return box(b"edts", full_box(b"elst", 1, 0, struct.pack(">I", len(rows)), table))


def _places(sizes: list[int], chunks: list[_Chunk], offsets: list[int], large: bool) -> list[bytes]:
    """How samples lie in chunks, how large they are, and where the chunks are."""
    kind, width = (b"co64", "Q") if large else (b"stco", "I")
    return [
        full_box(b"stsc", 0, 0, _chunk_table(chunks)),
        full_box(b"stsz", 0, 0, struct.pack(f">II{len(sizes)}I", 0, len(sizes), *sizes)),
        full_box(kind, 0, 0, struct.pack(f">I{len(offsets)}{width}", len(offsets), *offsets)),
    ]


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


def _chunk_table(chunks: list[_Chunk]) -> bytes:
    """stsc: from which chunk on how many samples a chunk has."""
    rows = []
    previous = 0
    for number, chunk in enumerate(chunks, 1):
        if chunk.samples != previous:
            rows.append(struct.pack(">III", number, chunk.samples, 1))
        previous = chunk.samples
    return struct.pack(">I", len(rows)) + b"".join(rows)
