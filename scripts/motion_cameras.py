"""Still more rendered scenes with known truth: cameras at their worst, and homes where things move that nobody minds.

They came after the detector had been measured on the scenes of motion_scenes.py, whose drawing they share, and of
motion_doorsteps.py, so they tell how it fares with what it was not made from. `bench_motion` scores them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import av
import cv2
import numpy as np
from motion_doorsteps import Change
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
    sway,
    visitor,
    within,
)

# --- what the camera and the way from it do ---


def encoded(bits_s: int, key_every: int, grain: float, rng: np.random.Generator) -> Change:
    """Through H.264 at twice the size and back, ten pictures a second: noise goes in, mush and pulses come out."""
    size = (2 * WIDTH, 2 * HEIGHT)
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = *size, "yuv420p", 10
    encoder.bit_rate, encoder.gop_size, encoder.thread_count = bits_s, key_every, 1
    limits = f"vbv-maxrate={bits_s // 1000}:vbv-bufsize={bits_s // 1000}:scenecut=0"
    encoder.options = {"preset": "superfast", "tune": "zerolatency", "x264-params": limits}
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.thread_count = 1

    def change(picture: Picture, t: float) -> Picture:
        large = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
        large = large + rng.normal(0, 1, large.shape).astype(np.float32) * grain
        grey = np.clip(large + 0.5, 0, 255).astype(np.uint8)
        colours = np.concatenate([grey, np.full((HEIGHT, 2 * WIDTH), 128, np.uint8)])
        frame = av.VideoFrame.from_ndarray(colours, format="yuv420p")
        frame.pts = round(t * 10)
        shown = [f for packet in encoder.encode(frame) for f in decoder.decode(packet)]
        plane = shown[-1].to_ndarray(format="gray") if shown else grey
        return cv2.resize(plane, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)

    return change


def lost_packets(rng: np.random.Generator, losses: list[float]) -> Change:
    """Bands of the picture break until the next key frame: grey, frozen and pushed aside, or smeared downwards."""
    faults = [
        (
            at, at + float(rng.uniform(0.2, 1.8)), int(rng.integers(0, HEIGHT - 50)), int(rng.integers(16, 110)),
            str(rng.choice(["grey", "pushed", "smeared"])), int(rng.integers(4, 24)),
        )
        for at in losses
    ]  # fmt: skip
    kept: dict[float, Picture] = {}

    def change(picture: Picture, t: float) -> Picture:
        picture = picture.copy()
        for start, end, top, high, kind, push in faults:
            if not within(t, (start, end)):
                continue
            old = kept.setdefault(start, picture.copy())
            band = slice(top, min(top + high, HEIGHT))
            if kind == "grey":
                picture[band] = 128 + 0.1 * (picture[band] - 128)
            elif kind == "pushed":
                picture[band] = np.roll(old, push, axis=1)[band]
            else:
                picture[band] = old[top]
        return picture

    return change


def clock(rng: np.random.Generator) -> Change:
    """Date and time burnt in by the camera, its seconds running."""
    x, y = int(rng.choice([6, 170])), int(rng.choice([14, HEIGHT - 8]))
    size, boxed = float(rng.uniform(0.32, 0.5)), bool(rng.random() < 0.5)
    minute = int(rng.integers(10, 60))

    def change(picture: Picture, t: float) -> Picture:
        picture = picture.copy()
        text = f"2026-11-24 09:{minute + int(t) // 60:02d}:{int(t) % 60:02d}"
        if boxed:
            (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
            picture[max(0, y - high - 2) : y + 3, x - 2 : x + wide + 2] = 12
        ink = np.zeros((HEIGHT, WIDTH), np.uint8)  # OpenCV writes on whole numbers only
        cv2.putText(ink, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, 255, 1, cv2.LINE_AA)
        return np.asarray(picture + ink / np.float32(255) * (245 - picture), np.float32)

    return change


def stalls(spans: list[tuple[float, float]]) -> Change:
    """The stream hangs: the same picture again and again."""
    held: dict[float, Picture] = {}

    def change(picture: Picture, t: float) -> Picture:
        for start, end in spans:
            if within(t, (start, end)):
                return held.setdefault(start, picture).copy()
        return picture

    return change


def combed(between_s: float) -> Change:
    """Interlaced: every other row is a moment older. Of two fields a second apart by as much as a picture lasts."""
    last: list[Picture] = []

    def change(picture: Picture, _t: float) -> Picture:
        before = last[0] if last else picture
        last[:] = [picture.copy()]
        picture = picture.copy()
        picture[1::2] = (1 - between_s) * picture[1::2] + between_s * before[1::2]
        return picture

    return change


def lens_drops(rng: np.random.Generator, drops: int) -> Change:
    """Rain on the glass: out-of-focus spots, each an upturned bit of the view; they come at once, a few run down."""
    made = [
        (
            float(rng.uniform(3, 45)), float(rng.uniform(10, WIDTH - 10)), float(rng.uniform(10, HEIGHT - 20)),
            float(rng.uniform(5, 16)), float(rng.uniform(6, 30)) if rng.random() < 0.4 else 1e9,
            float(rng.uniform(2, 30)),
        )
        for _ in range(drops)
    ]  # fmt: skip
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)

    def change(picture: Picture, t: float) -> Picture:
        turned = cv2.GaussianBlur(picture[::-1, ::-1], (0, 0), 8)
        cover = np.zeros((HEIGHT, WIDTH), np.float32)
        for at, x, y, radius, rests, pace in made:
            if t >= at:
                down = y + pace * max(0.0, t - at - rests)
                away = np.sqrt((xs - x) ** 2 + ((ys - down) / 1.1) ** 2)
                cover = np.maximum(cover, 1 / (1 + np.exp(np.clip(away - radius, -30, 30))))
        return np.asarray(picture + 0.7 * cover * (turned - picture), np.float32)

    return change


# --- what is at home and moves all the time ---


def laundry(rng: np.random.Generator, since: float = 0.0, lull: float = 0.2) -> Change:
    """A line with cloths that swing and bulge in gusts, from `since` on; between two `lull` of the wind stays."""
    top = int(rng.integers(40, 90))
    cloths = []
    x = int(rng.integers(10, 60))
    for _ in range(int(rng.integers(2, 6))):
        wide, high = int(rng.integers(14, 38)), int(rng.integers(20, 55))
        cloths.append((x, wide, high, float(rng.choice([60, 90, 200, 230])), float(rng.uniform(0, 6))))
        x += wide + int(rng.integers(4, 14))
    rate, gust = float(rng.uniform(1.5, 4)), float(rng.uniform(0.2, 0.7))

    def change(picture: Picture, t: float) -> Picture:
        picture = picture.copy()
        wind = (lull + (1 - lull) * max(0.0, math.sin(gust * t)) ** 2) * (t >= since)
        cv2.line(picture, (0, top), (WIDTH, top), 50.0, 1)
        for left, wide, high, shade, phase in cloths:
            push = 9 * wind * math.sin(rate * t + phase)
            lift = 5 * wind * (1 + math.sin(0.7 * rate * t + phase))
            corners = [
                (left, top),
                (left + wide, top),
                (left + wide + push, top + high - lift),
                (left + push, top + high),
            ]
            lit = shade * (1 + 0.12 * wind * math.sin(rate * t + phase))
            cv2.fillPoly(picture, [np.rint(np.array(corners) * 16).astype(np.int32)], lit, cv2.LINE_AA, 4)
        return picture

    return change


def sprinkler(rng: np.random.Generator, on: tuple[float, float]) -> Change:
    """A fan of drops that sweeps to and fro over the lawn."""
    x, y = float(rng.uniform(60, 260)), float(rng.uniform(120, 160))
    rate, reach = float(rng.uniform(0.4, 1.2)), float(rng.uniform(35, 75))

    def change(picture: Picture, t: float) -> Picture:
        if not within(t, on):
            return picture
        layer = np.zeros((HEIGHT, WIDTH), np.float32)
        lean = math.sin(rate * t)
        for _ in range(160):
            k, side = rng.uniform(0, 1), 0.9 * lean + rng.normal(0, 0.15)
            at = (round(x + side * reach * k), round(y - reach * (1.6 * k - 1.7 * k * k) + rng.normal(0, 1.5)))
            cv2.circle(layer, at, 1, float(rng.uniform(0.4, 1)), -1, cv2.LINE_AA)
        return picture + 55 * cv2.GaussianBlur(layer, (3, 3), 0)

    return change


def television(rng: np.random.Generator) -> Change:
    """A window lit by a screen inside: its light jumps from cut to cut, and falls on the ground before it."""
    x, y, wide, high = (int(rng.integers(*r)) for r in ((20, 250), (20, 60), (18, 40), (16, 32)))
    cuts = np.cumsum(rng.exponential(1.5, 80) + 0.2)
    levels = rng.uniform(0, 1, 81)
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    glow = np.exp(-(((xs - x - wide / 2) / 45) ** 2 + ((ys - y - high - 45) / 22) ** 2))
    strength = float(rng.uniform(40, 100))

    def change(picture: Picture, t: float) -> Picture:
        level = float(levels[int(np.searchsorted(cuts, t))]) + 0.1 * math.sin(11 * t)
        picture = picture + np.float32(0.25 * strength * level) * glow
        picture[y : y + high, x : x + wide] += strength * level
        return np.asarray(picture, np.float32)

    return change


def steam(rng: np.random.Generator, on: tuple[float, float]) -> Change:
    """A boiler's flue: soft puffs that rise, drift and thin out."""
    x, y = float(rng.uniform(40, 280)), float(rng.uniform(60, 110))
    drift, rise = float(rng.uniform(-20, 20)), float(rng.uniform(12, 30))
    puffs = np.cumsum(rng.uniform(0.15, 0.5, 300))
    wander = rng.normal(0, 6, 300)

    def change(picture: Picture, t: float) -> Picture:
        if not within(t, on):
            return picture
        layer = np.zeros((HEIGHT, WIDTH), np.float32)
        for born, aside in zip(puffs, wander, strict=True):
            age = t - on[0] - born
            if 0 < age < 3.5:
                puff = np.zeros((HEIGHT, WIDTH), np.float32)
                at = (round(x + drift * age + aside * age / 3), round(y - rise * age))
                cv2.circle(puff, at, round(3 + 4 * age), 1.0, -1)
                layer = np.maximum(layer, (1 - age / 3.5) * cv2.blur(puff, (9, 9)))
        layer = cv2.GaussianBlur(layer, (0, 0), 4)
        return np.asarray(picture + 0.6 * layer * (215 - picture), np.float32)

    return change


def moth(rng: np.random.Generator, visits: list[float], bright: float) -> Change:
    """Something flutters before the lamp for seconds, bright, out of focus, by no straight way."""
    ways = [
        (
            at, float(rng.uniform(2, 5)), rng.uniform(0.1, 0.9, 2), rng.uniform(0.6, 3.2, 4), rng.uniform(0, 6, 4),
            float(rng.uniform(2, 6)),
        )
        for at in visits
    ]  # fmt: skip

    def change(picture: Picture, t: float) -> Picture:
        for at, lasts, (u, v), rate, phase, radius in ways:
            if within(t, (at, at + lasts)):
                s = 3 * (t - at)
                x = WIDTH * (
                    u + 0.18 * math.sin(rate[0] * s + phase[0]) + 0.07 * math.sin(2.7 * rate[1] * s + phase[1])
                )
                y = HEIGHT * (
                    v + 0.25 * math.sin(rate[2] * s + phase[2]) + 0.1 * math.sin(2.3 * rate[3] * s + phase[3])
                )
                spot = np.zeros((HEIGHT, WIDTH), np.float32)
                cv2.circle(spot, (round(8 * x), round(8 * y)), round(8 * radius), 1.0, -1, cv2.LINE_AA, 3)
                wing = 0.6 + 0.4 * math.sin(25 * t)
                picture = picture + np.float32(bright * wing) * cv2.GaussianBlur(spot, (0, 0), 0.35 * radius)
        return picture

    return change


def lightning(rng: np.random.Generator, flashes: list[float]) -> Change:
    shadows = 1 + 0.3 * clouds(rng, 0.7)

    def change(picture: Picture, t: float) -> Picture:
        for at in flashes:
            for after, strength in ((0.0, 1.0), (0.3, 0.6)):
                if within(t, (at + after, at + after + 0.19)):
                    picture = picture + np.float32(90 * strength) * shadows
        return np.asarray(picture, np.float32)

    return change


def garden_lamp(rng: np.random.Generator, switches: list[float]) -> Change:
    """One lamp of its own: on at once, off at once, lighting a part of the picture with the shadows it throws."""
    x, y, size = float(rng.uniform(40, 280)), float(rng.uniform(40, 130)), float(rng.uniform(40, 90))
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    light = np.exp(-(((xs - x) / size) ** 2 + ((ys - y) / size) ** 2)) * (1 + 0.35 * clouds(rng, 0.7))
    strength = float(rng.uniform(1.0, 3.0))

    def change(picture: Picture, t: float) -> Picture:
        on = sum(t >= s for s in switches) % 2
        return np.asarray(picture * (1 + on * strength * light), np.float32)

    return change


def reflection(rng: np.random.Generator, passes: list[float]) -> Change:
    """The sun on a passing car's window sweeps over the house: small, hard, bright, soon gone."""
    ways = [(at, float(rng.uniform(0.3, 0.8)), rng.uniform(-0.3, 1.3, 4), float(rng.uniform(12, 40))) for at in passes]

    def change(picture: Picture, t: float) -> Picture:
        for at, lasts, (x0, y0, x1, y1), size in ways:
            if within(t, (at, at + lasts)):
                k = (t - at) / lasts
                spot = np.zeros((HEIGHT, WIDTH), np.float32)
                middle = (round(WIDTH * (x0 + (x1 - x0) * k)), round(HEIGHT * (y0 + (y1 - y0) * k)))
                cv2.ellipse(spot, (middle, (2.0 * size, 0.8 * size), 20.0), 1.0, -1)
                picture = picture * (1 + 0.6 * cv2.GaussianBlur(spot, (0, 0), 3))
        return np.asarray(picture, np.float32)

    return change


# --- the scenes ---


def _low_rate(rng: np.random.Generator) -> Scene:
    scene = _calm("H.264 at few bits", rng, figures=[visitor(rng, 16), visitor(rng, 34)])
    scene.disturb = [encoded(int(rng.choice([60_000, 120_000, 250_000])), int(rng.choice([10, 20, 50])), 3.0, rng)]
    scene.noise, scene.quality = 0.0, None
    return scene


def _low_rate_night(rng: np.random.Generator) -> Scene:
    figure = visitor(rng, 30, contrast=float(rng.choice([-1, 1]) * rng.uniform(60, 90)))
    scene = _calm("H.264 at few bits, night", rng, figures=[figure])
    scene.disturb = [
        gain(lambda _: 0.3),
        encoded(int(rng.choice([60_000, 150_000])), int(rng.choice([10, 20, 40])), 6.0, rng),
    ]
    scene.noise, scene.quality = 0.0, None
    return scene


def _low_rate_leaves(rng: np.random.Generator) -> Scene:
    scene = _calm("H.264 at few bits, leaves", rng, figures=[visitor(rng, 34)])
    leaves = sway(rng, float(rng.uniform(0.8, 1.6)), foliage(rng), (0, 50))
    scene.disturb = [leaves, encoded(int(rng.choice([100_000, 250_000])), int(rng.choice([10, 20, 40])), 2.0, rng)]
    scene.noise, scene.quality = 0.0, None
    return scene


def _lost(rng: np.random.Generator) -> Scene:
    scene = _calm("packets lost", rng, figures=[visitor(rng, 40)])
    scene.disturb = [lost_packets(rng, sorted(rng.uniform(5, 36, 6).tolist()))]
    return scene


def _clock(rng: np.random.Generator) -> Scene:
    scene = _calm("clock in the picture", rng, figures=[visitor(rng, 34)])
    scene.disturb = [clock(rng)]
    return scene


def _stalls(rng: np.random.Generator) -> Scene:
    scene = _calm("stream hangs", rng, figures=[visitor(rng, 34)])
    scene.disturb = [gain(lambda t: 1 + 0.08 * math.sin(t / 5)), stalls([(6, 9), (15, 21), (25, 26.5)])]
    return scene


def _combed(rng: np.random.Generator) -> Scene:
    scene = _calm("interlaced", rng, figures=[visitor(rng, 14, end=18.0), visitor(rng, 34)])
    scene.disturb = [combed(0.8)]
    return scene


def _lens(rng: np.random.Generator) -> Scene:
    scene = _calm("drops on the lens", rng, figures=[visitor(rng, 38)])
    scene.disturb = [lens_drops(rng, int(rng.integers(4, 14)))]
    return scene


def _laundry(rng: np.random.Generator) -> Scene:
    scene = _calm("laundry", rng, 60, figures=[visitor(rng, 42)])
    scene.disturb = [laundry(rng)]
    return scene


def _sprinkler(rng: np.random.Generator) -> Scene:
    scene = _calm("sprinkler", rng, 60, figures=[visitor(rng, 42)])
    scene.disturb = [sprinkler(rng, (8, 60))]
    return scene


def _television(rng: np.random.Generator) -> Scene:
    scene = _calm("television in the window", rng, 60, figures=[visitor(rng, 42, contrast=60.0)])
    scene.disturb = [gain(lambda _: 0.3), television(rng)]
    return scene


def _steam(rng: np.random.Generator) -> Scene:
    scene = _calm("steam", rng, 60, figures=[visitor(rng, 42)])
    scene.disturb = [steam(rng, (10, 60))]
    return scene


def _moth(rng: np.random.Generator) -> Scene:
    scene = _calm("moths", rng, figures=[visitor(rng, 40, contrast=70.0)])
    scene.disturb = [gain(lambda _: 0.4), moth(rng, [6, 14, 22, 29], float(rng.uniform(60, 150)))]
    return scene


def _lightning(rng: np.random.Generator) -> Scene:
    scene = _calm("lightning", rng, figures=[visitor(rng, 40, contrast=70.0)])
    scene.disturb = [gain(lambda _: 0.3), lightning(rng, sorted(rng.uniform(5, 36, 5).tolist()))]
    return scene


def _lamp(rng: np.random.Generator) -> Scene:
    scene = _calm("garden lamp", rng, figures=[visitor(rng, 40, contrast=70.0)])
    scene.disturb = [gain(lambda _: 0.35), garden_lamp(rng, [10, 24])]
    return scene


def _reflection(rng: np.random.Generator) -> Scene:
    scene = _calm("sun on passing cars", rng, figures=[visitor(rng, 40)])
    scene.disturb = [reflection(rng, [7, 15, 23, 31])]
    return scene


def _fills(rng: np.random.Generator) -> Scene:
    """A doorbell's visitor: comes from the side, stands before the lens and fills the picture, goes again."""
    side = float(rng.choice([-1, 1]))
    x = WIDTH / 2 + 20 * side
    figure = visitor(
        rng, 15, end=32.0, path=((WIDTH / 2 + 300 * side, 750), (x, 750)), height=900.0, still=(16.0, 30.5)
    )
    leaves = Figure(32.0, 33.5, ((x, 750), (WIDTH / 2 - 300 * side, 750)), 900.0, figure.contrast)
    return _calm("fills the picture", rng, 60, figures=[figure, leaves, visitor(rng, 48)])


def _crossing(rng: np.random.Generator) -> Scene:
    a = Figure(12, 20, ((-10, 150), (330, 150)), 60.0, -45)
    b = Figure(13, 21, ((330, 158), (-10, 158)), 66.0, 50)
    return _calm("two cross", rng, figures=[a, b, visitor(rng, 38)])


def _gardener(rng: np.random.Generator) -> Scene:
    """Works in one place: to and fro within a few steps, now and then bent over something for some seconds."""
    x, y, tall, shade = float(rng.uniform(80, 240)), 150.0, float(rng.uniform(35, 60)), float(rng.choice([-50, 45]))
    way, t, figures = x, 12.0, []
    for _ in range(6):
        to = x + float(rng.uniform(-35, 35))
        rests = float(rng.uniform(1.5, 5))
        figures.append(Figure(t, t + 1.6 + rests, ((way, y), (to, y)), tall, shade, still=(t + 1.6, t + 1.6 + rests)))
        way, t = to, t + 1.6 + rests
    first = Figure(10.0, 12.0, ((-10, y), (x, y)), tall, shade)
    figures.append(Figure(t, t + 3.0, ((way, y), (-12, y)), tall, shade))
    return _calm("works in the garden", rng, t + 20, figures=[first, *figures])


def _hesitant(rng: np.random.Generator) -> Scene:
    """Comes up the path for half a minute, slowly, straight to the camera: grows more than it moves."""
    x = float(rng.uniform(120, 200))
    figure = visitor(rng, 12, end=42.0, path=((x, 100), (x + 6, 175)), height=16.0, growth=7.0)
    return _calm("slowly to the camera", rng, 60, figures=[figure])


def _dusk_walk(rng: np.random.Generator) -> Scene:
    contrast = float(rng.choice([-1, 1]) * rng.uniform(26, 36))
    scene = _calm("dark clothes at dusk", rng, figures=[visitor(rng, 30, contrast=contrast, height=45.0, end=37.0)])
    scene.disturb = [gain(lambda t: 0.5 - 0.002 * t)]
    scene.noise = 2.5
    return scene


def _lit_up(rng: np.random.Generator) -> Scene:
    """At night, in the camera's own infrared: grey far away, bleached and near, the exposure stopping down for it."""
    figure = visitor(rng, 16, end=28.0, path=((60, 110), (200, 240)), height=25.0, growth=8.0, contrast=150.0)
    scene = _calm("infrared lights somebody near", rng, figures=[figure])

    def stop_down(picture: Picture, t: float) -> Picture:
        near = 1 / (1 + math.exp(-2 * (t - 23))) if t < 28 else math.exp(-(t - 28) / 0.6)
        return np.asarray(np.clip(picture, 0, 255) * (1 - 0.45 * near), np.float32)

    scene.disturb = [gain(lambda _: 0.4), stop_down]
    scene.noise = 2.5
    return scene


def _small_sensor(rng: np.random.Generator) -> Scene:
    scene = _calm("160 by 120", rng, figures=[visitor(rng, 16, height=50.0), visitor(rng, 34, height=60.0)])
    scene.disturb = [
        sway(rng, 0.8, foliage(rng), (0, 50)),
        lambda p, _t: cv2.resize(p, (160, 120), interpolation=cv2.INTER_AREA),
    ]
    return scene


def _drives_by(rng: np.random.Generator) -> Scene:
    """Beyond the fence cars go by, seen by their roofs only; a visitor comes between two of them."""
    cars = [
        Figure(at, at + 2.5, ((-40, 78.0), (360, 78.0)), 16.0, float(rng.choice([-50, 50])), "vehicle")
        for at in (8, 36)
    ]
    return _calm("cars beyond the fence", rng, figures=[*cars, visitor(rng, 20)])


SCENES: tuple[Callable[[np.random.Generator], Scene], ...] = (
    _low_rate, _low_rate_night, _low_rate_leaves, _lost, _clock, _stalls, _combed, _lens, _laundry, _sprinkler,
    _television, _steam, _moth, _lightning, _lamp, _reflection, _fills, _crossing, _gardener, _hesitant, _dusk_walk,
    _lit_up, _small_sensor, _drives_by,
)  # fmt: skip
