"""Renders small luma films whose truth is known: figures to be found, and weather, light and lens that must not be.

Everything is drawn with numpy and OpenCV from a seed, so a scene is the same everywhere. `bench_motion` scores them and
the tests hold the detector to them. The annotation has the fields of the footage's annotations (../shared/data).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.float32]
WIDTH, HEIGHT = 320, 180


@dataclass(frozen=True)
class Figure:
    """Somebody or something crossing: seconds, pixels of a 320-wide picture, grey levels against what is behind."""

    start: float
    end: float
    path: tuple[tuple[float, float], tuple[float, float]]  # feet, from → to
    height: float
    contrast: float
    kind: str = "person"
    growth: float = 1.0  # height at the end over height at the start
    still: tuple[float, float] | None = None  # stands still (but for its arms) in this span

    def place(self, t: float) -> tuple[float, float, float]:
        """x, y of the feet and the height at `t`."""
        spans = (
            [(self.start, self.end)] if self.still is None else [(self.start, self.still[0]), (self.still[1], self.end)]
        )
        walked = sum(min(max(t - a, 0.0), b - a) for a, b in spans) / sum(b - a for a, b in spans)
        (x0, y0), (x1, y1) = self.path
        return x0 + (x1 - x0) * walked, y0 + (y1 - y0) * walked, self.height * self.growth**walked


@dataclass
class Scene:
    """What a camera sees for `seconds`. `disturb` changes the finished picture, given its time."""

    name: str
    seconds: float
    wall: Picture
    figures: list[Figure] = field(default_factory=list)
    disturb: list[Callable[[Picture, float], Picture]] = field(default_factory=list)
    nuisances: list[tuple[float, float, str]] = field(default_factory=list)
    noise: float = 1.5
    quality: int | None = 70  # of a JPEG in between: blocks and ringing; None for none
    times: list[float] = field(default_factory=list)
    noisy: Callable[[float], float] | None = None
    ignore: list[tuple[float, float]] = field(default_factory=list)

    def truth(self) -> dict[str, Any]:
        """As an annotation. Two figures with less than a second between them are one event."""
        events: list[list[float]] = []
        for f in sorted(self.figures, key=lambda f: f.start):
            parked = f.kind == "vehicle" and f.still
            spans = [(f.start, parked[0]), (parked[1], f.end)] if parked else [(f.start, f.end)]
            for start, end in spans:
                if events and start <= events[-1][1] + 1.0:
                    events[-1][1] = max(events[-1][1], end)
                else:
                    events.append([max(0.0, start), end])
        return {
            "duration_s": self.seconds,
            "events": [{"start": a, "end": b} for a, b in events],
            "ignore": [{"start": a, "end": b} for a, b in self.ignore],
            "uncertainty_s": 0.4,
        }

    def frames(self, seed: int) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
        """(time_ns, luma) in order of time."""
        rng = np.random.default_rng(seed)
        for t in self.times or np.arange(0, self.seconds, 0.1).tolist():
            picture = self.wall.copy()
            for figure in self.figures:
                if figure.start <= t <= figure.end:
                    draw(picture, figure, t)
            for change in self.disturb:
                picture = change(picture, t)
            sigma = self.noisy(t) if self.noisy else self.noise
            picture = picture + rng.normal(0, 1, picture.shape).astype(np.float32) * sigma
            out = np.clip(picture + 0.5, 0, 255).astype(np.uint8)
            if self.quality is not None:
                packed = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, self.quality])[1]
                out = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)
            yield round(t * 1e9), np.asarray(out, dtype=np.uint8)


def draw(picture: Picture, figure: Figure, t: float) -> None:
    """Paint a figure, four times finer than the picture and then averaged, so that it moves by parts of a pixel."""
    x, y, height = figure.place(t)
    fine = 4
    w = height * (2.2 if figure.kind == "vehicle" else 0.5)
    left, top = math.floor(x - w / 2) - 1, math.floor(y - height) - 1
    cols, rows = math.ceil(w) + 3, math.ceil(height) + 3
    shade = np.zeros((rows * fine, cols * fine), np.float32)
    cover = np.zeros_like(shade)

    def at(u: float, v: float) -> tuple[int, int]:  # u, v: shares of width (from the middle) and height (from the feet)
        return round((x + u * w - left) * fine), round((y - v * height - top) * fine)

    unit = height * fine
    step = 0.0 if figure.still and figure.still[0] <= t <= figure.still[1] else math.sin(t * 9)
    if figure.kind == "vehicle":
        for canvas, values in ((shade, (1.0, -0.7, -1.4)), (cover, (1.0, 1.0, 1.0))):
            cv2.rectangle(canvas, at(-0.5, 0.55), at(0.5, 0.12), values[0], -1)
            cv2.rectangle(canvas, at(-0.3, 1.0), at(0.25, 0.5), values[1], -1)
            for u in (-0.3, 0.3):
                cv2.circle(canvas, at(u, 0.13), round(unit * 0.13), values[2], -1)
    else:
        arm = math.sin(t * 5)
        for canvas, values in ((shade, (1.0, 0.8, -0.6, 0.9)), (cover, (1.0,) * 4)):
            for side in (-1, 1):
                cv2.line(
                    canvas, at(0.05 * side, 0.48), at(0.45 * side * step, 0.02), values[0], round(unit * 0.09) or 1
                )
                cv2.line(canvas, at(0.2 * side, 0.78), at(0.35 * side * arm, 0.5), values[3], round(unit * 0.07) or 1)
            cv2.ellipse(canvas, (at(0, 0.64), (unit * 0.26, unit * 0.42), 0.0), values[1], -1)
            cv2.circle(canvas, at(0, 0.91), max(1, round(unit * 0.08)), values[2], -1)
    shade, cover = (cv2.resize(c, (cols, rows), interpolation=cv2.INTER_AREA) for c in (shade, cover))
    y0, y1 = max(0, top), min(picture.shape[0], top + rows)
    x0, x1 = max(0, left), min(picture.shape[1], left + cols)
    if y0 >= y1 or x0 >= x1:
        return
    part = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    behind = picture[y0:y1, x0:x1]
    # Something opaque: what is behind counts only by its mean brightness.
    level = behind.mean() + figure.contrast * shade[part]
    picture[y0:y1, x0:x1] = behind * (1 - cover[part]) + np.clip(level, 4, 251) * cover[part]


def clouds(rng: np.random.Generator, roughness: float) -> Picture:
    """Texture of any scale, mean 0, deviation 1: noise of many sizes added up."""
    total = np.zeros((HEIGHT, WIDTH), np.float32)
    size, weight = 3, 1.0
    while size < WIDTH:
        grain = rng.normal(0, 1, (size * HEIGHT // WIDTH + 2, size)).astype(np.float32)
        total += weight * cv2.resize(grain, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        size, weight = size * 2, weight * roughness
    return np.asarray((total - total.mean()) / total.std(), np.float32)


def doorstep(rng: np.random.Generator) -> Picture:
    """A wall, windows, a path, a lawn, a fence: edges and texture as in front of a house."""
    picture = 115 + 16 * clouds(rng, 0.6)
    horizon = int(rng.integers(55, 90))
    picture[:horizon] += float(rng.uniform(-40, 50))
    for _ in range(int(rng.integers(3, 7))):
        x, y = int(rng.integers(0, WIDTH - 40)), int(rng.integers(0, horizon - 25))
        picture[y : y + int(rng.integers(15, 35)), x : x + int(rng.integers(12, 40))] += float(rng.uniform(-60, 50))
    corners = np.array(
        [[rng.integers(80, 160), horizon], [rng.integers(170, 220), horizon], [300, 180], [20, 180]], np.int32
    )
    path = cv2.fillPoly(np.zeros((HEIGHT, WIDTH), np.float32), [corners], 1.0)
    picture += path * float(rng.uniform(20, 45))
    for x in range(int(rng.integers(0, 12)), WIDTH, int(rng.integers(9, 16))):
        picture[horizon - 14 : horizon + 3, x : x + 2] += 25
    return np.clip(cv2.GaussianBlur(picture, (3, 3), 0), 8, 235).astype(np.float32)


def garden(rng: np.random.Generator) -> Picture:
    """Sky, trees of rough texture, a lawn."""
    picture = 100 + 24 * clouds(rng, 0.95)
    line = int(rng.integers(25, 60))
    picture[:line] = 190 + 4 * clouds(rng, 0.4)[:line]
    tops = (line + 12 * clouds(rng, 0.8)[0]).astype(int)
    for x in range(WIDTH):
        picture[max(0, tops[x]) : line + 20, x] = 70 + 30 * clouds_column(rng, line + 20 - max(0, tops[x]))
    picture[120:] = 120 + 9 * clouds(rng, 0.9)[120:]
    return np.clip(cv2.GaussianBlur(picture, (3, 3), 0), 8, 235).astype(np.float32)


def clouds_column(rng: np.random.Generator, count: int) -> Picture:
    return rng.normal(0, 0.6, max(0, count)).astype(np.float32)


def visitor(rng: np.random.Generator, start: float, **more: Any) -> Figure:
    """An ordinary passer-by: 25–70 px tall, clear against the wall, 4–8 s from edge to edge."""
    height = float(rng.uniform(25, 70))
    y = float(rng.uniform(110, 170))
    ends = (-height * 0.05, WIDTH + height * 0.05)  # half of it is in view from the first moment
    if rng.random() < 0.5:
        ends = (ends[1], ends[0])
    contrast = float(rng.choice([-1, 1]) * rng.uniform(30, 70))
    values: dict[str, Any] = {
        "start": start, "end": start + float(rng.uniform(4, 8)), "path": ((ends[0], y), (ends[1], y)),
        "height": height, "contrast": contrast,
    }  # fmt: skip
    return Figure(**(values | more))


def within(t: float, span: tuple[float, float]) -> bool:
    return span[0] <= t < span[1]


# --- what must not be taken for motion; each returns a change of the picture at a time ---


def sway(
    rng: np.random.Generator, amplitude: float, region: Picture, span: tuple[float, float]
) -> Callable[[Picture, float], Picture]:
    """Foliage in gusts: every place moves by a few sines of its own phase, more in a gust."""
    phases = [clouds(rng, 0.6) * 3 for _ in range(4)]
    rates = rng.uniform(1.5, 6.0, 4)
    gust_rate, gust_phase = float(rng.uniform(0.3, 0.8)), float(rng.uniform(0, 6))
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)

    def change(picture: Picture, t: float) -> Picture:
        if not within(t, span):
            return picture
        gust = 0.35 + 0.65 * max(0.0, math.sin(gust_rate * t + gust_phase)) ** 2
        dx = amplitude * gust * region * (np.sin(rates[0] * t + phases[0]) + 0.6 * np.sin(rates[1] * t + phases[1]))
        dy = (
            0.5
            * amplitude
            * gust
            * region
            * (np.sin(rates[2] * t + phases[2]) + 0.6 * np.sin(rates[3] * t + phases[3]))
        )
        return cv2.remap(
            picture,
            xs + dx.astype(np.float32),
            ys + dy.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )

    return change


def rain(
    rng: np.random.Generator, drops: int, bright: float, span: tuple[float, float]
) -> Callable[[Picture, float], Picture]:
    slant = float(rng.uniform(-0.3, 0.3))

    def change(picture: Picture, t: float) -> Picture:
        if not within(t, span):
            return picture
        streaks = np.zeros((HEIGHT, WIDTH), np.float32)
        for _ in range(int(rng.poisson(drops))):
            x, y, n = rng.uniform(0, WIDTH), rng.uniform(-10, HEIGHT), rng.uniform(5, 26)
            cv2.line(
                streaks,
                (round(x), round(y)),
                (round(x + slant * n), round(y + n)),
                float(rng.uniform(0.3, 1)),
                1 if n < 20 else 2,
                cv2.LINE_AA,
            )
        return picture + bright * cv2.GaussianBlur(streaks, (3, 3), 0)

    return change


def snow(rng: np.random.Generator, flakes: int, span: tuple[float, float]) -> Callable[[Picture, float], Picture]:
    near = rng.random(flakes) ** 6  # few are near: big, fast, blurred
    start = rng.uniform(0, 1, (flakes, 2))
    drift = float(rng.uniform(-25, 25))

    def change(picture: Picture, t: float) -> Picture:
        if not within(t, span):
            return picture
        layer = np.zeros((HEIGHT, WIDTH), np.float32)
        for share, (u, v) in zip(near, start, strict=True):
            speed = 25 + 220 * share
            x = (u * WIDTH + (drift + 20 * math.sin(t + 9 * u)) * t) % (WIDTH + 20) - 10
            y = (v * HEIGHT + speed * t) % (HEIGHT + 20) - 10
            cv2.circle(
                layer,
                (round(x * 8), round(y * 8)),
                round((0.6 + 4 * share) * 8),
                1.0 - 0.7 * float(share),
                -1,
                cv2.LINE_AA,
                3,
            )
        return picture + (225 - picture) * 0.8 * cv2.GaussianBlur(layer, (3, 3), 0)

    return change


def insects(rng: np.random.Generator, visits: list[float], bright: float) -> Callable[[Picture, float], Picture]:
    """Something out of focus near the lens dashes about for part of a second, each time another way."""
    ways = [
        (
            start, float(rng.uniform(0.25, 0.9)), rng.uniform(-0.2, 1.2, 2), rng.uniform(-0.3, 1.3, 2),
            float(rng.uniform(4, 14)), rng.uniform(-60, 60, 2),
        )
        for start in visits
    ]  # fmt: skip

    def change(picture: Picture, t: float) -> Picture:
        for start, lasts, (x0, y0), (x1, y1), radius, bend in ways:
            if within(t, (start, start + lasts)):
                k = (t - start) / lasts
                x = (x0 + (x1 - x0) * k) * WIDTH + bend[0] * math.sin(k * 7)
                y = (y0 + (y1 - y0) * k) * HEIGHT + bend[1] * math.sin(k * 9)
                spot = np.zeros((HEIGHT, WIDTH), np.float32)
                cv2.circle(spot, (round(x), round(y)), round(radius), 1.0, -1)
                picture = picture + bright * cv2.GaussianBlur(spot, (0, 0), radius * 0.4)
        return picture

    return change


def shake(rng: np.random.Generator, amplitude: float, span: tuple[float, float]) -> Callable[[Picture, float], Picture]:
    rates, phases = rng.uniform(5, 30, 4), rng.uniform(0, 6, 4)

    def change(picture: Picture, t: float) -> Picture:
        if not within(t, span):
            return picture
        dx, dy = (
            amplitude * 0.5 * (math.sin(rates[i] * t + phases[i]) + math.sin(rates[i + 1] * t + phases[i + 1]))
            for i in (0, 2)
        )
        return cv2.warpAffine(
            picture, np.array([[1, 0, dx], [0, 1, dy]], np.float32), (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT
        )

    return change


def gain(curve: Callable[[float], float]) -> Callable[[Picture, float], Picture]:
    return lambda picture, t: picture * curve(t)


def cloud_shadow(
    rng: np.random.Generator, span: tuple[float, float], depth: float
) -> Callable[[Picture, float], Picture]:
    angle, soft = float(rng.uniform(0, 6.28)), float(rng.uniform(18, 60))
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    along = xs * math.cos(angle) + ys * math.sin(angle) + 12 * clouds(rng, 0.4)
    low, high = float(along.min()) - 3 * soft, float(along.max()) + 3 * soft
    width = (high - low) * 0.5

    def change(picture: Picture, t: float) -> Picture:
        k = (t - span[0]) / (span[1] - span[0])
        if not 0 <= k <= 1:
            return picture
        edge = low + (high - low + width) * k
        shade = 1 / (1 + np.exp(-np.clip((edge - along) / soft * 4, -30, 30))) - 1 / (
            1 + np.exp(-np.clip((edge - width - along) / soft * 4, -30, 30))
        )
        return np.asarray(picture * (1 - depth * shade), np.float32)

    return change


def headlights(rng: np.random.Generator, sweeps: list[float], strength: float) -> Callable[[Picture, float], Picture]:
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    ways = [
        (
            s,
            float(rng.uniform(1.2, 3.0)),
            float(rng.choice([-1, 1])),
            float(rng.uniform(50, 120)),
            float(rng.uniform(35, 70)),
        )
        for s in sweeps
    ]

    def change(picture: Picture, t: float) -> Picture:
        for start, lasts, side, y, size in ways:
            if within(t, (start, start + lasts)):
                k = (t - start) / lasts
                x = WIDTH / 2 + side * (k - 0.5) * (WIDTH + 4 * size)
                light = np.exp(-(((xs - x) / size) ** 2 + ((ys - y) / (0.7 * size)) ** 2))
                picture = np.asarray(picture * (1 + strength * light) + 6 * strength * light, np.float32)
        return picture

    return change


def infrared(rng: np.random.Generator, at: float) -> Callable[[Picture, float], Picture]:
    """The filter clicks: another light, from the camera; leaves turn pale, the exposure hunts for a moment."""
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    spot = np.exp(-(((xs - WIDTH / 2) / 190) ** 2 + ((ys - HEIGHT * 0.6) / 120) ** 2))
    other = 30 * clouds(rng, 0.8)
    first, settle = float(rng.choice([0.35, 1.9])), float(rng.uniform(0.25, 0.6))

    def change(picture: Picture, t: float) -> Picture:
        if t < at:
            return picture
        hunting = 1 + (first - 1) * math.exp(-(t - at) / settle)
        return np.asarray(np.clip((60 + 0.45 * picture + other) * (0.35 + 0.75 * spot) * hunting, 0, 255), np.float32)

    return change


def mains(rng: np.random.Generator, depth: float) -> Callable[[Picture, float], Picture]:
    """Lamps on alternating current seen by a rolling shutter: soft bars that crawl."""
    rate, bars = float(rng.uniform(2, 14)), float(rng.uniform(0.8, 2.5))
    ys = np.arange(HEIGHT, dtype=np.float32)[:, None] / HEIGHT
    return lambda picture, t: np.asarray(picture * (1 + depth * np.sin(6.283 * bars * ys + rate * t)), np.float32)


def blinking(rng: np.random.Generator, boxes: int, depth: float) -> Callable[[Picture, float], Picture]:
    """A lamp, a screen in a window, a chaser of lights: changes in place."""
    places = [
        (
            int(rng.integers(10, 280)),
            int(rng.integers(5, 80)),
            int(rng.integers(5, 22)),
            int(rng.integers(5, 18)),
            float(rng.uniform(0.4, 3)),
        )
        for _ in range(boxes)
    ]

    def change(picture: Picture, t: float) -> Picture:
        picture = picture.copy()
        for x, y, w, h, rate in places:
            picture[y : y + h, x : x + w] += depth * (0.5 + 0.5 * math.copysign(1, math.sin(6.283 * rate * t)))
        return picture

    return change


def foliage(rng: np.random.Generator) -> Picture:
    """Where leaves are: soft-edged, 20–50 % of the picture."""
    field = clouds(rng, 0.5)
    level = float(np.quantile(field, rng.uniform(0.5, 0.8)))
    return np.asarray(1 / (1 + np.exp(-np.clip((field - level) * 8, -30, 30))), np.float32)


# --- the scenes ---


def scenes(seed: int) -> Iterator[Scene]:
    """One of each kind. In each the nuisance comes first, an ordinary visitor comes in the midst of it or after it."""
    for index, make in enumerate(SCENES):
        rng = np.random.default_rng([seed, index])
        yield make(rng)


def _calm(name: str, rng: np.random.Generator, seconds: float = 50, **more: Any) -> Scene:
    wall = doorstep(rng) if rng.random() < 0.6 else garden(rng)
    return Scene(name, seconds, wall, noise=float(rng.uniform(1, 3)), quality=int(rng.integers(50, 90)), **more)


def _sway(rng: np.random.Generator) -> Scene:
    scene = Scene("sway", 60, garden(rng), [visitor(rng, 44)], noise=1.5)
    scene.disturb = [sway(rng, float(rng.uniform(0.8, 2.0)), foliage(rng), (0, 60))]
    return scene


def _gusts(rng: np.random.Generator) -> Scene:
    scene = Scene("gusts after calm", 60, garden(rng), [visitor(rng, 48)], noise=1.5)
    scene.disturb = [sway(rng, float(rng.uniform(0.8, 1.6)), foliage(rng), (20, 60))]
    return scene


def _rain(rng: np.random.Generator) -> Scene:
    scene = _calm("rain", rng, 60, figures=[visitor(rng, 45)])
    scene.disturb = [rain(rng, int(rng.integers(30, 150)), float(rng.uniform(25, 70)), (10, 60))]
    return scene


def _snow(rng: np.random.Generator) -> Scene:
    scene = _calm("snow", rng, 60, figures=[visitor(rng, 45)])
    scene.disturb = [snow(rng, int(rng.integers(40, 160)), (10, 60))]
    return scene


def _cloud(rng: np.random.Generator) -> Scene:
    scene = _calm("cloud shadow", rng, figures=[visitor(rng, 40)])
    scene.disturb = [cloud_shadow(rng, (8, 8 + float(rng.uniform(6, 18))), float(rng.uniform(0.25, 0.5)))]
    return scene


def _step(rng: np.random.Generator) -> Scene:
    scene = _calm("exposure step", rng, figures=[visitor(rng, 40)])
    factor = float(rng.choice([0.6, 0.75, 1.3, 1.6]))
    scene.disturb = [gain(lambda t: factor if 10 <= t < 24 else 1.0)]
    return scene


def _hunting(rng: np.random.Generator) -> Scene:
    scene = _calm("exposure hunting", rng, figures=[visitor(rng, 38)])
    rate, depth = float(rng.uniform(0.5, 5)), float(rng.uniform(0.03, 0.12))
    scene.disturb = [gain(lambda t: 1 + depth * math.sin(rate * t) * within(t, (8, 32)))]
    return scene


def _infrared(rng: np.random.Generator) -> Scene:
    scene = _calm("infrared", rng, figures=[visitor(rng, 32)])
    scene.disturb = [infrared(rng, 12)]
    return scene


def _headlights(rng: np.random.Generator) -> Scene:
    scene = _calm("headlights", rng, figures=[visitor(rng, 40)])
    scene.disturb = [gain(lambda _: 0.4), headlights(rng, [10, 18, 26], float(rng.uniform(0.5, 2.0)))]
    scene.noise = 3.0
    return scene


def _insects(rng: np.random.Generator) -> Scene:
    scene = _calm("insects", rng, figures=[visitor(rng, 42)])
    scene.disturb = [
        gain(lambda _: 0.5),
        insects(rng, sorted(rng.uniform(5, 38, 9).tolist()), float(rng.uniform(30, 110))),
    ]
    return scene


def _shake(rng: np.random.Generator) -> Scene:
    scene = _calm("shake", rng, figures=[visitor(rng, 40)])
    scene.disturb = [shake(rng, float(rng.uniform(0.7, 3.5)), (10, 22))]
    return scene


def _grain(rng: np.random.Generator) -> Scene:
    scene = _calm("noise rises", rng, figures=[visitor(rng, 40)])
    strong = float(rng.uniform(5, 12))
    scene.noisy = lambda t: strong if 10 <= t < 24 else 1.5
    return scene


def _dusk(rng: np.random.Generator) -> Scene:
    scene = _calm("dusk", rng, 90, figures=[visitor(rng, 78)])
    scene.disturb = [gain(lambda t: max(0.25, 1 - max(0.0, t - 8) / 70))]
    scene.noisy = lambda t: 1.5 + t / 30
    return scene


def _mains(rng: np.random.Generator) -> Scene:
    scene = _calm("mains flicker", rng, figures=[visitor(rng, 36)])
    scene.disturb = [mains(rng, float(rng.uniform(0.02, 0.08)))]
    return scene


def _blinking(rng: np.random.Generator) -> Scene:
    scene = _calm("blinking lights", rng, 60, figures=[visitor(rng, 46)])
    scene.disturb = [blinking(rng, 4, float(rng.uniform(15, 60)))]
    return scene


def _parking(rng: np.random.Generator) -> Scene:
    y = float(rng.uniform(120, 165))
    car = Figure(
        10,
        58,
        ((-60, y), (380, y)),
        float(rng.uniform(35, 60)),
        float(rng.choice([-55, 45])),
        "vehicle",
        still=(13, 55),
    )
    return _calm("car parks and leaves", rng, 75, figures=[car])


def _small(rng: np.random.Generator) -> Scene:
    y = float(rng.uniform(70, 110))
    far = visitor(
        rng,
        15,
        height=float(rng.uniform(11, 16)),
        end=27.0,
        path=((80, y), (150, y + 4)),
        contrast=float(rng.choice([-1, 1]) * rng.uniform(28, 45)),
    )
    return _calm("small and far", rng, figures=[far])


def _slow(rng: np.random.Generator) -> Scene:
    return _calm("slow", rng, figures=[visitor(rng, 14, end=34.0, path=((-2, 150), (68, 150)))])


def _fast(rng: np.random.Generator) -> Scene:
    car = visitor(rng, 14, end=15.2, kind="vehicle", path=((-70, 140), (390, 140)), height=float(rng.uniform(25, 50)))
    runner = visitor(rng, 32, end=34.0)
    return _calm("fast", rng, figures=[car, runner])


def _faint(rng: np.random.Generator) -> Scene:
    scene = _calm(
        "low contrast", rng, figures=[visitor(rng, 15, contrast=float(rng.choice([-1, 1]) * rng.uniform(12, 18)))]
    )
    scene.noise = 1.5
    return scene


def _approach(rng: np.random.Generator) -> Scene:
    x = float(rng.uniform(120, 200))
    figure = visitor(rng, 12, end=30.0, path=((x, 95), (x + 10, 210)), height=20.0, growth=9.0, still=(20, 24))
    return _calm("comes to the door", rng, figures=[figure])


def _irregular(rng: np.random.Generator) -> Scene:
    scene = _calm("frames dropped", rng, figures=[visitor(rng, 18), visitor(rng, 38)])
    t = 0.0
    while t < scene.seconds:
        scene.times.append(t)
        t += float(
            rng.choice([0.1, 0.1, 0.1, 0.13, 0.2, 0.27, 0.5, 1.2], p=[0.3, 0.2, 0.1, 0.15, 0.1, 0.1, 0.04, 0.01])
        )
    return scene


def _half(rng: np.random.Generator) -> Scene:
    scene = _calm("five a second", rng, figures=[visitor(rng, 20)], times=np.arange(0, 50, 0.2).tolist())
    scene.disturb = [sway(rng, 1.0, foliage(rng), (0, 50))]
    return scene


def _start(rng: np.random.Generator) -> Scene:
    """The source starts while somebody is there; they leave, and the hole they leave must not count."""
    return _calm("somebody at the start", rng, figures=[visitor(rng, -2, end=4.0), visitor(rng, 30)])


def _night(rng: np.random.Generator) -> Scene:
    scene = _calm("night", rng, figures=[visitor(rng, 22, contrast=float(rng.choice([-1, 1]) * rng.uniform(60, 90)))])
    scene.disturb = [gain(lambda _: 0.22)]
    scene.noise = float(rng.uniform(2.5, 4))
    return scene


def _two(rng: np.random.Generator) -> Scene:
    return _calm(
        "two visits ten seconds apart", rng, figures=[visitor(rng, 12, end=18.0), visitor(rng, 28.5, end=34.0)]
    )


SCENES: tuple[Callable[[np.random.Generator], Scene], ...] = (
    _sway, _gusts, _rain, _snow, _cloud, _step, _hunting, _infrared, _headlights, _insects, _shake, _grain, _dusk,
    _mains, _blinking, _parking, _small, _slow, _fast, _faint, _approach, _irregular, _half, _start, _night, _two,
)  # fmt: skip
