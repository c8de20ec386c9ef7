"""More rendered scenes with known truth: what doorsteps do to cameras, by day and by night.

They came after the detector's constants were first chosen (scripts/motion_scenes.py, whose drawing they share), so they
tell how it fares with what it was not made from. `bench_motion` scores them, the tests hold the detector to them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from motion_scenes import (
    HEIGHT,
    WIDTH,
    Figure,
    Picture,
    Scene,
    _calm,
    clouds,
    foliage,
    gain,
    garden,
    rain,
    snow,
    sway,
    visitor,
    within,
)

Change = Callable[[Picture, float], Picture]


# --- what must not be taken for motion ---


def few_bits(key_every: float, key_quality: int, pace: float) -> Change:
    """An encoder starved of bits: a coarse picture at each key frame that sharpens until the next one."""
    last: list[Picture] = []
    next_key = [0.0]

    def change(picture: Picture, t: float) -> Picture:
        if not last or t >= next_key[0]:
            next_key[0] = t + key_every
            grey = np.clip(picture, 0, 255).astype(np.uint8)
            packed = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, key_quality])[1]
            last[:] = [np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), np.float32)]
        else:
            error = picture - last[0]
            last[0] = last[0] + np.where(np.abs(error) > 12, error, pace * error)
        return last[0].copy()

    return change


def web(rng: np.random.Generator, threads: int, bright: float) -> Change:
    """A spider's web at the lens, lit by infrared: blurred threads that swing together in the draught."""
    ends = [(rng.uniform(-0.2, 1.2, 2), rng.uniform(-0.2, 1.2, 2), float(rng.uniform(0, 6))) for _ in range(threads)]
    rate, swing = float(rng.uniform(1.5, 4)), float(rng.uniform(2, 7))

    def change(picture: Picture, t: float) -> Picture:
        layer = np.zeros((HEIGHT, WIDTH), np.float32)
        for (x0, y0), (x1, y1), phase in ends:
            push = swing * math.sin(rate * t + 0.3 * phase) * (0.5 + 0.5 * math.sin(0.4 * t))
            start = (round(x0 * WIDTH + push), round(y0 * HEIGHT + 0.5 * push))
            end = (round(x1 * WIDTH + 0.7 * push), round(y1 * HEIGHT))
            cv2.line(layer, start, end, 1.0, 3, cv2.LINE_AA)
        return picture + bright * cv2.GaussianBlur(layer, (0, 0), 2.5)

    return change


def flag(rng: np.random.Generator) -> Change:
    """A striped flag that waves without end."""
    left, top = int(rng.integers(20, 240)), int(rng.integers(5, 50))
    wide, high = int(rng.integers(25, 50)), int(rng.integers(18, 34))
    dark, light = float(rng.uniform(40, 90)), float(rng.uniform(150, 220))
    rate = float(rng.uniform(4, 9))
    ys, xs = np.mgrid[0:high, 0:wide].astype(np.float32)

    def change(picture: Picture, t: float) -> Picture:
        lift = 3 * (xs / wide) * np.sin(rate * t - 0.25 * xs)
        stripes = np.where(((ys + lift) // 5) % 2 < 1, dark, light) * (1 + 0.15 * np.cos(rate * t - 0.25 * xs))
        picture = picture.copy()
        picture[top : top + high, left : left + wide] = stripes
        return picture

    return change


def water(rng: np.random.Generator) -> Change:
    """A pond or a wet road: glints that travel with the ripples."""
    top = int(rng.integers(100, 130))
    waves = [(rng.uniform(0.1, 0.5), rng.uniform(0.4, 1.2), rng.uniform(2, 6), rng.uniform(0, 6)) for _ in range(5)]
    strength = float(rng.uniform(8, 25))
    ys, xs = np.mgrid[0 : HEIGHT - top, 0:WIDTH].astype(np.float32)
    edge = np.exp(-(((xs - WIDTH / 2) / 110) ** 4)) * np.minimum(1, ys / 10)

    def change(picture: Picture, t: float) -> Picture:
        ripple = sum(np.sin(kx * xs + ky * ys + rate * t + phase) for kx, ky, rate, phase in waves)
        picture = picture.copy()
        picture[top:] += strength * edge * np.maximum(np.asarray(ripple), 0)
        return picture

    return change


def leaf_shadows(rng: np.random.Generator, depth: float) -> Change:
    """A tree outside the picture throws the shadow of its moving leaves on path and wall."""
    pattern = np.asarray(1 / (1 + np.exp(-np.clip(6 * clouds(rng, 0.9), -30, 30))), np.float32)
    patch = foliage(rng)
    move = sway(rng, float(rng.uniform(1.5, 4)), np.ones((HEIGHT, WIDTH), np.float32), (0, 1e9))
    return lambda picture, t: np.asarray(picture * (1 - depth * patch * move(pattern, t)), np.float32)


def exposure_follows(figure: Figure, depth: float, lag: float) -> Change:
    """Somebody near makes the camera open or close its iris: the whole picture changes with them in it."""

    def change(picture: Picture, t: float) -> Picture:
        begin, end = figure.start + 0.8, figure.end - 0.8
        there = 1 - math.exp(-max(0.0, min(t, end) - begin) / lag) if t > begin else 0.0
        back = math.exp(-max(0.0, t - end) / lag)
        return np.asarray(picture * (1 + depth * there * back), np.float32)

    return change


def lamps(car: Figure, on: tuple[float, float], glare: float) -> Change:
    """A car's lamps, seen from the front: two that dazzle, and the glare they make in the lens."""
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)

    def change(picture: Picture, t: float) -> Picture:
        if not within(t, on):
            return picture
        x, y, height = car.place(t)
        for side in (-0.8, 0.8):
            away = (xs - x - side * height) ** 2 + (ys - y + 0.35 * height) ** 2
            for bright, size in ((500, 0.12), (120, glare), (25, 3 * glare)):
                picture = picture + np.float32(bright) * np.exp(-away / (2 * (size * height) ** 2))
        return np.asarray(picture, np.float32)

    return change


def portrait(picture: Picture, _t: float) -> Picture:
    """The upright 3:4 picture many doorbells have, its edges bent by a wide lens."""
    wide, high = 320, 426
    ys, xs = np.mgrid[0:high, 0:wide].astype(np.float32)
    u, v = (xs - wide / 2) / (wide / 2), (ys - high / 2) / (high / 2)
    bend = (0.8 + 0.2 * (u * u + v * v) / 2).astype(np.float32)
    return cv2.remap(picture, WIDTH / 2 + u * bend * 67, HEIGHT / 2 + v * bend * 89, cv2.INTER_CUBIC)


# --- the scenes ---


def _starved(rng: np.random.Generator) -> Scene:
    scene = _calm("few bits", rng, figures=[visitor(rng, 34)])
    scene.disturb = [
        few_bits(float(rng.choice([1.0, 2.0, 4.0])), int(rng.integers(8, 22)), float(rng.uniform(0.1, 0.5)))
    ]
    scene.noise, scene.quality = 0.7, None
    return scene


def _web(rng: np.random.Generator) -> Scene:
    scene = _calm("spider web at night", rng, figures=[visitor(rng, 34)])
    scene.disturb = [gain(lambda _: 0.4), web(rng, int(rng.integers(2, 6)), float(rng.uniform(20, 70)))]
    return scene


def _flag(rng: np.random.Generator) -> Scene:
    scene = _calm("flag", rng, figures=[visitor(rng, 34)])
    scene.disturb = [flag(rng)]
    return scene


def _water(rng: np.random.Generator) -> Scene:
    scene = _calm("water", rng, figures=[visitor(rng, 34)])
    scene.disturb = [water(rng)]
    return scene


def _leaf_shadows(rng: np.random.Generator) -> Scene:
    scene = _calm("shadows of leaves", rng, figures=[visitor(rng, 34)])
    scene.disturb = [leaf_shadows(rng, float(rng.uniform(0.2, 0.5)))]
    return scene


def _stands(rng: np.random.Generator) -> Scene:
    figure = visitor(rng, 12, end=40.0, path=((-20, 150), (160, 165)), height=90.0, still=(16.0, 36.0))
    return _calm("stands at the door for 20 s", rng, 55, figures=[figure])


def _cat(rng: np.random.Generator) -> Scene:
    cat = visitor(rng, 15, end=23.0, kind="vehicle", height=float(rng.uniform(7, 11)), still=(18.0, 19.5))
    return _calm("cat", rng, figures=[cat])


def _dim(rng: np.random.Generator) -> Scene:
    contrast = float(rng.choice([-1, 1]) * rng.uniform(45, 60))
    scene = _calm("dark figure at night", rng, figures=[visitor(rng, 20, contrast=contrast, height=55.0)])
    scene.disturb = [gain(lambda _: 0.22)]
    scene.noise = 2.0
    return scene


def _porch(rng: np.random.Generator) -> Scene:
    """The lamp with a motion sensor goes on while somebody comes, and off a minute later."""
    figure = visitor(rng, 15, end=24.0)
    scene = _calm("porch lamp", rng, 60, figures=[figure])
    on = 15 + float(rng.uniform(0.8, 2.5))
    scene.disturb = [gain(lambda t: 0.95 + 0.25 * math.exp(-(t - on) / 0.4) if on <= t < 45 else 0.4)]
    return scene


def _near(rng: np.random.Generator) -> Scene:
    figure = visitor(rng, 15, end=23.0, path=((-40, 190), (340, 190)), height=150.0)
    scene = _calm("exposure follows somebody near", rng, figures=[figure])
    scene.disturb = [exposure_follows(figure, float(rng.choice([-0.25, 0.35])), float(rng.uniform(0.2, 0.8)))]
    return scene


def _portrait(rng: np.random.Generator) -> Scene:
    scene = _calm("upright picture", rng, 60, figures=[visitor(rng, 20, end=28.0), visitor(rng, 42, end=50.0)])
    scene.disturb = [sway(rng, 0.8, foliage(rng), (0, 60)), portrait]
    return scene


def _lit(rng: np.random.Generator) -> Figure:
    """Somebody near enough to be bright in infrared, or dark before what is."""
    contrast = float(rng.choice([-1, 1]) * rng.uniform(70, 110))
    return visitor(rng, 45, height=float(rng.uniform(50, 90)), contrast=contrast)


def _night_rain(rng: np.random.Generator) -> Scene:
    scene = _calm("dense rain at night", rng, 60, figures=[_lit(rng)])
    drops = int(rng.integers(150, 300))
    scene.disturb = [gain(lambda _: 0.4), rain(rng, drops, float(rng.uniform(40, 90)), (0, 60))]
    return scene


def _night_snow(rng: np.random.Generator) -> Scene:
    scene = _calm("dense snow at night", rng, 60, figures=[_lit(rng)])
    scene.disturb = [gain(lambda _: 0.4), snow(rng, int(rng.integers(150, 300)), (0, 60))]
    return scene


def _pause(rng: np.random.Generator) -> Scene:
    """Leaves in the wind all the time; the end of a visit must be seen all the same."""
    scene = Scene("visit in the wind", 70, garden(rng), [visitor(rng, 25), visitor(rng, 45)], noise=1.5)
    scene.disturb = [sway(rng, float(rng.uniform(1.0, 2.5)), foliage(rng), (0, 70))]
    return scene


def _slow_feed(rng: np.random.Generator) -> Scene:
    """Four pictures a second, some late."""
    times = (np.arange(0, 50, 0.25) + rng.uniform(0, 0.1, 200)).tolist()
    return _calm("four a second", rng, figures=[visitor(rng, 15), visitor(rng, 34)], times=times)


def _gate(rng: np.random.Generator) -> Scene:
    """An arrival cut short: in by the edge, out again the same way."""
    figure = visitor(rng, 20, end=26.0, path=((-10, 150), (60, 150)), height=60.0)
    back = Figure(26.0, 31.0, ((60, 150), (-10, 150)), 60.0, figure.contrast)
    scene = _calm("turns back at the gate", rng, figures=[figure, back])
    scene.disturb = [lambda picture, t: picture if not within(t, (8, 12)) else picture * 1.04]
    return scene


def _arrival(rng: np.random.Generator) -> Scene:
    """A car comes home at night and goes again, its lamps towards the camera."""
    y = float(rng.uniform(60, 80))
    car = Figure(12, 55, ((float(rng.uniform(180, 260)), y), (-90, y + 100)), 14.0, -30, "vehicle", 4.0, (18, 49))
    scene = _calm("car comes at night", rng, 65, figures=[car])
    glare = float(rng.uniform(0.2, 0.6))
    scene.disturb = [gain(lambda _: 0.3), lamps(car, (12, 20), glare), lamps(car, (49, 55), glare)]
    scene.ignore = [(19.9, 20.6)]  # the lamps go out
    scene.noise = 2.5
    return scene


SCENES: tuple[Callable[[np.random.Generator], Scene], ...] = (
    _starved, _web, _flag, _water, _leaf_shadows, _stands, _cat, _dim, _porch, _near, _portrait, _night_rain,
    _night_snow, _pause, _slow_feed, _gate, _arrival,
)  # fmt: skip
