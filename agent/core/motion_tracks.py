"""From places that differ to figures that go somewhere.

It owns the things seen in the last seconds, follows each from frame to frame, and decides when one is a figure: it has
travelled, fairly straight, for its size; or it is large and will not keep still. What moves in its place for long is
none (agent/core/motion_habits.py). It never touches the empty scene. The tests of an outline against the remembered
picture tell ghosts, light and solid things apart: docs/design/motion.md.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from dataclasses import dataclass, field

import cv2
import numpy as np

from agent.core.motion_constants import Constants
from agent.core.motion_habits import Habits
from agent.core.motion_scene import Changes, EmptyScene, Grey, Guard, Plane
from agent.core.motion_things import Part, Thing, Track

_KERNEL_3 = np.ones((3, 3), np.uint8)
_KERNEL_5 = np.ones((5, 5), np.uint8)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a frame says about figures: those in motion, since when, those at rest, and all candidates for the view."""

    moving: tuple[Thing, ...] = ()
    since_s: float = 0.0
    lingering: bool = False
    candidates: tuple[Thing, ...] = field(default=())


class Tracker:
    """Follows the things of one source. `allowed`: 0 where a zone says that nothing counts, else 1."""

    def __init__(self, shape: tuple[int, int], area_factor: float, allowed: Grey | None, constants: Constants) -> None:
        height, width = shape
        self._shape = shape
        self._scale = max(shape) / 320
        self._least = max(constants.area_least_px, constants.area * height * width) * area_factor
        self._allowed = allowed
        self._c = constants
        self._tracks: list[Track] = []
        self._habits = Habits(shape, allowed, constants)
        self._visit_area = 0.0
        self._last_s = 0.0

    def guards(self) -> list[Guard]:
        """Where the empty scene must not be relearned now."""
        out = []
        for track in self._tracks:
            if track.known:
                thing = track.thing
                margin = int(4 + self._c.guard_share * max(thing.width, thing.height))
                out.append(
                    Guard(
                        max(0, thing.left - margin), max(0, thing.top - margin),
                        thing.left + thing.width + margin, thing.top + thing.height + margin,
                        self._last_s - track.travelled_s < self._c.going_s,
                    )
                )  # fmt: skip
        return out

    def forget(self) -> None:
        """Another scene: what was followed is gone."""
        self._tracks.clear()
        self._habits.forget()

    def observe(self, changes: Changes, scene: EmptyScene, time_s: float) -> Figures:
        """Follow the things of one frame."""
        step_s, self._last_s = time_s - self._last_s, time_s
        things = self._things(changes, scene)
        self._follow(things, time_s)
        self._habits.let_go(self._tracks, time_s)
        moving: list[Thing] = []
        since_s = time_s
        for track in self._tracks:
            if track.seen_s < time_s or changes.settling:
                continue
            track.known = track.known or (track.thing.moves and self._is_figure(track, changes, time_s))
            if not track.known:
                continue
            if self._travels(track, changes.starting, time_s):
                track.travelled_s = time_s
            goes = time_s - track.travelled_s < self._c.going_s
            if track.thing.moves and (goes or track.thing.area > self._c.remnant_share * self._visit_area):
                moving.append(track.thing)
                since_s = min(since_s, track.first_s if track.hits < self._c.back_hits else time_s)
        self._habits.observe(self._tracks, time_s)
        present = [t.thing for t in self._tracks if t.known and t.seen_s == time_s]
        self._visit_area *= math.exp(-step_s / self._c.visit_s)
        if moving:
            self._visit_area = max(self._visit_area, float(sum(t.area for t in present)))
        solid = sum(t.area for t in present if t.solid)
        lingering = not moving and solid > self._c.linger_share * self._visit_area
        moving.sort(key=lambda t: -t.area)
        return Figures(tuple(moving), since_s, lingering, tuple(things))

    def _things(self, changes: Changes, scene: EmptyScene) -> list[Thing]:
        mask = changes.differs if self._allowed is None else cv2.bitwise_and(changes.differs, self._allowed)
        x0, y0, width, height = cv2.boundingRect(mask)
        if not height:
            return []
        within = mask[y0 : y0 + height, x0 : x0 + width]
        _, labels, stats, centres = cv2.connectedComponentsWithStatsWithAlgorithm(
            within, 8, cv2.CV_16U, cv2.CCL_SPAGHETTI
        )  # less than half the time of the default
        areas = stats[:, cv2.CC_STAT_AREA]
        big = [int(i) for i in np.argsort(-areas, kind="stable") if i and areas[i] >= self._least]
        followed = [track.thing for track in self._tracks if track.known]
        things = []
        for i in big[: self._c.things_most]:
            left, top, width, height, area = (int(v) for v in stats[i])
            own = (labels[top : top + height, left : left + width] == i).view(np.uint8)
            left, top = left + x0, top + y0
            part = (slice(top, top + height), slice(left, left + width))
            moved = cv2.countNonZero(cv2.bitwise_and(own, changes.moves[part]))
            solid = True
            if moved < max(3.0, self._c.moving_share * area):
                now, before = self._rims(own, left, top, changes)
                if now < self._c.ghost_rim * (before + 1):
                    if not changes.damaged:
                        scene.take_in(own, left, top, changes.picture)
                    continue
                solid = now > self._c.solid_rim * (before + 1)
            level = cv2.mean(changes.threshold[part], own)[0]
            thing = Thing(
                left, top, width, height, area, x0 + float(centres[i][0]), y0 + float(centres[i][1]),
                moved >= max(4.0, self._c.moving_share * area),
                cv2.mean(changes.difference[part], own)[0] / max(level, 1.0), solid, own,
                self._habits.fresh(own, area, part),
            )  # fmt: skip
            known = any(there.shared(thing) for there in followed)
            if known or not self._is_light(own, thing, changes):
                things.append(thing)
        return things

    def _framed(self, own: Grey, left: int, top: int, margin: int) -> tuple[Grey, Part, Part]:
        """The mask with a margin around it, what of that lies in the picture, and where in the picture that is."""
        height, width = own.shape
        y0, x0 = max(0, top - margin), max(0, left - margin)
        y1, x1 = min(self._shape[0], top + height + margin), min(self._shape[1], left + width + margin)
        whole = cv2.copyMakeBorder(own, margin, margin, margin, margin, cv2.BORDER_CONSTANT)
        inner = (slice(y0 - top + margin, y1 - top + margin), slice(x0 - left + margin, x1 - left + margin))
        return whole, inner, (slice(y0, y1), slice(x0, x1))

    def _rims(self, own: Grey, left: int, top: int, changes: Changes) -> tuple[float, float]:
        """Mean steepness along the outline: in the picture, and in the empty scene, grey levels."""
        whole, inner, part = self._framed(own, left, top, 2)
        ring = cv2.morphologyEx(whole, cv2.MORPH_GRADIENT, _KERNEL_5)[inner]
        now, before = (
            cv2.mean(cv2.morphologyEx(p[part], cv2.MORPH_GRADIENT, _KERNEL_3), ring)[0]
            for p in (changes.picture, changes.expected)
        )
        return now, before

    def _is_light(self, own: Grey, thing: Thing, changes: Changes) -> bool:
        """The same surface in another light: no new outline, or structure that correlates with the empty scene's."""
        c = self._c
        if thing.width * thing.height > c.soft_least_px * self._scale**2:
            now, before = self._rims(own, thing.left, thing.top, changes)
            if now < c.soft_rim * before + c.soft_noise * changes.noise or self._sets_in_gradually(own, thing, changes):
                return True
        y0, x0 = max(0, thing.top - 4), max(0, thing.left - 4)
        part = (slice(y0, thing.top + thing.height + 4), slice(x0, thing.left + thing.width + 4))
        a, b = (p[part].astype(np.float32) for p in (changes.picture, changes.expected))

        def mean(values: Plane) -> Plane:
            return cv2.boxFilter(values, -1, (7, 7))

        mean_a, mean_b = mean(a), mean(b)
        least = (1.5 * changes.noise) ** 2 + 1
        spread = np.maximum(mean(a * a) - mean_a**2, least) * np.maximum(mean(b * b) - mean_b**2, least)
        match = (mean(a * b) - mean_a * mean_b) / np.sqrt(spread)
        inner = match[thing.top - y0 :, thing.left - x0 :][: thing.height, : thing.width]
        return float((inner[own > 0] > c.light_match).mean()) > c.light_share

    def _sets_in_gradually(self, own: Grey, thing: Thing, changes: Changes) -> bool:
        """The difference rises slowly, over 3 px, beside what it is inside: at the outline, and up to its brightest.

        So does light on a wall. The glare around a lamp does, the lamp itself does not.
        """
        whole, inner, place = self._framed(own, thing.left, thing.top, 4)
        smooth = cv2.boxFilter(changes.difference[place], -1, (3, 3))
        rise = cv2.morphologyEx(smooth, cv2.MORPH_GRADIENT, _KERNEL_3)
        brightest = self._c.soft_core * float(smooth.max())
        core = cv2.threshold(smooth, brightest, 1, cv2.THRESH_BINARY)[1]
        return all(
            cv2.mean(rise, cv2.morphologyEx(part, cv2.MORPH_GRADIENT, _KERNEL_5))[0]
            < self._c.soft_rise * cv2.mean(smooth, part)[0]
            for part in (whole[inner], core)
        )

    def _follow(self, things: list[Thing], time_s: float) -> None:
        free = list(things)
        for track in sorted(self._tracks, key=lambda t: (not t.known, -t.hits)):
            best = self._nearest(track, free, time_s)
            if best is None:
                track.misses += 1
                continue
            free.remove(best)
            gap_s = time_s - track.seen_s
            if gap_s > 0:
                mix = self._c.velocity_mix
                track.across_px_s += mix * ((best.x - track.thing.x) / gap_s - track.across_px_s)
                track.down_px_s += mix * ((best.y - track.thing.y) / gap_s - track.down_px_s)
            track.thing, track.seen_s = best, time_s
            track.hits += 1
            track.sightings.append((time_s, best))
            while track.sightings[0][0] <= time_s - self._c.watch_long_s:
                track.sightings.popleft()
        # What appears within a figure's outline is a part of it.
        parts = [
            f.fresh >= self._c.habit_fresh
            and any(t.known and 2 * t.thing.shared(f) > f.width * f.height for t in self._tracks)
            for f in free
        ]
        self._tracks += [
            Track(time_s, time_s, thing, thing, deque([(time_s, thing)]), known=part, fresh_s=time_s)
            for thing, part in zip(free, parts, strict=True)
        ]
        keep = {True: self._c.forget_known_s, False: self._c.forget_s}
        self._tracks = [t for t in self._tracks if time_s - t.seen_s < keep[t.known]]

    def _nearest(self, track: Track, things: list[Thing], time_s: float) -> Thing | None:
        c, last = self._c, track.thing
        gap_s = time_s - track.seen_s
        x, y = last.x + track.across_px_s * gap_s, last.y + track.down_px_s * gap_s
        best, best_distance = None, math.inf
        for thing in things:
            distance = math.hypot(thing.x - x, thing.y - y)
            growth = max(thing.area, last.area) / min(thing.area, last.area)
            if distance >= best_distance or growth > c.change_inside:
                continue
            size = max(min(thing.width, thing.height), min(last.width, last.height))
            reach = (c.reach_px + c.reach_px_s * gap_s) * self._scale + c.reach_size * size
            near = growth < c.change and distance < reach
            smaller = min(thing.width * thing.height, last.width * last.height)
            if near or last.shared(thing) > c.overlap * smaller:
                best, best_distance = thing, distance
        return best

    def _is_figure(self, track: Track, changes: Changes, time_s: float) -> bool:
        c = self._c
        seen = [s for s in track.sightings if s[0] > time_s - c.watch_s]
        lasted_s = time_s - seen[0][0]
        area = sum(t.area for _, t in seen) / len(seen)
        needed_s = c.big_s if area >= c.big_times * self._least else c.small_s
        if len(seen) < c.hits or lasted_s < needed_s:
            return False
        if sum(t.moves for _, t in seen) < 0.6 * len(seen):
            return False
        if sum(t.fresh for _, t in seen) < c.habit_fresh * len(seen):
            return False
        if changes.starting and area < c.big_times * self._least:
            return False
        # What is left of streaks is small and soon gone: a small thing has to be followed for longer.
        if changes.rain and len(seen) < c.hits_rain * (1 if area >= c.rain_times * self._least else c.rain_patience):
            return False
        faint = sum(t.strength for _, t in seen) < c.restless_strength * len(seen)
        doubtful = faint and not changes.rain and area < c.restless_times * self._least
        if doubtful and self._is_restless_around(track.thing, changes) and not self._persists(track, time_s):
            return False
        if not changes.rain and self._darts(seen):
            return False
        if self._travels(track, changes.starting, time_s):
            return True
        thing = track.thing
        large = thing.area >= c.large_share * self._shape[0] * self._shape[1]
        firm = thing.strength > c.large_strength and thing.area > c.large_fill * thing.width * thing.height
        return large and firm and not changes.starting and len(seen) >= c.large_hits and lasted_s >= c.large_s

    def _darts(self, seen: list[tuple[float, Thing]]) -> bool:
        """It is quicker for its size than people and animals are, and not plainly on a way: an insect, or chance."""
        c, places = self._c, [(thing.x, thing.y) for _, thing in seen]
        path = sum(math.dist(a, b) for a, b in itertools.pairwise(places))
        size = sum(max(thing.width, thing.height) for _, thing in seen) / len(seen)
        if size >= c.dart_most_px * self._scale or path < c.dart_pace * size * (seen[-1][0] - seen[0][0]):
            return False
        return len(seen) < c.dart_hits or math.dist(places[0], places[-1]) < c.dart_straight * path

    def _persists(self, track: Track, time_s: float) -> bool:
        """It has been followed for a while, hardly ever lost, and goes by no detours."""
        c, places = self._c, [(thing.x, thing.y) for _, thing in track.sightings]
        path = sum(math.dist(a, b) for a, b in itertools.pairwise(places))
        straight = math.dist(places[0], places[-1]) >= c.restless_straight * path
        seen = track.hits >= c.restless_seen * (track.hits + track.misses)
        return straight and seen and time_s - track.sightings[0][0] >= c.restless_s

    def _is_restless_around(self, thing: Thing, changes: Changes) -> bool:
        """Whether the place where it is does much by itself."""
        margin = round(8 * self._scale)
        part = changes.threshold[
            max(0, thing.top - margin) : thing.top + thing.height + margin,
            max(0, thing.left - margin) : thing.left + thing.width + margin,
        ]
        quiet = np.percentile(changes.threshold[::4, ::4], 10)
        return bool(part.mean() >= self._c.restless * quiet)

    def _travels(self, track: Track, starting: bool, time_s: float) -> bool:
        """It got somewhere, for its size, and not by detours: within a second, or within three."""
        c, thing = self._c, track.thing
        least_px = c.travel_px * self._scale * (c.start_travel if starting and not track.known else 1.0)
        needed = max(least_px, c.travel_size * min(thing.width, thing.height))
        for window_s, pace_s, straight in ((c.watch_s, 0.0, c.straight), (c.watch_long_s, 0.29, c.straight_long)):
            seen = [s for s in track.sightings if s[0] > time_s - window_s]
            net = math.dist((thing.x, thing.y), (seen[0][1].x, seen[0][1].y))
            if net < needed:
                continue
            path, (last_s, last) = 0.0, seen[0]
            for at_s, here in seen[1:]:
                if at_s - last_s >= pace_s or here is thing:
                    path += math.dist((here.x, here.y), (last.x, last.y))
                    last_s, last = at_s, here
            if net >= straight * path:
                return True
        return False
