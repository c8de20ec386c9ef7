"""H.264 from a film file, packet by packet and untouched, with the brightness planes decoded beside it.

Owns repacking (whatever packing → 4-byte lengths) and what becomes of damage: a packet that is lost or cannot be
decoded is left out and reported as a gap. Never encodes, never repairs a picture. Source: docs/spec/fragment.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import av
import av.error
from av.packet import Packet
from av.video.stream import VideoStream

from agent.adapters.luma import LumaSampler
from agent.adapters.packets import VideoTrack
from agent.adapters.times import PacketClock, Times, lasting_ticks
from agent.core import h264
from agent.core.errors import BadInput
from agent.core.fmp4 import SECOND_NS
from agent.core.frame import EncodedPacket, Gap, SourceItem, VideoFormat
from agent.core.packing import Packing

# A decoder holds back at most 16 pictures (H.264 A.3.1); one that gave none for this long gives none at all.
_MAX_HELD: Final = 64
# Where only averages of the decoded picture are looked at, smoothing the edges of its blocks is left out: a third of
# the decoder's time. What that makes of motion: docs/benchmarks.md.
_MUCH_LARGER: Final = 4
# A pause no film makes on its own: packets are missing.
_PAUSE_NS: Final = SECOND_NS
# Where pictures are reordered, so many more may be decoded behind one and shown before it: what x264 does at most.
_MOST_BETWEEN: Final = 16
_WITHOUT_PRESENTATION_TIMES: Final = frozenset({"avi", "h264"})


@dataclass(slots=True)
class _Period:
    """The pictures from one IDR picture to the next: their decoding times, and how many were shown."""

    places: list[int]
    taken: int = 0

    def next_place(self) -> int:
        """The time of the next picture shown."""
        self.taken += 1
        return self.places[self.taken - 1]


@dataclass(slots=True, eq=False)
class _Unit:
    """One packet of the file on its way through. `pts` and `dts` in the track's ticks."""

    data: bytes
    pts: int | None
    dts: int
    duration: int
    key: bool
    idr: bool
    disposable: bool
    continues: bool
    format: VideoFormat | None
    damage: str | None
    second_field: bool = False
    times: Times | None = None
    period: _Period | None = None


@dataclass(slots=True)
class _Step:
    """What one packet brought: itself, and the pictures the decoder gave up meanwhile, each with its unit."""

    unit: _Unit | None
    shown: list[tuple[_Unit, av.VideoFrame]]


class PassThrough:
    """The items of the `packets` of one opened file or camera of H.264. `container`: libav's name of its kind."""

    def __init__(
        self,
        packets: Iterable[Packet[VideoStream]],
        track: VideoTrack,
        clock: PacketClock,
        sampler: LumaSampler,
        container: str = "",
    ) -> None:
        self._packets = packets
        self._track = track
        self._clock = clock
        self._sampler = sampler
        self._packing = Packing(track.codec_context.extradata or b"", clock.timescale)
        # These containers tell when a packet is decoded at best; when it is shown the decoder finds out.
        self._times_from_decoder = container in _WITHOUT_PRESENTATION_TIMES
        self._depth = int(track.codec_context.reorder_depth)
        self._last_dts: int | None = None
        self._losses = _Losses()
        self._begins_ns: int | None = None
        self._reached_ns = clock.end_ns

    def items(self) -> Iterator[SourceItem]:
        """Formats, packets, brightness planes and gaps, in the order a recorder needs them."""
        context = self._track.codec_context
        context.copy_opaque = True
        if context.width >= _MUCH_LARGER * self._sampler.width:
            context.options = context.options | {"skip_loop_filter": "nokey"}
        steps = self._steps()
        for step in _in_shown_order(steps, self._depth) if self._times_from_decoder else steps:
            if step.unit is not None:
                yield from self._unit_items(step.unit)
            for unit, frame in step.shown:
                if unit.times is not None and not unit.damage:
                    luma = self._sampler.take(frame, unit.times.pts_ns)
                    if luma is not None:
                        yield luma
        yield from self._losses.taken()

    def _unit_items(self, unit: _Unit) -> Iterator[SourceItem]:
        times = self._stamped(unit)
        if self._begins_ns is None and not unit.key:
            unit.damage = unit.damage or "the video begins in the middle of a group of pictures"
        if unit.damage:
            self._losses.add(times, unit.damage)
            return
        gaps = list(self._losses.taken())
        if times.jumped:
            gaps.append(Gap(times.pts_ns, times.pts_ns, "the clock of the video was set anew here"))
        elif not gaps and (not unit.continues or times.pts_ns - self._reached_ns > self._longest_pause_ns(unit, times)):
            gaps.append(Gap(min(self._reached_ns, times.pts_ns), times.pts_ns, "pictures are missing in the video"))
        yield from gaps
        if unit.format is not None:
            yield unit.format
        if self._begins_ns is None:
            self._begins_ns = times.pts_ns
        # Before the first key frame on screen: such a picture refers to others the file does not have.
        if times.pts_ns >= self._begins_ns:
            self._reached_ns = max(self._reached_ns, times.pts_ns + times.duration_ns)
            yield EncodedPacket(unit.data, times.pts_ns, times.dts_ns, times.duration_ns, unit.key)

    def _longest_pause_ns(self, unit: _Unit, times: Times) -> int:
        """A longer one means that pictures are missing. At an IDR picture counting them does not tell."""
        if unit.idr and self._begins_ns is not None:
            return min(_PAUSE_NS, 5 * times.duration_ns)
        return max(_PAUSE_NS, _MOST_BETWEEN * times.duration_ns) if self._depth else _PAUSE_NS

    def _stamped(self, unit: _Unit) -> Times:
        if unit.times is None:
            unit.times = self._clock.stamp(unit.pts, unit.dts, unit.duration)
        return unit.times

    def _steps(self) -> Iterator[_Step]:
        for packet in self._packets:
            unit = self._unit(packet)
            if not self._times_from_decoder:
                times = self._stamped(unit)
                if unit.disposable and not unit.damage and self._sampler.may_skip(times.pts_ns):
                    yield _Step(unit, [])
                    continue
            yield _Step(unit, self._decoded(packet, unit))
        yield _Step(None, self._decoded(None, None))

    def _decoded(self, packet: Packet[VideoStream] | None, unit: _Unit | None) -> list[tuple[_Unit, av.VideoFrame]]:
        if packet is not None:
            packet.opaque = unit
        try:
            frames = self._track.codec_context.decode(packet)
        except av.error.FFmpegError:
            if unit is not None:
                unit.damage = unit.damage or "a damaged picture cannot be decoded"
            return []
        return [(frame.opaque, frame) for frame in frames if isinstance(frame.opaque, _Unit)]

    def _unit(self, packet: Packet[VideoStream]) -> _Unit:
        duration = lasting_ticks(packet.duration, self._clock)
        pts = None if self._times_from_decoder else packet.pts
        dts = self._decoding_time(packet, duration)
        raw = bytes(packet)
        try:
            if packet.has_sidedata("new_extradata"):
                self._packing.configure(bytes(packet.get_sidedata("new_extradata")))
            units = self._packing.split(raw)
            fmt = self._packing.format_at(units) if packet.is_keyframe else None
            continues = self._packing.continues(units)
            damage = "part of a picture is missing" if packet.is_corrupt else None
        except BadInput as error:
            self._packing.interrupted()
            return _Unit(b"", pts, dts, duration, False, False, False, True, None, str(error))
        idr = any(h264.unit_type(unit) == h264.SLICE_IDR for unit in units)
        data = self._packing.joined(raw, units)
        return _Unit(
            data, pts, dts, duration, packet.is_keyframe or idr, idr, h264.is_disposable(units), continues, fmt, damage,
            self._packing.second_field,
        )  # fmt: skip

    def _decoding_time(self, packet: Packet[VideoStream], step: int) -> int:
        dts = packet.dts
        if dts is None:
            # Matroska leaves out the first few: a decoder's depth before the first picture is shown.
            first = (packet.pts or 0) - self._depth * step
            dts = first if self._last_dts is None else self._last_dts + step
        self._last_dts = dts
        return dts


class _Losses:
    """Collects a stretch of lost packets until a good one follows."""

    def __init__(self) -> None:
        self._open: Gap | None = None

    def add(self, times: Times, reason: str) -> None:
        """One packet is lost."""
        start, end = times.pts_ns, times.pts_ns + times.duration_ns
        if self._open is not None:
            start, end = min(start, self._open.start_ns), max(end, self._open.end_ns)
            reason = self._open.reason
        self._open = Gap(start, end, reason)

    def taken(self) -> Iterator[Gap]:
        """The stretch lost since the last call, if any."""
        if self._open is not None:
            gap, self._open = self._open, None
            yield gap


def _in_shown_order(steps: Iterator[_Step], depth: int) -> Iterator[_Step]:
    """Gives each unit its `pts`: the decoder's order of output tells which picture is shown in which place.

    Places are the decoding times since the last IDR picture, which is where counting can begin anew (H.264 7.4.1.2.4),
    later by the decoder's `depth` in pictures. A unit is held back until its place is known. The decoder gives one
    picture for two fields, with the unit of the first; the second, next in decoding order, is shown right behind it.
    """
    before: _Unit | None = None
    held: deque[_Step] = deque()
    period = _Period([])
    delay: int | None = None
    for step in steps:
        if step.unit is not None:
            if step.unit.idr:
                period = _Period([])
            if not step.unit.second_field:
                period.places.append(step.unit.dts)
            step.unit.period = period
        held.append(step)
        for unit, _ in step.shown:
            # A damaged packet may give two pictures; it has one place.
            if unit.period is not None and unit.pts is None:
                if delay is None:
                    delay = depth * (period.places[1] - period.places[0]) if len(period.places) > 1 else 0
                unit.pts = unit.period.next_place() + delay
        while held and (step.unit is None or _placed(held[0].unit, period) or len(held) > _MAX_HELD):
            first = held.popleft()
            if first.unit is not None and first.unit.second_field and before is not None and before.pts is not None:
                first.unit.pts = before.pts + first.unit.dts - before.dts
            before = first.unit or before
            if first.unit is not None and first.unit.pts is None:
                first.unit.damage = first.unit.damage or "a damaged picture cannot be decoded"
            yield first


def _placed(unit: _Unit | None, current: _Period) -> bool:
    """True where nothing more can be learnt of the unit's place."""
    if unit is None or unit.pts is not None or unit.damage is not None or unit.second_field:
        return True
    return unit.period is not current and current.taken > 0
