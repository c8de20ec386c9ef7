"""Rendered scenes that last for minutes: what moves in its place without end, and people who stay in one place.

The two look alike for a while, which is what these scenes are about: the first must not keep clips coming, the second
must not be cut off. They share the drawing of motion_scenes.py. `bench_motion` scores them, the tests hold the detector
to them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from motion_cameras import laundry, sprinkler
from motion_doorsteps import Change
from motion_scenes import HEIGHT, WIDTH, Figure, Picture, Scene, _calm, visitor, within


@dataclass(frozen=True)
class Swinger(Figure):
    """Somebody on a swing: to and fro in one place, a few seconds for each time."""

    reach: float = 10.0  # px to either side
    rate: float = 2.0

    def place(self, t: float) -> tuple[float, float, float]:
        """x, y of the feet and the height at `t`."""
        lean = math.sin(self.rate * (t - self.start))
        x, y = self.path[0]
        return x + self.reach * lean, y - 0.15 * self.reach * lean * lean, self.height


# --- what moves in its place ---


def fan(rng: np.random.Generator, on: tuple[float, float]) -> Change:
    """A standing fan on a porch that turns its head from side to side; its blades are a grey blur that flickers."""
    x, y, radius = float(rng.uniform(60, 260)), float(rng.uniform(70, 120)), float(rng.uniform(8, 16))
    rate, shade, turn = float(rng.uniform(0.5, 1.2)), float(rng.choice([60, 200])), float(rng.uniform(0.5, 1.1))

    def change(picture: Picture, t: float) -> Picture:
        picture = picture.copy()
        side = turn * math.sin(rate * t) if within(t, on) else 0.0
        middle = (x + 0.8 * radius * math.sin(side), y)
        cv2.line(picture, (round(x), round(y)), (round(x), round(y + 3 * radius)), 40.0, 2)
        size = (2 * radius * math.cos(side), 2 * radius)
        cv2.ellipse(picture, (middle, size, 0.0), shade, -1, cv2.LINE_AA)
        for blade in range(3):
            at = blade * 2.094 + (23.0 * t if within(t, on) else 0.0)
            tip = (middle[0] + 0.9 * radius * math.cos(side) * math.cos(at), y + 0.9 * radius * math.sin(at))
            ends = tuple((round(8 * u), round(8 * v)) for u, v in (middle, tip))
            cv2.line(picture, ends[0], ends[1], 0.5 * shade + 60, 3, cv2.LINE_AA, 3)
        return picture

    return change


def fountain(rng: np.random.Generator, on: tuple[float, float]) -> Change:
    """A jet that rises and sinks and bends in the wind, its drops falling around it."""
    x, y, high = float(rng.uniform(60, 260)), float(rng.uniform(110, 160)), float(rng.uniform(30, 60))
    rate, wind = float(rng.uniform(0.4, 1.5)), float(rng.uniform(0.2, 0.6))

    def change(picture: Picture, t: float) -> Picture:
        if not within(t, on):
            return picture
        layer = np.zeros((HEIGHT, WIDTH), np.float32)
        top = high * (0.8 + 0.2 * math.sin(rate * t) * math.sin(0.37 * rate * t))
        bend = 0.35 * math.sin(wind * t) + 0.1 * math.sin(3.1 * wind * t)
        for _ in range(220):
            k, side = rng.uniform(0, 1), float(rng.normal(0, 0.12))
            at = (round(x + high * (bend * k * k + side * k)), round(y - top * 4 * k * (1 - 0.72 * k) * 0.72))
            cv2.circle(layer, at, 1, float(rng.uniform(0.4, 1)), -1, cv2.LINE_AA)
        return picture + 70 * cv2.GaussianBlur(layer, (3, 3), 0)

    return change


def banner(rng: np.random.Generator) -> Change:
    """A plain cloth on a pole in the gusts: it streams out, sinks and turns over to the other side."""
    x, y, wide, high = (float(rng.uniform(*r)) for r in ((90, 230), (25, 60), (30, 55), (18, 32)))
    shade, gust, rate = float(rng.choice([50, 215])), float(rng.uniform(0.3, 0.8)), float(rng.uniform(4, 8))

    def change(picture: Picture, t: float) -> Picture:
        picture = picture.copy()
        cv2.line(picture, (round(x), round(y) - 4), (round(x), HEIGHT - 30), 90.0, 2)
        blow = math.sin(gust * t) + 0.3 * math.sin(2.3 * gust * t)
        steps = np.linspace(0, 1, 12)
        across = x + wide * blow * steps
        down = y + high * (1 - abs(blow)) * steps + 2.5 * steps * np.sin(rate * t - 5 * steps)
        upper, lower = np.stack([across, down], 1), np.stack([across, down + high], 1)[::-1]
        outline = np.rint(np.concatenate([upper, lower]) * 16).astype(np.int32)
        cv2.fillPoly(picture, [outline], shade * (1 + 0.08 * math.sin(rate * t)), cv2.LINE_AA, 4)
        return picture

    return change


# --- the scenes ---


def _in_front(rng: np.random.Generator, start: float) -> Figure:
    """A visitor who walks past what moves in the middle of the picture, hiding it on the way."""
    return visitor(rng, start, height=float(rng.uniform(50, 75)))


def _laundry_for_long(rng: np.random.Generator) -> Scene:
    """Gusts that move it for a second or two each."""
    scene = _calm("laundry in gusts for minutes", rng, 170, figures=[_in_front(rng, 80), _in_front(rng, 140)])
    scene.disturb = [laundry(rng)]
    return scene


def _laundry_in_wind(rng: np.random.Generator) -> Scene:
    """It hangs still until the wind gets up, and stays up."""
    scene = _calm("laundry in a wind that gets up", rng, 140, figures=[_in_front(rng, 80), _in_front(rng, 115)])
    scene.disturb = [laundry(rng, since=12.0, lull=0.6)]
    return scene


def _sprinkler_for_long(rng: np.random.Generator) -> Scene:
    scene = _calm("sprinkler for minutes", rng, 150, figures=[_in_front(rng, 70), _in_front(rng, 120)])
    scene.disturb = [sprinkler(rng, (8, 150))]
    return scene


def _fan(rng: np.random.Generator) -> Scene:
    scene = _calm("fan", rng, 120, figures=[visitor(rng, 60), visitor(rng, 100)])
    scene.disturb = [fan(rng, (10, 90))]
    return scene


def _fountain(rng: np.random.Generator) -> Scene:
    scene = _calm("fountain", rng, 120, figures=[_in_front(rng, 60), _in_front(rng, 100)])
    scene.disturb = [fountain(rng, (8, 120))]
    return scene


def _banner(rng: np.random.Generator) -> Scene:
    scene = _calm("banner", rng, 120, figures=[visitor(rng, 60), visitor(rng, 100)])
    scene.disturb = [banner(rng)]
    return scene


def _works_for_long(rng: np.random.Generator) -> Scene:
    """Comes, works in one place for two minutes and more, moving a step or two every few seconds, and goes."""
    x, y, tall, shade = float(rng.uniform(100, 220)), 150.0, float(rng.uniform(35, 60)), float(rng.choice([-50, 45]))
    here, t, figures = x, 13.0, [Figure(10.0, 13.0, ((-10, y), (x, y)), tall, shade)]
    while t < 135:
        to, rests = x + float(rng.uniform(-0.5, 0.5)) * tall, float(rng.uniform(0.2, 4))
        figures.append(Figure(t, t + 1 + rests, ((here, y), (to, y)), tall, shade, still=(t + 1, t + 1 + rests)))
        here, t = to, t + 1 + rests
    figures.append(Figure(t, t + 3.0, ((here, y), (-12, y)), tall, shade))
    return _calm("works for two minutes", rng, t + 20, figures=figures)


def _swings(rng: np.random.Generator) -> Scene:
    """Comes to a swing, swings for a minute and a half, and goes."""
    x, y, tall, shade = float(rng.uniform(100, 220)), 150.0, float(rng.uniform(35, 60)), float(rng.choice([-50, 45]))
    figures = [
        Figure(10.0, 13.0, ((WIDTH + 10, y), (x, y)), tall, shade),
        Swinger(13.0, 103.0, ((x, y), (x, y)), tall, shade, reach=0.3 * tall, rate=float(rng.uniform(1.6, 2.4))),
        Figure(103.0, 106.0, ((x, y), (WIDTH + 12, y)), tall, shade),
    ]
    return _calm("on a swing", rng, 125, figures=figures)


def _fumbles(rng: np.random.Generator) -> Scene:
    """Brings a parcel, and stands before the door for most of a minute, hardly ever at rest."""
    x, y, tall, shade = float(rng.uniform(120, 200)), 172.0, float(rng.uniform(80, 120)), float(rng.choice([-50, 45]))
    here, t, figures = x, 13.0, [Figure(10.0, 13.0, ((-30, y), (x, y)), tall, shade)]
    while t < 58:
        to, rests = x + float(rng.uniform(-9, 9)), float(rng.uniform(0.2, 2))
        figures.append(Figure(t, t + 0.7 + rests, ((here, y), (to, y)), tall, shade, still=(t + 0.7, t + 0.7 + rests)))
        here, t = to, t + 0.7 + rests
    figures.append(Figure(t, t + 3.0, ((here, y), (-40, y)), tall, shade))
    return _calm("brings a parcel", rng, t + 20, figures=figures)


def _sweeps(rng: np.random.Generator) -> Scene:
    """Comes out of a door in the middle of the picture, sweeps the ground before it for a minute, goes in again."""
    x, y, tall, shade = float(rng.uniform(100, 220)), 130.0, float(rng.uniform(35, 50)), float(rng.choice([-50, 45]))
    here, t, figures = (x, y - 6), 12.0, []
    while t < 72:
        to = (x + float(rng.uniform(-1, 1)) * tall, y + float(rng.uniform(0, 12)))
        takes = float(rng.uniform(1.2, 3))
        figures.append(Figure(t, t + takes, (here, to), tall, shade))
        here, t = to, t + takes
    figures.append(Figure(t, t + 1.5, (here, (x, y - 6)), tall, shade))
    return _calm("sweeps before the door", rng, t + 25, figures=figures)


def _plays(rng: np.random.Generator) -> Scene:
    """A child runs about on the lawn for more than a minute."""
    y, tall, shade = 150.0, float(rng.uniform(22, 34)), float(rng.choice([-55, 50]))
    here, t, figures = (-8.0, y), 12.0, []
    while t < 85:
        to = (float(rng.uniform(60, 260)), y + float(rng.uniform(-25, 20)))
        takes = max(0.8, math.dist(here, to) / float(rng.uniform(50, 90)))
        figures.append(Figure(t, t + takes, (here, to), tall, shade))
        here, t = to, t + takes
    figures.append(Figure(t, t + 3.0, (here, (WIDTH + 8.0, y)), tall, shade))
    return _calm("a child plays", rng, t + 20, figures=figures)


def _round_a_corner(rng: np.random.Generator) -> Scene:
    """Two callers within a minute, first seen far off in the middle of the picture; each is at the door for long."""
    figures, t = [], 10.0
    for shade in (-50.0, 45.0):
        far, x, y, tall = float(rng.uniform(60, 260)), float(rng.uniform(120, 200)), 172.0, float(rng.uniform(100, 140))
        figures.append(Figure(t, t + 4.0, ((far, 100.0), (x, y)), 26.0, shade, growth=tall / 26))
        here, t = x, t + 4.0
        leaves = t + float(rng.uniform(30, 45))
        while t < leaves:
            to, rests = x + float(rng.uniform(-9, 9)), float(rng.uniform(0.2, 2))
            still = (t + 0.7, t + 0.7 + rests)
            figures.append(Figure(t, still[1], ((here, y), (to, y)), tall, shade, still=still))
            here, t = to, still[1]
        figures.append(Figure(t, t + 4.0, ((here, y), (far, 100.0)), tall, shade, growth=26 / tall))
        t += 24.0
    return _calm("comes round a corner", rng, t, figures=figures)


SCENES: tuple[Callable[[np.random.Generator], Scene], ...] = (
    _laundry_for_long, _sprinkler_for_long, _fan, _fountain, _banner, _works_for_long, _swings, _fumbles, _sweeps,
    _plays, _laundry_in_wind, _round_a_corner,
)  # fmt: skip
