"""Sound on its way into a clip: kept for the pre-roll, made continuous, cut where the pictures are cut.

Owns which packets make one fragment, so that a stretch of whole pictures can be given away with or without its sound.
Never decodes, never knows a clip's keys. Times are those of the source, ns. Source: docs/spec/fragment.md "Sound".
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from agent.core.aac import FRAME_SAMPLES, MAX_PACKET_BYTES
from agent.core.frame import SoundFormat, SoundPacket

_SECOND_NS: Final = 1_000_000_000
MAX_RUN_PACKETS: Final = 1024
_LONGEST_NS: Final = 2 * _SECOND_NS
_SHORTEST_NS: Final = _SECOND_NS // 2
# Closer than this to where it should follow, a packet follows: nobody hears it, and jitter must not tear the sound.
_TOLERANCE_NS: Final = 20_000_000
_MOST_KEPT: Final = 8192  # nearly three minutes: more than may lie behind a key frame


@dataclass(frozen=True, slots=True)
class SoundRun:
    """Packets that make one fragment, each heard when the one before it ends. Lasts to where it was cut at most."""

    packets: tuple[bytes, ...]
    start_ns: int
    duration_ns: int

    @property
    def size(self) -> int:
        """Bytes of sound in the run."""
        return sum(len(data) for data in self.packets)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A packet in its place: `start_ns` counted on from the first of `piece`, a stretch without a break."""

    data: bytes
    piece: int
    start_ns: int
    end_ns: int


class SoundShelf:
    """The sound of one format. While a clip is recorded (`begin` … `end`) its runs come out, in order.

    A run ends where a run of pictures begins (`cut`) once it is half a second long, where the sound has a hole, and
    after two seconds at the latest. It comes out when pictures and sound have come that far; at the end, what there is.
    """

    def __init__(self, fmt: SoundFormat) -> None:
        self._rate_hz = fmt.rate_hz
        self._kept: deque[_Kept] = deque()
        self._next: int | None = None  # of those kept, the first not in a run of the clip; None: no clip is recorded
        self._zero_ns = 0
        self._cuts: deque[int] = deque()
        self._piece = 0
        self._piece_start_ns = 0
        self._piece_packets = 0
        self._last_end_ns: int | None = None

    @property
    def size(self) -> int:
        """Bytes kept."""
        return sum(len(kept.data) for kept in self._kept)

    def push(self, packet: SoundPacket) -> list[SoundRun]:
        """Takes the next packet; one that overlaps what was heard before it, or that cannot be one, is left out."""
        if not 0 < len(packet.data) <= MAX_PACKET_BYTES:
            return []
        if self._last_end_ns is None or packet.pts_ns > self._last_end_ns + _TOLERANCE_NS:
            self._piece, self._piece_start_ns, self._piece_packets = self._piece + 1, packet.pts_ns, 0
        elif packet.pts_ns < self._last_end_ns - _TOLERANCE_NS:
            return []
        start_ns = self._place(self._piece_packets)
        self._piece_packets += 1
        self._last_end_ns = self._place(self._piece_packets)
        self._kept.append(_Kept(packet.data, self._piece, start_ns, self._last_end_ns))
        self._skip_early()
        runs = self._ready()
        if len(self._kept) > _MOST_KEPT:
            if self._next == 0:
                # The pictures have stopped: nothing is to be cut where they are.
                runs.append(self._take(self._last_end_ns))
            self.forget(self._kept[1].start_ns)
        return runs

    def _place(self, packets: int) -> int:
        """Counted from the piece's beginning, so that roundings do not add up."""
        return self._piece_start_ns + packets * FRAME_SAMPLES * _SECOND_NS // self._rate_hz

    def begin(self, zero_ns: int) -> None:
        """A clip begins with the picture shown at `zero_ns`; what begins before it does not belong to it."""
        self._next, self._zero_ns = 0, zero_ns
        self._cuts.clear()
        self._skip_early()

    def _skip_early(self) -> None:
        while self._next is not None and self._next < len(self._kept):
            if self._kept[self._next].start_ns >= self._zero_ns:
                break
            self._next += 1

    def cut(self, at_ns: int) -> list[SoundRun]:
        """A run of the clip's pictures begins at `at_ns`."""
        self._cuts.append(at_ns)
        return self._ready()

    def end(self, end_ns: int) -> list[SoundRun]:
        """The clip's pictures end at `end_ns`: the runs that are left."""
        runs = self._ready()
        while self._next is not None and self._next < len(self._kept):
            if self._kept[self._next].start_ns >= end_ns:
                break
            runs.append(self._take(end_ns))
        self._next = None
        self._cuts.clear()
        return runs

    def forget(self, before_ns: int) -> None:
        """Nothing that begins before `before_ns` is needed for a clip that is still to begin."""
        while self._kept and self._kept[0].start_ns < before_ns and self._next != 0:
            self._kept.popleft()
            if self._next is not None:
                self._next -= 1

    def _ready(self) -> list[SoundRun]:
        runs = []
        while self._next is not None and self._next < len(self._kept):
            first, last = self._kept[self._next], self._kept[-1]
            while self._cuts and self._cuts[0] < first.start_ns + _SHORTEST_NS:
                self._cuts.popleft()
            if not self._cuts:
                break
            until_ns = min(first.start_ns + _LONGEST_NS, self._cuts[0])
            if last.start_ns < until_ns and last.piece == first.piece:
                break
            runs.append(self._take(until_ns))
        return runs

    def _take(self, until_ns: int) -> SoundRun:
        """The packets next in turn that belong together and begin before `until_ns`: at least one does."""
        assert self._next is not None, "runs are taken while a clip is recorded"
        first = self._kept[self._next]
        until_ns = min(until_ns, first.start_ns + _LONGEST_NS)
        taken = []
        for index in range(self._next, len(self._kept)):
            kept = self._kept[index]
            if kept.piece != first.piece or kept.start_ns >= until_ns:
                break
            taken.append(kept)
        self._next += len(taken)
        # The last packet may be heard a little beyond the cut; that must not make the run part of what follows.
        end_ns = min(taken[-1].end_ns, until_ns)
        return SoundRun(tuple(kept.data for kept in taken), first.start_ns, end_ns - first.start_ns)
