"""The rendered doorstep: a film of our own for trying Doorward without a camera, its truth known.

Owns what happens when: two visitors come to the door, wait and leave; a bush sways all the time; the light drifts, and
a cloud takes some of it away between the visits. The same film each time on the same libraries. Painting is
`backdrop`'s and `figure`'s.
"""

from __future__ import annotations

import math
import os
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
import numpy.typing as npt

from agent.demo.backdrop import BUSH_CORNER, BUSH_SIZE, Backdrop, paint_backdrop, path_middle
from agent.demo.canvas import HEIGHT, WIDTH, Image, lay_over
from agent.demo.figure import Dress, Pose, Sprite, paint_figure

VERSION: Final = 1
FPS: Final = 15
SECONDS: Final = 72
_SEED: Final = 20_240_611
_CLOUD_S: Final = 36.0
_NOISE_LEVELS: Final = 1.6
_SHADOW: Final = 0.42


@dataclass(frozen=True, slots=True)
class SceneEvent:
    """When a visitor is on the film: from the first picture that shows any part of the figure to the last, seconds."""

    start_s: float
    end_s: float
    what: str


@dataclass(frozen=True, slots=True)
class _Visit:
    """One visitor: sets out of sight at `start_s`, stands at the door for `stay_s`, goes back."""

    start_s: float
    stay_s: float
    speed_m_s: float
    dress: Dress


_VISITS: Final = (
    _Visit(8.0, 6.0, 1.5, Dress((150, 122, 62), (112, 86, 68), (82, 98, 228), (52, 70, 104), False, False)),
    _Visit(45.5, 5.0, 1.6, Dress((62, 152, 234), (98, 82, 76), (72, 66, 182), (40, 48, 62), True, True)),
)
TRUTH: Final = (
    SceneEvent(151 / FPS, 480 / FPS, "a visitor in a blue coat"),
    SceneEvent(712 / FPS, 1012 / FPS, "a courier with a parcel"),
)

_PAUSE_S: Final = 0.9  # to slow down, to turn round, to set off again


def _route() -> npt.NDArray[np.float64]:
    """Places (x, z) a centimetre apart, from out of sight to the door."""
    path = np.array([*reversed(path_middle()), (0.45, 2.15)])
    steps = np.hypot(*np.diff(path, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    fine = np.arange(0.0, along[-1], 0.01)
    return np.stack([np.interp(fine, along, path[:, 0]), np.interp(fine, along, path[:, 1])], axis=1)


_ROUTE: Final = _route()
_LENGTH_M: Final = 0.01 * (len(_ROUTE) - 1)


def _smooth(share: float) -> float:
    """From 0 to 1 without a jerk."""
    share = min(1.0, max(0.0, share))
    return share * share * (3 - 2 * share)


def pose_at(time_s: float) -> tuple[Pose, Dress] | None:
    """Who is out there at a time, and how; None while nobody is on the way."""
    for visit in _VISITS:
        elapsed = time_s - visit.start_s
        # Slowing down at constant rate takes half the ground of walking on.
        walk_s = _LENGTH_M / visit.speed_m_s + _PAUSE_S / 2
        turned_s = walk_s + visit.stay_s + _PAUSE_S
        if not 0 <= elapsed <= turned_s + walk_s:
            continue
        if elapsed < walk_s + visit.stay_s:
            return _coming(visit, elapsed, walk_s), visit.dress
        return _leaving(visit, elapsed - walk_s - visit.stay_s, walk_s), visit.dress
    return None


def _progress(visit: _Visit, elapsed: float, walk_s: float) -> tuple[float, float]:
    """Metres covered on the way to the door, and the share of full stride."""
    steady_s = walk_s - _PAUSE_S
    if elapsed <= steady_s:
        return visit.speed_m_s * elapsed, 1.0
    slowing = min(1.0, (elapsed - steady_s) / _PAUSE_S)
    return _LENGTH_M - 0.5 * visit.speed_m_s * _PAUSE_S * (1 - slowing) ** 2, 1.0 - slowing


def _place(covered_m: float) -> tuple[float, float, float]:
    """x, z and the angle of walking there, towards the door."""
    index = min(len(_ROUTE) - 1, max(0, round(covered_m * 100)))
    before, after = _ROUTE[max(0, index - 20)], _ROUTE[min(len(_ROUTE) - 1, index + 20)]
    share = covered_m * 100
    x = float(np.interp(share, np.arange(len(_ROUTE)), _ROUTE[:, 0]))
    z = float(np.interp(share, np.arange(len(_ROUTE)), _ROUTE[:, 1]))
    return x, z, math.atan2(before[0] - after[0], before[1] - after[1])


def _coming(visit: _Visit, elapsed: float, walk_s: float) -> Pose:
    covered, stride = _progress(visit, elapsed, walk_s)
    x, z, turn = _place(covered)
    waited = elapsed - walk_s
    facing = _smooth((waited + _PAUSE_S) / _PAUSE_S)
    ring = _smooth((waited - 0.5) / 0.5) - _smooth((waited - 1.6) / 0.6)
    look = 0.7 * math.sin(1.5 * (waited - 2.4)) * _smooth((waited - 2.4) / 0.8) * _smooth((visit.stay_s - waited) / 0.8)
    shift = 0.012 * math.sin(1.1 * waited) * _smooth(waited)
    return Pose(x + shift, z, turn * (1 - facing), covered, stride, ring, look)


def _leaving(visit: _Visit, elapsed: float, walk_s: float) -> Pose:
    covered, stride = _progress(visit, walk_s - max(0.0, elapsed - _PAUSE_S), walk_s)
    x, z, turn = _place(covered)
    # Round by the right, then along the path with the back to the door.
    away = turn - math.pi
    return Pose(x, z, away * _smooth(elapsed / _PAUSE_S), 2 * _LENGTH_M - covered, stride, 0.0, 0.0)


class Scene:
    """Paints the film's pictures, any of them in any order."""

    def __init__(self) -> None:
        self._backdrop: Backdrop = paint_backdrop(_SEED)
        rng = np.random.default_rng(_SEED)
        middle = 128.0
        self._noise = np.clip(rng.normal(middle, _NOISE_LEVELS, (HEIGHT + 256, WIDTH + 256)), 0, 255).astype(np.uint8)
        self._noise_corners = rng.integers(0, 256, (SECONDS * FPS, 2))
        rows, columns = np.mgrid[0 : BUSH_SIZE[1], 0 : BUSH_SIZE[0]].astype(np.float32)
        self._bush_grid = (columns, rows)
        self._bush_bend = np.clip(1.15 - rows / BUSH_SIZE[1], 0, 1) ** 1.4

    def planes(self, index: int) -> Image:
        """Picture number `index` as planar YUV 4:2:0, shape (HEIGHT * 3 / 2, WIDTH)."""
        time_s = index / FPS
        picture = self._backdrop.far.copy()
        self._sway(picture, time_s)
        sprite = self.visitor(time_s)
        if sprite is not None:
            self._stand(picture, sprite, time_s)
        planes = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420), dtype=np.uint8)
        _light(planes, time_s)
        y, x = self._noise_corners[index]
        noise = self._noise[y : y + HEIGHT, x : x + WIDTH]
        cv2.addWeighted(planes[:HEIGHT], 1.0, noise, 1.0, -128.0, dst=planes[:HEIGHT])
        return planes

    def visitor(self, time_s: float) -> Sprite | None:
        """The painted visitor, where there is one."""
        found = pose_at(time_s)
        return None if found is None else paint_figure(*found)

    def shown_pixels(self, sprite: Sprite) -> float:
        """Pixels of a visitor that the film shows: inside the picture and not behind the porch."""
        shown = np.zeros((HEIGHT, WIDTH), np.uint8)
        lay_over(shown, np.full_like(sprite.alpha, 255), sprite.alpha, sprite.left, sprite.top, self._backdrop.free)
        return float(shown.sum(dtype=np.int64)) / 255

    def _sway(self, picture: Image, time_s: float) -> None:
        columns, rows = self._bush_grid
        gust = 0.6 + 0.4 * math.sin(2 * math.pi * time_s / 11)
        lean = gust * (3.6 * math.sin(2 * math.pi * time_s / 2.3) + 1.5 * math.sin(2 * math.pi * time_s / 0.9))
        flutter = 0.9 * gust * np.sin(rows * 0.09 + columns * 0.05 + 7.0 * time_s)
        across = (columns + self._bush_bend * lean + flutter).astype(np.float32)
        down = (rows + self._bush_bend * abs(lean) * 0.12).astype(np.float32)
        bush = self._backdrop.bush
        image = np.asarray(cv2.remap(bush.image, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
        alpha = np.asarray(cv2.remap(bush.alpha, across, down, cv2.INTER_LINEAR))
        lay_over(picture, image.astype(np.uint8), alpha.astype(np.uint8), *BUSH_CORNER, self._backdrop.free)

    def _stand(self, picture: Image, sprite: Sprite, time_s: float) -> None:
        free = self._backdrop.free
        left, top, darkness = _shadow(sprite, _SHADOW * _sun(time_s))
        shade = np.empty((*darkness.shape, 3), np.uint8)
        shade[:] = (52, 34, 30)
        lay_over(picture, shade, darkness, left, top, free)
        lay_over(picture, sprite.image, sprite.alpha, sprite.left, sprite.top, free)


def _shadow(sprite: Sprite, strength: float) -> tuple[int, int, Image]:
    """The figure's silhouette laid on the ground, away from the sun: left, top, darkness."""
    high, wide = sprite.alpha.shape
    foot_x, foot_y = sprite.foot[0] - sprite.left, sprite.foot[1] - sprite.top
    aslant, flat = 0.62, 0.2
    # Half as fine: a shadow's edge is soft.
    margin = 8 + math.ceil(0.03 * high)
    size = (math.ceil((wide + aslant * high) / 2), math.ceil(high * flat / 2) + 2 * margin)
    # A point h above the feet falls aslant * h to the right and flat * h towards the horizon.
    across = np.array(
        [[0.5, -aslant * 0.5, aslant * foot_y * 0.5], [0.0, flat * 0.5, size[1] - margin - flat * foot_y * 0.5]]
    )
    fallen = cv2.warpAffine(sprite.alpha, across, size, flags=cv2.INTER_AREA)
    blur = max(1.0, 0.012 * high)
    contact = (round(foot_x * 0.5), size[1] - margin)
    cv2.ellipse(fallen, contact, (round(0.1 * wide), max(2, round(0.018 * wide))), 0, 0, 360, 255.0, -1)
    soft = cv2.GaussianBlur(fallen, (0, 0), blur)
    full = cv2.resize(soft, (size[0] * 2, size[1] * 2), interpolation=cv2.INTER_LINEAR)
    darkness = np.rint(full * strength).astype(np.uint8)
    return sprite.left, round(sprite.foot[1]) - 2 * (size[1] - margin), darkness


def _sun(time_s: float) -> float:
    """How much direct sun there is: 1, and little under the cloud."""
    return 1.0 - 0.6 * _smooth((time_s - _CLOUD_S) / 0.8)


def _light(planes: Image, time_s: float) -> None:
    """Sets the brightness of everything: a slow drift, and the cloud's step, which is a little blue."""
    cloud = 1.0 - _sun(time_s)
    gain = (1.0 - 0.25 * cloud) * (1.0 + 0.05 * math.sin(2 * math.pi * time_s / 110))
    levels = np.arange(256)
    quarter = HEIGHT // 4
    blue, red = planes[HEIGHT : HEIGHT + quarter], planes[HEIGHT + quarter :]
    for plane, table in (
        (planes[:HEIGHT], 16 + (levels - 16) * gain),
        (blue, 128 + (levels - 128) * gain + 3 * cloud),
        (red, 128 + (levels - 128) * gain - 3 * cloud),
    ):
        cv2.LUT(plane, np.clip(np.rint(table), 0, 255).astype(np.uint8), dst=plane)


def render(path: Path) -> None:
    """Writes the film: 1280×720, 15 pictures a second, H.264 Main without B-frames, a key frame each second."""
    scene = Scene()
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = Fraction(1, FPS)
        context = stream.codec_context
        context.gop_size, context.max_b_frames, context.thread_count = FPS, 0, 1
        context.options = {"preset": "veryfast", "crf": "22", "profile": "main", "sc_threshold": "0"}
        for index in range(SECONDS * FPS):
            frame = av.VideoFrame.from_ndarray(scene.planes(index), format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def cached_scene(cache_dir: Path) -> Path:
    """The film in `cache_dir`, rendered first if it is not there yet."""
    path = cache_dir / f"doorstep-v{VERSION}.mp4"
    if path.exists():
        return path
    cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=cache_dir, prefix=".doorstep-", suffix=".part", delete=False) as file:
        unfinished = Path(file.name)
    try:
        render(unfinished)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path
