"""Things that differ from the empty scene, each of them over time, and the spots at which they stay.

It owns what is remembered of them; finding and following them is agent/core/motion_tracks.py, telling visitors from
what moves in its place agent/core/motion_habits.py.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from agent.core.motion_scene import Grey, Plane

Part = tuple[slice, slice]  # rows, columns


@dataclass(frozen=True, slots=True)
class Thing:
    """A connected region that differs, in px. `moves`: it changes now. `solid`: at rest, and plainly an object."""

    left: int
    top: int
    width: int
    height: int
    area: int
    x: float
    y: float
    moves: bool
    strength: float  # mean difference over mean threshold
    solid: bool
    own: Grey = field(repr=False, compare=False)  # 1 where it is, of its rectangle
    fresh: float = 1.0  # the share of it that is not where the place is known to be restless

    def shared(self, other: Thing) -> int:
        """Area that both rectangles cover, px²."""
        across = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        down = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        return max(0, across) * max(0, down)


@dataclass(slots=True, eq=False)
class Stay:
    """One spot, and how those go about who are there without leaving it: one figure, or one after the other.

    `left` to `bottom`: where their centres have been. `guest_until_s`: somebody came, and is a visitor until then.
    """

    size: float  # the longer side of the largest that was there
    seen_s: float
    moved_s: float
    box: tuple[int, int, int, int]  # left, top, right, bottom of all of them
    covered: Plane  # in how many of the frames something that moves was there
    film_s: float  # what it has cost, with what comes before and after in a clip
    frames: int = 0  # in which something moved
    undone_px: float = 0.0  # the way gone, less how far it led: what was gone back again
    guest_until_s: float = -math.inf
    left: float = math.inf
    top: float = math.inf
    right: float = -math.inf
    bottom: float = -math.inf


@dataclass(slots=True, eq=False)
class Track:
    """One thing over time. `known`: recognised as a figure. `first`: how it began."""

    first_s: float
    seen_s: float
    thing: Thing
    first: Thing
    sightings: deque[tuple[float, Thing]]
    hits: int = 1
    misses: int = 0
    known: bool = False
    across_px_s: float = 0.0
    down_px_s: float = 0.0
    travelled_s: float = -math.inf
    fresh_s: float = -math.inf  # when it last stood out from what is restless where it is
    stay: Stay | None = None
    from_px: tuple[float, float] = (0.0, 0.0)  # where its way in this stay began,
    to_px: tuple[float, float] = (0.0, 0.0)  # where it has got to, but for trembling,
    way_px: float = 0.0  # and how long it was
