"""The empty scene: what the camera sees when nobody is there, and where a frame differs from it.

It owns the remembered picture, each place's own unrest and the light of the moment, and tells three masks apart: what
differs, what differs more than this place does by itself, and what is changing now. It never decides whether a
difference is a figure (agent/core/motion_tracks.py). Selective running average with per-pixel thresholds, after
SACON/PBAS-like background models; registration after Lucas and Kanade (1981). Method: docs/design/motion.md.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

from agent.core.motion_constants import Constants

# OpenCV's annotations do not tell kinds of numbers apart: of uint8 (grey levels, masks) and of float32.
Grey = MatLike
Plane = MatLike

_BLOCKS = (8, 5)
_BAR_COLUMNS = 8  # each how many columns one is looked at
_FLAT_FOR_S = 0.5  # the empty scene changes over seconds; what is derived from it may be this old
_KERNEL_3 = np.ones((3, 3), np.uint8)
_KERNEL_5 = np.ones((5, 5), np.uint8)
_KERNEL_9 = np.ones((9, 9), np.uint8)


@dataclass(frozen=True, slots=True)
class Guard:
    """A recognised figure's rectangle, px, within which the empty scene is not relearned. `going`: it gets about."""

    left: int
    top: int
    right: int
    bottom: int
    going: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """One frame against the empty scene; masks are 0 or 1, all of one shape.

    `picture`: the frame, held still; `expected`: the empty scene in the frame's light; `difference` and `threshold` in
    grey levels; `differs`: where it is more than the place does by itself; `moves`: where it changed just now.
    """

    picture: Grey
    expected: Grey
    difference: Grey
    threshold: Grey
    differs: Grey
    moves: Grey
    noise: float
    rain: bool
    settling: bool  # after a switch of light, or in a damaged picture: nothing new is to be believed
    damaged: bool  # part of the picture shows nothing that is there
    starting: bool


class EmptyScene:
    """Takes frames of one shape in order of time."""

    def __init__(self, shape: tuple[int, int], caution: Plane | float, constants: Constants) -> None:
        """`caution` multiplies the thresholds, for the whole picture or for each pixel; 0 < caution."""
        height, width = shape
        self._shape = shape
        self._size = (width, height)
        self._cells = (max(5, round(width / constants.cell_px)), max(5, round(height / constants.cell_px)))
        self._caution = caution
        self._c = constants
        self._mean: Plane | None = None
        self._nought: Plane = np.zeros(shape, np.float32)
        self._time_s = 0.0
        self._settle_until_s = self._unsteady_until_s = -math.inf
        self._last_threshold: Grey | None = None
        self._spikes: Plane = np.zeros(_BLOCKS[::-1], np.float32)
        self._rain_level = 0.0
        self._barred = 0.0
        self._damage: tuple[float, npt.NDArray[np.bool_]] | None = None  # since when, which rows

    def observe(self, pixels: Grey, time_s: float, guards: list[Guard]) -> Changes | None:
        """None at a first frame and where the whole scene is another: there is nothing to compare with."""
        picture = cv2.GaussianBlur(pixels, (3, 3), 0)
        if self._mean is None:
            self._begin(picture, time_s)
            return None
        step_s = min(max(time_s - self._time_s, 0.02), 1.0)
        self._time_s = time_s
        if self._unsteady_until_s >= time_s:
            steadied = self._steadied(picture, time_s)
            if self._leaning is not None and self._leaning[0] < time_s - self._c.turned_s:
                self._begin(picture, time_s)  # not shaken but turned: this is how it looks from now on
                return None
            picture = steadied
        cells = self._in_cells(picture)
        self._notice_switch(cells, time_s)
        rain, seen = self._without_rain(picture, step_s)
        if seen is not picture:
            picture, cells = seen, self._in_cells(seen)

        guarded = self._guarded(guards)
        remembered = self._with_bars(self._mean, picture, step_s)
        expected, light, relit = self._in_this_light(remembered, cells, guarded, step_s)
        high, low = cv2.dilate(expected, _KERNEL_3), cv2.erode(expected, _KERNEL_3)
        difference = cv2.max(cv2.subtract(picture, high), cv2.subtract(low, picture))
        noise = _median(cv2.absdiff(picture[::5], expected[::5]))
        contrast = cv2.subtract(high, low) if relit > 0.1 else None
        threshold = self._threshold(noise, rain, light, contrast)
        moves = self._moving(picture, cells, threshold, noise, time_s)
        over = cv2.compare(difference, threshold, cv2.CMP_GE)
        differs = cv2.threshold(cv2.boxFilter(over, -1, (3, 3)), 255 * self._c.density, 1, cv2.THRESH_BINARY)[1]
        damaged = self._notice_damage(picture, differs, time_s)
        share = cv2.countNonZero(differs) / differs.size
        if share > 0.004:
            self._unsteady_until_s = time_s + 1.0
        if self._is_another_scene(share, time_s):
            self._begin(picture, time_s)
            self._settle_until_s = time_s + self._c.settle_s
            return None
        self._last_threshold = threshold
        self._frames += 1
        cv2.add(self._at_rest_s, step_s, self._at_rest_s)  # type: ignore[call-overload]
        if cv2.countNonZero(moves):
            cv2.copyTo(self._nought, cv2.dilate(moves, _KERNEL_9), self._at_rest_s)
        if not damaged:
            self._learn(picture, relit, differs, guarded, step_s)
            self._learn_unrest(difference, differs, guarded, rain, step_s)
        return Changes(
            picture, expected, difference, threshold, differs, moves, noise, rain,
            settling=time_s < self._settle_until_s or damaged, damaged=damaged,
            starting=self._frames < self._c.start_frames or time_s - self._born_s < self._c.start_s,
        )  # fmt: skip

    def take_in(self, mask: Grey, left: int, top: int, picture: Grey) -> None:
        """Make what is under `mask` (at `left`, `top`) part of the empty scene at once: it was never a thing."""
        assert self._mean is not None
        height, width = mask.shape
        part = (slice(top, top + height), slice(left, left + width))
        under = cv2.dilate(mask, _KERNEL_5) > 0
        self._mean[part][under] = picture[part][under]

    def _begin(self, picture: Grey, time_s: float) -> None:
        self._mean = picture.astype(np.float32)
        self._unrest: Plane = np.full(self._shape, self._c.unrest_start, np.float32)
        self._at_rest_s: Plane = np.zeros(self._shape, np.float32)
        self._time_s = self._born_s = time_s
        self._frames = 1
        self._unsteady_until_s = time_s
        self._recent: deque[Grey] = deque(maxlen=5)
        self._ago: deque[tuple[float, Grey, Plane]] = deque()
        self._shares: deque[tuple[float, float]] = deque()
        self._last_cells: Plane | None = None
        self._before: tuple[Grey, Plane] | None = None  # the last picture, and the share of each row that differed
        self._last_threshold = None
        self._leaning: tuple[float, tuple[float, float]] | None = None  # since when, by how much
        self._flattened: tuple[float, tuple[Plane, Plane, Plane]] | None = None
        self._relative: Plane = np.ones(self._cells[::-1], np.float32)

    def _in_cells(self, picture: Grey | Plane) -> Plane:
        # OpenCV halves six times faster than it averages by any other factor.
        for half in ((self._size[0] // 2, self._size[1] // 2), (self._size[0] // 4, self._size[1] // 4)):
            if half[0] < 2 * self._cells[0] or half[1] < 2 * self._cells[1]:
                break
            picture = cv2.resize(picture, half, interpolation=cv2.INTER_AREA)
        return cv2.resize(picture.astype(np.float32), self._cells, interpolation=cv2.INTER_AREA)

    def _steadied(self, picture: Grey, time_s: float) -> Grey:
        """The picture moved back by what the whole of it has moved (Lucas–Kanade, half size, light taken out)."""
        remembered, across, down = self._structure(time_s)
        flat = self._flat(picture)
        least, most = self._c.shake_least_px / 2, self._c.shake_most_px / 2
        at = best_at = (0.0, 0.0)
        best = before = math.inf
        shifted: Plane = flat
        for turn in range(3):
            error = shifted - remembered
            limit = 3 * _median_of(np.abs(error[::2, ::2])) + 4
            sure = (np.abs(error) < 3 * limit).astype(np.float32)
            error = np.clip(error, -limit, limit)
            total = float(np.abs(error).sum())
            before = total if turn == 0 else before
            if total >= best:
                break
            best, best_at = total, at
            move = _solve(across, down, sure, error)
            if math.hypot(*move) < (least if turn == 0 else 0.05):
                break
            at = (min(max(at[0] - move[0], -most), most), min(max(at[1] - move[1], -most), most))
            shifted = _moved(flat, *at)
        if best >= self._c.shake_gain * before or math.hypot(*best_at) < least:
            self._leaning = None
            return picture
        if self._leaning is None or math.dist(best_at, self._leaning[1]) > least:
            self._leaning = (time_s, best_at)
        self._unsteady_until_s = time_s + 1.0
        return _moved(picture, 2 * best_at[0], 2 * best_at[1])

    def _structure(self, time_s: float) -> tuple[Plane, Plane, Plane]:
        """The empty scene as `_flat` makes it, and its slopes to the right and down; up to half a second old."""
        assert self._mean is not None
        if self._flattened is None or time_s - self._flattened[0] > _FLAT_FOR_S:
            flat = self._flat(self._mean)
            slopes = [cv2.Sobel(flat, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))]
            self._flattened = (time_s, (flat, slopes[0], slopes[1]))
        return self._flattened[1]

    def _flat(self, picture: Grey | Plane) -> Plane:
        """Half the size, and the light taken out."""
        half = cv2.resize(picture, (self._size[0] // 2, self._size[1] // 2), interpolation=cv2.INTER_AREA)
        half = half.astype(np.float32)
        return half - cv2.boxFilter(half, -1, (15, 15))

    def _notice_switch(self, cells: Plane, time_s: float) -> None:
        if self._last_cells is not None:
            pad = self._c.light_pad
            step = abs(_median_of((cells + pad) / (self._last_cells + pad)) - 1)
            if step > self._c.light_step:
                self._settle_until_s = max(self._settle_until_s, time_s + self._c.light_settle_s)
                self._recent.clear()
        self._last_cells = cells

    def _notice_damage(self, picture: Grey, differs: Grey, time_s: float) -> bool:
        """Rows that from one frame to the next are another all along: packets were lost, until a key frame mends it."""
        c, last = self._c, self._before
        share = cv2.reduce(differs, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel()
        self._before = (picture, share)
        if self._damage is not None:
            since_s, rows = self._damage
            if time_s - since_s > c.damage_s or share[rows].mean() < c.damage_before:
                self._damage = None
                self._settle_until_s = max(self._settle_until_s, time_s + c.damage_after_s)
        if last is not None and share.max() > c.damage_differs:
            changed = cv2.absdiff(picture, last[0])
            limit = c.floor + c.per_noise * _median(changed[::5])
            over = cv2.reduce(_than(changed, cv2.CMP_GT, limit), 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel() / 255
            broken = (over > c.damage_changed) & (share > c.damage_differs) & (last[1] < c.damage_before)
            if broken.mean() > c.damage_rows and over[~broken].mean() < c.damage_elsewhere:
                self._damage = (time_s, broken)
        return self._damage is not None

    def _without_rain(self, picture: Grey, step_s: float) -> tuple[bool, Grey]:
        """Where much is there for a single frame only, the median of five frames instead of the last one."""
        self._recent.append(picture)
        if len(self._recent) < 3 or step_s >= self._c.spike_dt_s:
            return False, picture
        last = list(self._recent)[-3:]
        rows = [part[::2] for part in last]
        spikes = cv2.absdiff(rows[1], _middle(*rows))
        usual = 10 if self._last_threshold is None else self._last_threshold[::2]
        # In blocks: rain is everywhere, something that dashes by is in a few places.
        shares = cv2.resize((spikes >= usual).astype(np.float32), _BLOCKS, interpolation=cv2.INTER_AREA)
        mix = 1 - math.exp(-step_s / self._c.spike_s)
        self._spikes += mix * (np.minimum(shares, self._c.spike_most) - self._spikes)
        self._rain_level += mix * (_quantile(spikes[::2], 1 - self._c.spike_tail) - self._rain_level)
        rain = _median_of(self._spikes) > self._c.spike_share
        if not rain:
            return False, picture
        return True, _middle_of_five(*self._recent) if len(self._recent) == 5 else _middle(*last)

    def _guarded(self, guards: list[Guard]) -> Grey | None:
        """1 around figures that get about, 2 around those that stay in their place, 0 elsewhere; None for none."""
        if not guards:
            return None
        mask = np.zeros(self._shape, np.uint8)
        for guard in sorted(guards, key=lambda g: g.going):
            mask[guard.top : guard.bottom, guard.left : guard.right] = 1 if guard.going else 2
        return mask

    def _in_this_light(
        self, remembered: Plane, cells: Plane, guarded: Grey | None, step_s: float
    ) -> tuple[Grey, Plane, float]:
        """The empty scene as it would look now, the gain of each cell, and the most one is off 1.

        A median over cells, blind under a recognised figure.
        """
        pad = self._c.light_pad
        ratio: Plane = (cells + pad) / (self._in_cells(remembered) + pad)
        whole = _median_of(ratio)
        covered = None if guarded is None else self._in_cells((guarded > 0).astype(np.float32)) > 0
        if covered is not None and covered.mean() < 0.9:
            whole = _median_of(ratio[~covered])
            np.copyto(ratio, self._relative * whole, where=covered)
        local = cv2.medianBlur(ratio, 5)
        # Light that changes in one place only does so slowly; what is quicker is something that got in the way.
        pace = math.exp(self._c.light_pace * step_s)
        relative = np.clip(local / whole, self._relative / pace, self._relative * pace).astype(np.float32)
        local = relative * np.float32(whole)
        self._relative = relative if covered is None else np.where(covered, self._relative, relative)
        gain = cv2.resize(local, self._size, interpolation=cv2.INTER_LINEAR)
        lit: Plane = cv2.multiply(remembered + np.float32(pad), gain)
        return _as_grey(lit - np.float32(pad)), local, float(np.abs(local - 1).max())

    def _with_bars(self, remembered: Plane, picture: Grey, step_s: float) -> Plane:
        """The same with the bars that a rolling shutter makes of lamps on alternating current: a gain for each row.

        A median over each row. What fills most of one and is not faint is no bar, nor what is only brighter or darker,
        nor what comes and goes.
        """
        c, pad = self._c, np.float32(self._c.light_pad)
        seen, empty = (p[:, ::_BAR_COLUMNS].astype(np.float32) + pad for p in (picture, remembered))
        middle = seen.shape[1] // 2
        rows = np.partition(seen / empty, middle, axis=1)[:, middle : middle + 1]
        rows = cv2.blur(rows, (1, c.bars_smooth), borderType=cv2.BORDER_REFLECT)
        rows = rows / _median_of(rows)
        brighter, darker = float(rows.max()) - 1, 1 - float(rows.min())
        bars = min(brighter, darker) > c.bars_least and max(brighter, darker) < c.bars_most
        self._barred += (1 - math.exp(-step_s / c.bars_s)) * (bars - self._barred)
        if not bars or self._barred < c.bars_share:
            return remembered
        return np.asarray((remembered + pad) * rows - pad, np.float32)

    def _threshold(self, noise: float, rain: bool, light: Plane, contrast: Grey | None) -> Grey:
        c = self._c
        level = c.floor + c.per_noise * max(noise - c.noise_free, 0.0)
        if rain:
            level += max(0.0, c.per_rain * self._rain_level - 3 * noise)
        factor = self._caution if isinstance(self._caution, float) else 1.0
        unrest = cv2.convertScaleAbs(self._unrest, alpha=c.per_unrest * factor)
        around = cv2.convertScaleAbs(cv2.boxFilter(unrest, -1, (5, 5)), alpha=c.unrest_spread)
        # A difference is a whole number: above the threshold means at or above the next one.
        threshold = cv2.convertScaleAbs(cv2.max(unrest, around), beta=level * factor + 0.5)
        if contrast is not None:
            slack = cv2.resize(np.minimum(np.abs(light - 1), 1) * np.float32(c.light_slack * factor), self._size)
            threshold = cv2.add(threshold, cv2.multiply(contrast, slack, dtype=cv2.CV_8U))
        if isinstance(self._caution, float):
            return threshold
        return cv2.multiply(threshold, self._caution, dtype=cv2.CV_8U)

    def _moving(self, picture: Grey, now: Plane, threshold: Grey, noise: float, time_s: float) -> Grey:
        self._ago.append((time_s, picture, now))
        while len(self._ago) > 1 and self._ago[1][0] <= time_s - self._c.ago_s + 0.01:
            self._ago.popleft()
        _, before, cells = self._ago[0]
        drift = cv2.medianBlur(now - cells, 5)
        if float(np.abs(drift).max()) > 0.5:
            before = _as_grey(before + cv2.resize(drift, self._size))
        limit = cv2.convertScaleAbs(threshold, alpha=self._c.per_threshold, beta=self._c.per_ago_noise * noise)
        moved = cv2.compare(cv2.absdiff(picture, before), limit, cv2.CMP_GT)
        return cv2.threshold(cv2.boxFilter(moved, -1, (5, 5)), 76, 1, cv2.THRESH_BINARY)[1]

    def _is_another_scene(self, share: float, time_s: float) -> bool:
        """Most of the picture at once, where a second ago it was little: no figure grows that fast."""
        while self._shares and self._shares[0][0] < time_s - 1.05:
            self._shares.popleft()
        least = min((s for _, s in self._shares), default=0.0)
        self._shares.append((time_s, share))
        return share > self._c.global_share and least < self._c.global_before * share

    def _learn(self, picture: Grey, relit: float, differs: Grey, guarded: Grey | None, step_s: float) -> None:
        assert self._mean is not None
        c, age_s = self._c, self._time_s - self._born_s
        settling = self._time_s < self._settle_until_s
        over_s = c.learn_settling_s if settling else min(c.learn_s, max(0.3, age_s))
        if relit > 0.02:
            over_s /= 3  # in another light what is remembered must follow
        taken = differs if guarded is None else cv2.max(differs, guarded)
        free = (taken == 0).view(np.uint8)
        cv2.accumulateWeighted(picture, self._mean, 1 - math.exp(-step_s / over_s), free)
        if cv2.countNonZero(taken):
            still = cv2.bitwise_and(_than(self._at_rest_s, cv2.CMP_GT, c.still_s), taken)
            cv2.accumulateWeighted(picture, self._mean, 1 - math.exp(-step_s / c.absorb_s), still)

    def _learn_unrest(self, difference: Grey, differs: Grey, guarded: Grey | None, rain: bool, step_s: float) -> None:
        c, age_s = self._c, self._time_s - self._born_s

        def rate(over_s: float) -> float:
            return 1 - math.exp(-step_s / over_s)

        settling, young = self._time_s < self._settle_until_s, age_s < c.young_s
        down = rate(1.0 if settling else c.unrest_down_young_s if age_s < c.young_s + 1 else c.unrest_down_s)
        restless: Plane = np.minimum(difference, np.float32(c.unrest_most))
        above = cv2.compare(restless, self._unrest, cv2.CMP_GT)
        if not cv2.countNonZero(above):
            cv2.accumulateWeighted(restless, self._unrest, down)
            return
        cv2.accumulateWeighted(restless, self._unrest, down, cv2.bitwise_not(above))
        if settling:
            return
        if guarded is not None:
            standing = cv2.copyTo(above, _than(guarded, cv2.CMP_EQ, 2))
            cv2.accumulateWeighted(restless, self._unrest, rate(c.unrest_up_standing_s), standing)
            above = cv2.copyTo(above, _than(guarded, cv2.CMP_EQ, 0))
        if not young:
            above = cv2.copyTo(above, _than(self._at_rest_s, cv2.CMP_LE, c.static_s))
        if not young and not rain:
            blob = cv2.copyTo(above, cv2.dilate(differs, _KERNEL_5))
            cv2.accumulateWeighted(restless, self._unrest, rate(c.unrest_up_blob_s), blob)
            above = cv2.subtract(above, blob)
        cv2.accumulateWeighted(restless, self._unrest, rate(c.unrest_up_young_s if young else c.unrest_up_s), above)


def _moved(picture: Plane | Grey, right: float, down: float) -> Plane | Grey:
    matrix = np.array([[1, 0, right], [0, 1, down]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, matrix, picture.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _solve(across: Plane, down: Plane, sure: Plane, error: Plane) -> tuple[float, float]:
    """The shift that explains `error` best, px; (0, 0) where the scene has too little structure to tell."""
    sure_across, sure_down = sure * across, sure * down
    a, b, d = (float(np.vdot(x, y)) for x, y in ((sure_across, across), (sure_across, down), (sure_down, down)))
    e, f = float(np.vdot(sure_across, error)), float(np.vdot(sure_down, error))
    determinant = a * d - b * b
    if determinant < 1e-3 * a * d + 1:
        return 0.0, 0.0
    return (d * e - b * f) / determinant, (a * f - b * e) / determinant


def _as_grey(values: Plane) -> Grey:
    return cv2.convertScaleAbs(cv2.max(values, 0.0))  # type: ignore[call-overload]


def _than(values: Grey | Plane, how: int, number: float) -> Grey:
    """255 where the comparison holds, else 0."""
    return cv2.compare(values, number, how)  # type: ignore[call-overload,no-any-return]


def _middle(first: Grey, second: Grey, third: Grey) -> Grey:
    """The median of three pictures, pixel by pixel."""
    return cv2.max(cv2.min(first, third), cv2.min(cv2.max(first, third), second))


def _middle_of_five(a: Grey, b: Grey, c: Grey, d: Grey, e: Grey) -> Grey:
    """The median of five: neither the least nor the greatest of four can be it, which leaves two of those."""
    return _middle(cv2.max(cv2.min(a, b), cv2.min(c, d)), cv2.min(cv2.max(a, b), cv2.max(c, d)), e)


def _median_of(values: Plane) -> float:
    flat = values.ravel()
    return float(np.partition(flat, flat.size // 2)[flat.size // 2])


def _quantile(values: Grey, share: float) -> float:
    below = _counted(values)
    return float(np.searchsorted(below, share * below[-1]))


def _median(values: Grey) -> float:
    """The median with parts of a grey level, as if each whole number were spread evenly around itself."""
    below = _counted(values)
    half = float(below[-1]) / 2
    level = int(np.searchsorted(below, half))
    before = float(below[level - 1]) if level else 0.0
    within = (half - before) / max(1.0, float(below[level]) - before)
    # Magnitudes: 0 stands for 0 to ½, every other whole number for ½ below to ½ above itself.
    return float(within * 0.5 if level == 0 else level - 0.5 + within)


def _counted(values: Grey) -> Plane:
    """How many values are at most 0, 1, … 255."""
    return np.cumsum(cv2.calcHist([values], [0], None, [256], [0, 256]).ravel())
