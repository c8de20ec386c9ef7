"""Fragmented MP4 of one H.264 track: packets → runs → fragments, and back.

Owns the bytes of the init segment and of fragments (docs/spec/fragment.md). Never decodes, never changes a packet,
never decides when a clip begins. Source: ISO 14496-12 (boxes), ISO 14496-15 (avc1).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from agent.core.boxes import EMPTY_TABLES, Media, box, fragmented_head, full_box, to_ticks, track
from agent.core.errors import BadInput, Corrupt
from agent.core.frame import EncodedPacket, VideoFormat
from agent.core.h264 import MAX_PARAMETER_SETS_BYTES

SECOND_NS: Final = 1_000_000_000
MAX_RUN_NS: Final = SECOND_NS
MAX_RUN_BYTES: Final = 8 * 1024 * 1024
MAX_RUN_PACKETS: Final = 1024
# A ten-millionth of a second is the finest clock footage uses; it keeps durations within 32 bits for seven minutes.
MAX_TIMESCALE: Final = 10_000_000
MAX_SIDE: Final = 16384
MAX_FRAGMENT_BYTES: Final = MAX_RUN_BYTES + 64 * 1024
MAX_INIT_BYTES: Final = MAX_PARAMETER_SETS_BYTES + 1024

_TRACK_ID: Final = 1
# ISO 14496-12 8.8.3.1: depends on no other sample; or depends on others and is no sync sample.
_KEY_FLAGS: Final = 0x02000000
_DELTA_FLAGS: Final = 0x01010000
_TFHD_FLAGS: Final = 0x020000  # default-base-is-moof
_TRUN_FLAGS: Final = 0x000F01  # data offset; duration, size, flags and composition offset of each sample
_SAMPLE: Final = struct.Struct(">IIIi")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a film's time begins: both times of its first key frame, which is shown at 0 and decoded at 0."""

    pts_ns: int
    dts_ns: int


@dataclass(frozen=True, slots=True)
class Run:
    """Packets that make one fragment, in decoding order. `next_dts_ns`: when the next is decoded, if known."""

    packets: tuple[EncodedPacket, ...]
    next_dts_ns: int | None

    @property
    def key(self) -> bool:
        """True where decoding can begin with this run."""
        return self.packets[0].key

    @property
    def origin(self) -> Origin:
        """The time zero of a film that begins with this run."""
        return Origin(self.packets[0].pts_ns, self.packets[0].dts_ns)

    @property
    def start_ns(self) -> int:
        """When the earliest of the run's pictures is shown."""
        return min(packet.pts_ns for packet in self.packets)

    @property
    def duration_ns(self) -> int:
        """From the earliest picture until the latest is no longer shown."""
        return max(packet.pts_ns + packet.duration_ns for packet in self.packets) - self.start_ns

    @property
    def size(self) -> int:
        """Bytes of video in the run."""
        return sum(len(packet.data) for packet in self.packets)


class Fragmenter:
    """Cuts a stream of packets into runs: before each key frame, and after one second (or 8 MiB) at the latest.

    With B-frames it cuts only where every picture shown before the cut is decoded before it, so that a film may end
    behind any run without a hole. That is known some packets later, when a decoding time has passed the last picture
    shown (pictures are never shown before they are decoded): runs come out that much later.
    """

    def __init__(self) -> None:
        self._pending: list[EncodedPacket] = []
        self._size = 0
        self._due: int | None = None  # the first pending packet that must begin another run
        self._last_dts_ns: int | None = None

    def push(self, packet: EncodedPacket) -> list[Run]:
        """Takes the next packet in decoding order; returns the runs it closes, mostly none."""
        if not 0 < len(packet.data) <= MAX_RUN_BYTES:
            raise BadInput(
                f"A picture of {len(packet.data)} bytes is not possible here (1 to {MAX_RUN_BYTES}); "
                "lower the bitrate or the resolution of the source."
            )
        if self._last_dts_ns is not None and packet.dts_ns <= self._last_dts_ns:
            raise BadInput(
                f"The source's decoding times run backwards ({self._last_dts_ns} ns, then {packet.dts_ns} ns); "
                "replace or convert the source."
            )
        self._append(packet)
        self._last_dts_ns = packet.dts_ns
        runs = []
        while self._due is not None and _shown_until(self._pending[: self._due]) <= packet.dts_ns:
            runs.append(self._take(self._boundary(self._due)))
        return runs

    def settle(self) -> list[Run]:
        """Closes everything up to the last picture that no later packet can come before: where a film may end."""
        rest: list[EncodedPacket] = []
        while self._pending and not self._complete(len(self._pending), rest):
            rest.insert(0, self._pending.pop())
        kept, self._pending, self._size, self._due = self._pending, [], 0, None
        for packet in kept:
            self._append(packet)
        runs = self._take_all(rest[0].dts_ns if rest else None)
        for packet in rest:
            self._append(packet)
        return runs

    def flush(self) -> list[Run]:
        """Closes everything: at the end of the source, at a gap, or when the format changes."""
        return self._take_all(None)

    def _append(self, packet: EncodedPacket) -> None:
        if self._due is None and self._must_close_before(packet):
            self._due = len(self._pending)
        self._pending.append(packet)
        self._size += len(packet.data)

    def _must_close_before(self, packet: EncodedPacket) -> bool:
        if not self._pending:
            return False
        return (
            packet.key
            or packet.dts_ns - self._pending[0].dts_ns >= MAX_RUN_NS
            or self._size + len(packet.data) > MAX_RUN_BYTES
            or len(self._pending) >= MAX_RUN_PACKETS
        )

    def _boundary(self, due: int) -> int:
        """Where to cut at or before `due`: a key frame always begins a run; else the last place that leaves no hole."""
        if self._pending[due].key:
            return due
        earliest = min(packet.pts_ns for packet in self._pending[due:])
        for at in range(due, 0, -1):
            if _shown_until(self._pending[:at]) < earliest:
                return at
            earliest = min(earliest, self._pending[at - 1].pts_ns)
        return due

    def _complete(self, count: int, rest: list[EncodedPacket]) -> bool:
        """Whether nothing decoded after the first `count` pending packets is shown before the last of them."""
        assert self._last_dts_ns is not None, "a pending packet has left its decoding time"
        shown = _shown_until(self._pending[:count])
        return shown <= self._last_dts_ns and all(shown < packet.pts_ns for packet in rest)

    def _take_all(self, next_dts_ns: int | None) -> list[Run]:
        runs = []
        while self._due is not None:
            runs.append(self._take(self._boundary(self._due)))
        if self._pending:
            runs.append(Run(tuple(self._pending), next_dts_ns))
        self._pending, self._size = [], 0
        return runs

    def _take(self, count: int) -> Run:
        run = Run(tuple(self._pending[:count]), self._pending[count].dts_ns)
        rest, self._pending, self._size, self._due = self._pending[count:], [], 0, None
        for packet in rest:
            self._append(packet)
        return run


def _shown_until(packets: Sequence[EncodedPacket]) -> int:
    return max(packet.pts_ns for packet in packets)


@dataclass(frozen=True, slots=True)
class Sample:
    """One access unit as it stands in a fragment. Times in ticks of the film's timescale, from the film's beginning."""

    data: bytes
    decode_ticks: int
    duration_ticks: int
    offset_ticks: int
    key: bool

    @property
    def present_ticks(self) -> int:
        """When the picture is shown."""
        return self.decode_ticks + self.offset_ticks


def init_segment(fmt: VideoFormat) -> bytes:
    """ftyp and moov of a film in fragments; the bytes before the first fragment."""
    _check_format(fmt)
    return fragmented_head(fmt.timescale, _TRACK_ID, video_track(fmt, 0, EMPTY_TABLES))


def _check_format(fmt: VideoFormat) -> None:
    if not (0 < fmt.width <= MAX_SIDE and 0 < fmt.height <= MAX_SIDE):
        raise BadInput(f"Pictures of {fmt.width}×{fmt.height} cannot be recorded; a side has 1 to {MAX_SIDE} pixels.")
    if not 0 < fmt.timescale <= MAX_TIMESCALE:
        raise BadInput(
            f"A clock of {fmt.timescale} ticks a second cannot be recorded; it must be 1 to {MAX_TIMESCALE}."
        )
    if not 7 <= len(fmt.parameter_sets) <= MAX_PARAMETER_SETS_BYTES:
        raise BadInput(f"H.264 parameter sets of {len(fmt.parameter_sets)} bytes cannot be recorded; check the source.")


def _entry(fmt: VideoFormat) -> bytes:
    """The sample entry of the pictures (ISO 14496-15 5.4.2)."""
    return box(
        b"avc1",
        struct.pack(">6xH16xHHII4xH32xHh", 1, fmt.width, fmt.height, 0x480000, 0x480000, 1, 0x18, -1),
        box(b"avcC", fmt.parameter_sets),
    )


def video_track(
    fmt: VideoFormat, duration_ticks: int, tables: Iterable[bytes], edits: bytes = b"", shown_ticks: int = 0
) -> bytes:
    """trak of the pictures, with the sample `tables` that follow stsd; the rest as in `boxes.track`."""
    media = Media(
        _TRACK_ID, b"vide", b"video", fmt.timescale, full_box(b"vmhd", 0, 1, bytes(8)), (fmt.width, fmt.height)
    )
    return track(media, _entry(fmt), duration_ticks, tables, edits, shown_ticks)


def render_fragment(run: Run, fmt: VideoFormat, origin: Origin, sequence: int) -> bytes:
    """moof and mdat of a run, timed from the film's `origin`. `sequence`: 1 for a film's first fragment, then rising.

    Pictures shown before the origin are left out: they precede the film's first key frame on screen, follow it in
    decoding, and refer to pictures the film does not have (open GOP).
    """
    packets = [packet for packet in run.packets if packet.pts_ns >= origin.pts_ns]
    if not packets:
        raise BadInput("A run of video lies before the film it should belong to; check the source's times.")
    decode = [to_ticks(packet.dts_ns, fmt.timescale) for packet in packets]
    last = packets[-1]
    following = last.dts_ns + last.duration_ns if run.next_dts_ns is None else run.next_dts_ns
    ends = [*decode[1:], max(to_ticks(following, fmt.timescale), decode[-1])]
    zero_decode, zero_present = to_ticks(origin.dts_ns, fmt.timescale), to_ticks(origin.pts_ns, fmt.timescale)
    table = []
    for packet, begin, end in zip(packets, decode, ends, strict=True):
        offset = to_ticks(packet.pts_ns, fmt.timescale) - zero_present - (begin - zero_decode)
        if not -(2**31) <= offset < 2**31:
            raise BadInput("A picture's decoding and display times lie minutes apart; replace or convert the source.")
        flags = _KEY_FLAGS if packet.key else _DELTA_FLAGS
        # Beyond 32 bits the next fragment's own time rules, as it does after any pause.
        table.append(_SAMPLE.pack(min(end - begin, 2**32 - 1), len(packet.data), flags, offset))
    head = _moof(sequence, decode[0] - zero_decode, table)
    size = sum(len(packet.data) for packet in packets)
    return b"".join([head, struct.pack(">I4s", 8 + size, b"mdat"), *(packet.data for packet in packets)])


def _moof(sequence: int, base_ticks: int, table: list[bytes]) -> bytes:
    if not 0 <= base_ticks < 2**63 or not 0 < sequence < 2**32:
        raise BadInput("A run of video lies before the film it should belong to; check the source's times.")
    mfhd = full_box(b"mfhd", 0, 0, struct.pack(">I", sequence))
    tfhd = full_box(b"tfhd", 0, _TFHD_FLAGS, struct.pack(">I", _TRACK_ID))
    tfdt = full_box(b"tfdt", 1, 0, struct.pack(">Q", base_ticks))
    # moof, mfhd, traf, tfhd, tfdt, trun and the head of mdat come before the first sample.
    data_offset = 8 + len(mfhd) + 8 + len(tfhd) + len(tfdt) + 20 + _SAMPLE.size * len(table) + 8
    trun = full_box(b"trun", 1, _TRUN_FLAGS, struct.pack(">Ii", len(table), data_offset), *table)
    return box(b"moof", mfhd, box(b"traf", tfhd, tfdt, trun))


_MOOF_FIXED: Final = len(_moof(1, 0, []))
_BASE_AT: Final = _MOOF_FIXED - 20 - 8
_COUNT_AT: Final = _MOOF_FIXED - 8
_SEQUENCE_AT: Final = 8 + 12


def parse_fragment(data: bytes) -> list[Sample]:
    """The samples of a fragment of ours. Corrupt for any bytes `render_fragment` could not have written."""
    if not _MOOF_FIXED + _SAMPLE.size + 8 <= len(data) <= MAX_FRAGMENT_BYTES:
        raise Corrupt("A fragment of video has an impossible size; the recording is damaged there.")
    sequence, count = _u32(data, _SEQUENCE_AT), _u32(data, _COUNT_AT)
    base = int.from_bytes(data[_BASE_AT : _BASE_AT + 8], "big")
    body_at = _MOOF_FIXED + _SAMPLE.size * count + 8
    if not 0 < count <= MAX_RUN_PACKETS or body_at > len(data) or base >= 2**63 or not sequence:
        raise Corrupt("A fragment of video is malformed; the recording is damaged there.")
    rows = list(_SAMPLE.iter_unpack(data[_MOOF_FIXED : body_at - 8]))
    # What can be said in a fragment is said in one way only: write it again and compare.
    head = _moof(sequence, base, [_SAMPLE.pack(*row) for row in rows])
    if data[:body_at] != head + struct.pack(">I4s", 8 + len(data) - body_at, b"mdat"):
        raise Corrupt("A fragment of video is malformed; the recording is damaged there.")
    samples = []
    at, decode = body_at, base
    for duration, size, flags, offset in rows:
        if not size or at + size > len(data) or flags not in (_KEY_FLAGS, _DELTA_FLAGS) or decode + offset < 0:
            raise Corrupt("A fragment of video contradicts itself; the recording is damaged there.")
        samples.append(Sample(data[at : at + size], decode, duration, offset, flags == _KEY_FLAGS))
        at += size
        decode += duration
    if at != len(data):
        raise Corrupt("A fragment of video holds more than its samples; the recording is damaged there.")
    return samples


def parse_init(data: bytes) -> VideoFormat:
    """The format an init segment of ours declares. Corrupt for any bytes `init_segment` could not have written."""
    blank = init_segment(VideoFormat(1, 1, 1, bytes(7)))
    avcc_at = blank.index(b"avcC") + 4
    avcc_end = len(data) - (len(blank) - avcc_at - 7)
    width_at = blank.index(b"avc1") + 4 + 24
    timescale_at = blank.index(b"mvhd") + 4 + 4 + 16
    if not len(blank) <= len(data) <= MAX_INIT_BYTES:
        raise Corrupt("The beginning of a film has an impossible size; the recording is damaged there.")
    width, height = struct.unpack_from(">HH", data, width_at)
    fmt = VideoFormat(width, height, _u32(data, timescale_at), data[avcc_at:avcc_end])
    try:
        expected = init_segment(fmt)
    except BadInput as error:
        raise Corrupt("The beginning of a film is malformed; the recording is damaged there.") from error
    if data != expected:
        raise Corrupt("The beginning of a film is malformed; the recording is damaged there.")
    return fmt


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")
