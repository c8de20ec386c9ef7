"""Restless places: where something goes to and fro for long over the same ground, and nobody came.

Laundry on a line, a sprinkler, a cloth in the wind travel as figures do, and are believed. What tells them from
visitors shows over half a minute: they came from nowhere, get nowhere, and hang or stand on something. It owns what is
known of the spots at which figures stay, and the ground found restless by that. It never decides what is a figure
(agent/core/motion_tracks.py).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

import cv2
import numpy as np

from agent.core.motion_constants import Constants
from agent.core.motion_scene import Grey
from agent.core.motion_things import Part, Stay, Thing, Track

_STAYS_MOST, _GROUNDS_MOST = 12, 16  # each holds a picture; those seen last are kept


@dataclass(slots=True)
class _Ground:
    """`mask`: 1 where it is restless. `used_s`: when something last moved there."""

    mask: Grey
    used_s: float


class Habits:
    """Of one source. `allowed`: 0 where a zone says that nothing counts, else 1."""

    def __init__(self, shape: tuple[int, int], allowed: Grey | None, constants: Constants) -> None:
        self._shape = shape
        self._scale = max(shape) / 320
        self._allowed = allowed
        self._c = constants
        self._stays: list[Stay] = []
        self._last: list[Track] = []
        self._grounds: list[_Ground] = []
        self._ground: Grey | None = None  # all of them

    def forget(self) -> None:
        """Another scene: what was learned of places is of no use."""
        self._stays.clear()
        self._last.clear()
        self._grounds.clear()
        self._ground = None

    def fresh(self, own: Grey, area: int, part: Part) -> float:
        """The share of a thing, its mask `own` lying at `part`, that is on ground not known to be restless."""
        if self._ground is None:
            return 1.0
        return 1 - cv2.countNonZero(cv2.bitwise_and(own, self._ground[part])) / area

    def let_go(self, tracks: list[Track], time_s: float) -> None:
        """A figure that for a while has been nothing but what moves there anyway is none: it left, or is lost in it."""
        for track in tracks:
            if track.thing.fresh >= self._c.habit_fresh:
                track.fresh_s = time_s
            elif track.known and track.fresh_s < time_s - self._c.habit_hold_s:
                _unbelieve(track)

    def observe(self, tracks: list[Track], time_s: float) -> None:
        """Learn from one frame's figures; those that turn out to be the restlessness of a place are no longer known."""
        c = self._c
        for track in tracks:
            if track.known and track.seen_s == time_s:
                self._note(track, time_s)
        self._notice_who_went_in(tracks, time_s)
        self._last = [track for track in tracks if track.known]
        for stay in [s for s in self._stays if s.moved_s == time_s and self._is_habit(s, time_s)]:
            self._learn(stay, tracks, time_s)
        kept = [s for s in self._stays if s.seen_s >= time_s - c.habit_lull_s or s.guest_until_s > time_s]
        self._stays = sorted(kept, key=lambda s: s.seen_s)[-_STAYS_MOST:]
        self._forget_old(tracks, time_s)

    def _note(self, track: Track, time_s: float) -> None:
        """Where a figure is, and how it got there."""
        thing, stay = track.thing, track.stay
        if stay is None:
            entered = self._enters(track.first)
            stay = (None if entered else self._around(track.first)) or self._begun(thing, entered, time_s)
            self._settle(track, stay)
        if self._gets_away(thing, stay):
            if _size(thing) >= 0.5 * stay.size:  # no splinter: who was there has left, or who had gone in has come out
                self._begin_anew(stay)
            came = stay.guest_until_s > time_s
            around = None if came else self._around(thing, stay)
            stay = around or self._begun(thing, came or not self._jumps(track), time_s)
            self._settle(track, stay)
        stay.seen_s = time_s
        if not thing.moves:
            return
        if stay.moved_s < time_s:
            gap_s = time_s - stay.moved_s
            stay.film_s += gap_s if gap_s < self._c.habit_pause_s else self._c.habit_rolls_s
            stay.frames += 1
            stay.moved_s = time_s
        stay.size = max(stay.size, _size(thing))
        self._walk(track, stay)
        right, bottom = thing.left + thing.width, thing.top + thing.height
        part = stay.covered[thing.top : bottom, thing.left : right]
        cv2.add(part, thing.own, part, dtype=cv2.CV_32F)
        left, top, old_right, old_bottom = stay.box
        stay.box = (min(left, thing.left), min(top, thing.top), max(old_right, right), max(old_bottom, bottom))

    def _jumps(self, track: Track) -> bool:
        """It was torn from one thing and joined to another just now: nobody went that way."""
        if len(track.sightings) < 2:
            return False
        (before_s, before), (now_s, now) = track.sightings[-2], track.sightings[-1]
        growth = max(before.area, now.area) / min(before.area, now.area)
        far = self._c.reach_px + self._c.reach_px_s * (now_s - before_s)
        return growth > self._c.habit_growth or math.dist((before.x, before.y), (now.x, now.y)) > far * self._scale

    def _gets_away(self, thing: Thing, stay: Stay) -> bool:
        across = max(stay.right, thing.x) - min(stay.left, thing.x)
        down = max(stay.bottom, thing.y) - min(stay.top, thing.y)
        return max(across, down) > self._c.habit_reach * max(_size(thing), stay.size)

    def _walk(self, track: Track, stay: Stay) -> None:
        """Add to the way gone, but for trembling."""
        thing = track.thing
        here = (thing.x, thing.y)
        step = math.dist(track.to_px, here)
        if step < max(self._c.travel_px * self._scale, self._c.travel_size * min(thing.width, thing.height)):
            return
        before = track.way_px - math.dist(track.from_px, track.to_px)
        track.way_px, track.to_px = track.way_px + step, here
        stay.undone_px += track.way_px - math.dist(track.from_px, here) - before
        stay.left, stay.right = min(stay.left, thing.x), max(stay.right, thing.x)
        stay.top, stay.bottom = min(stay.top, thing.y), max(stay.bottom, thing.y)

    def _settle(self, track: Track, stay: Stay) -> None:
        track.stay, track.way_px = stay, 0.0
        track.from_px = track.to_px = (track.thing.x, track.thing.y)

    def _begun(self, thing: Thing, guest: bool, time_s: float) -> Stay:
        box = (thing.left, thing.top, thing.left + thing.width, thing.top + thing.height)
        stay = Stay(_size(thing), time_s, time_s, box, np.zeros(self._shape, np.float32), self._c.habit_rolls_s)
        if guest:
            stay.guest_until_s = time_s + self._c.habit_guest_s
        self._stays.append(stay)
        return stay

    def _begin_anew(self, stay: Stay) -> None:
        stay.film_s, stay.frames, stay.undone_px = self._c.habit_rolls_s, 0, 0.0
        stay.left = stay.top = math.inf
        stay.right = stay.bottom = -math.inf
        stay.covered[:] = 0

    def _around(self, thing: Thing, other: Stay | None = None) -> Stay | None:
        """The stay, but for `other`, in whose place most of a thing lies."""
        best, most = None, 0.5 * thing.width * thing.height
        for stay in self._stays:
            left, top, right, bottom = stay.box
            across = min(right, thing.left + thing.width) - max(left, thing.left)
            down = min(bottom, thing.top + thing.height) - max(top, thing.top)
            if stay is not other and across > 0 and down > 0 and across * down >= most:
                best, most = stay, across * down
        return best

    def _enters(self, first: Thing) -> bool:
        """It was first seen at the edge of the picture, or of where anything counts: it may have come in."""
        bottom, right = first.top + first.height, first.left + first.width
        edge = self._c.habit_edge_px * self._scale
        if min(first.left, first.top) < edge or bottom > self._shape[0] - edge or right > self._shape[1] - edge:
            return True
        if self._allowed is None:
            return False
        around = self._allowed[first.top - 2 : bottom + 2, first.left - 2 : right + 2]
        return cv2.countNonZero(around) < around.size

    def _notice_who_went_in(self, tracks: list[Track], time_s: float) -> None:
        """A guest who is lost where something else stays may be in there: it is taken for theirs from then on."""
        for track in self._last:
            own, thing = track.stay, track.thing
            if own is None or own.guest_until_s <= time_s or track in tracks:
                continue
            y, x = min(round(thing.y), self._shape[0] - 1), min(round(thing.x), self._shape[1] - 1)
            for stay in self._stays:
                if stay is not own and stay.covered[y, x] and _size(thing) >= 0.5 * stay.size:
                    stay.guest_until_s = max(stay.guest_until_s, time_s + self._c.habit_guest_s)

    def _is_habit(self, stay: Stay, time_s: float) -> bool:
        c = self._c
        if stay.film_s < c.habit_s or time_s < stay.guest_until_s or stay.size > c.habit_most * self._shape[0]:
            return False
        extent = max(stay.right - stay.left, stay.bottom - stay.top, c.travel_px * self._scale)
        tied = float(stay.covered.max()) >= c.habit_tied * stay.frames
        return tied and stay.undone_px >= c.habit_turns * extent

    def _learn(self, stay: Stay, tracks: list[Track], time_s: float) -> None:
        size = 2 * round(self._c.habit_margin_px * self._scale) + 1
        often = (stay.covered > self._c.habit_seen * stay.frames).view(np.uint8)
        self._grounds.append(_Ground(cv2.dilate(often, np.ones((size, size), np.uint8)), time_s))
        self._sum_up()
        self._stays = [s for s in self._stays if s != stay]
        for track in tracks:
            thing, other = track.thing, track.stay
            part = (slice(thing.top, thing.top + thing.height), slice(thing.left, thing.left + thing.width))
            guest = other is not None and other.guest_until_s > time_s and _size(thing) >= 0.5 * stay.size
            if other is stay or (not guest and self.fresh(thing.own, thing.area, part) < self._c.habit_fresh):
                _unbelieve(track)

    def _forget_old(self, tracks: list[Track], time_s: float) -> None:
        if not self._grounds:
            return
        here = [t.thing for t in tracks if t.seen_s == time_s and t.thing.moves and t.thing.fresh < 1]
        for ground in self._grounds:
            if any(ground.mask[round(thing.y), round(thing.x)] for thing in here):
                ground.used_s = time_s
        if len(self._grounds) > _GROUNDS_MOST or self._grounds[0].used_s < time_s - self._c.habit_keep_s:
            self._grounds = [g for g in self._grounds if g.used_s >= time_s - self._c.habit_keep_s][-_GROUNDS_MOST:]
            self._sum_up()
        self._grounds.sort(key=lambda g: g.used_s)

    def _sum_up(self) -> None:
        self._ground = None
        for ground in self._grounds:
            self._ground = ground.mask if self._ground is None else cv2.max(self._ground, ground.mask)


def _size(thing: Thing) -> float:
    """Its longer side, px."""
    return float(max(thing.width, thing.height))


def _unbelieve(track: Track) -> None:
    """It is followed as if it had begun now, as a part of what moves there anyway."""
    track.known, track.stay, track.travelled_s = False, None, -math.inf
    track.thing = track.first = replace(track.thing, fresh=0.0)
    track.first_s, track.hits = track.seen_s, 1
    track.sightings = deque([(track.seen_s, track.thing)])
