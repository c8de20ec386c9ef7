"""Says of each clip what it shows: its best picture, and its labels where there is a detector.

Chooses which frames a detector sees (what moves, at most two a second), lets its answers vote, and keeps the one frame
that becomes the poster. Runs in the recorder's thread and never waits for the detector, unless the detector itself is
one that is to miss nothing. Writes nothing: what it says is sealed by `clipper`, and said in no log.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from agent.core.about import POSTER_SIDE
from agent.core.detection import Look, Seen
from agent.core.frame import LumaFrame
from agent.core.labels import Votes, what_moved
from agent.core.motion import Motion
from agent.core.picture import Area, jpeg

BETWEEN_LOOKS_NS = 500_000_000
_CUT_OFF = 0.6  # what a figure at the picture's edge is worth beside one that is whole
_EDGE = 0.01


class Sight(Protocol):
    """A detector that works elsewhere, on one look at a time."""

    def offer(self, look: Look) -> bool:
        """Take a look, unless it is still at another: False then."""

    def seen(self) -> list[Seen]:
        """What it has finished since it was last asked."""

    def settle(self) -> None:
        """The clip is over: finish what was taken, if it is to miss nothing."""


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What a clip shows. `poster` is a JPEG of the moment `poster_ns` on the source's clock; None where none is to be
    had."""

    labels: list[str]
    poster: bytes | None
    poster_ns: int


@dataclass(slots=True)
class _Best:
    """The frame for the poster; `rank`: something recognised before something that moves, then the larger."""

    rank: tuple[bool, float]
    frame: LumaFrame


class Onlooker:
    """One source's clips, one after the other."""

    def __init__(self, sight: Sight | None = None) -> None:
        self._sight = sight
        self._clip = 0
        self._forget()

    def _forget(self) -> None:
        self._clip += 1
        self._votes = Votes()
        self._noted: list[str] = []
        self._best: _Best | None = None
        self._next_look_ns: int | None = None

    def observe(self, frame: LumaFrame, motion: Motion) -> list[str]:
        """A frame and its verdict; the labels that are certain now and were not before."""
        won = self._count()
        if frame.picture is None:
            return won
        if not motion.moving:
            if self._noted:
                self._consider((False, 0.0), frame)  # who rings may stand still: better any picture than none
            return won
        moving = tuple((box.left, box.top, box.right, box.bottom) for box in motion.boxes)
        self._consider((False, max(map(_worth, moving))), frame)
        due = self._next_look_ns is None or frame.time_ns >= self._next_look_ns
        if self._sight is not None and due and self._sight.offer(Look(frame, moving, self._clip)):
            self._next_look_ns = frame.time_ns + BETWEEN_LOOKS_NS
        return won

    def note(self, label: str) -> None:
        """The clip has this label for another reason than its pictures."""
        if label not in self._noted:
            self._noted.append(label)

    def conclude(self) -> Witnessed:
        """The clip is over. What follows belongs to the next."""
        if self._sight is not None:
            self._sight.settle()
            self._count()
        labels = [*self._noted, *(label for label in self._votes.won if label not in self._noted)]
        best = self._best
        self._forget()
        if best is None or best.frame.picture is None:
            return Witnessed(labels, None, 0)
        return Witnessed(labels, jpeg(best.frame.picture(), longest=POSTER_SIDE), best.frame.time_ns)

    def _count(self) -> list[str]:
        won: list[str] = []
        for seen in self._sight.seen() if self._sight is not None else ():
            if seen.look.clip != self._clip:
                continue
            found = what_moved(seen.sightings, seen.look.moving)
            won += self._votes.add(sighting.label for sighting in found)
            for sighting in found:
                self._consider((True, sighting.confidence * _worth(sighting.area)), seen.look.frame)
        return won

    def _consider(self, rank: tuple[bool, float], frame: LumaFrame) -> None:
        if self._best is None or rank > self._best.rank:
            self._best = _Best(rank, frame)


def _worth(area: Area) -> float:
    """How much a figure fills of the picture, less where the picture's edge cuts it."""
    left, top, right, bottom = area
    cut = left < _EDGE or top < _EDGE or right > 1 - _EDGE
    return math.sqrt(max(0.0, right - left) * max(0.0, bottom - top)) * (_CUT_OFF if cut else 1.0)
