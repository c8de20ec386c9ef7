"""The same film under other conditions: what a detector finds in it should hardly change, for the truth does not.

Each alteration takes one small grey picture (rows, columns, uint8), its time in seconds and a source of chance, and
gives a picture of the same size. `bench_motion --altered` scores the annotated films under each.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8]
Alteration = Callable[[Grey, float, np.random.Generator], Grey]


def _lit(gain: float, lift: float, grain: float) -> Alteration:
    """In another light, with so many grey levels of noise (standard deviation)."""

    def alter(picture: Grey, _t: float, chance: np.random.Generator) -> Grey:
        values = picture.astype(np.float32) * gain + lift + chance.normal(0, 1, picture.shape) * grain
        return np.clip(values + 0.5, 0, 255).astype(np.uint8)

    return alter


def _brighter_in_the_dark(picture: Grey, _t: float, _chance: np.random.Generator) -> Grey:
    return np.asarray(255 * (picture / 255.0) ** 0.6 + 0.5).astype(np.uint8)


def _packed_hard(picture: Grey, _t: float, _chance: np.random.Generator) -> Grey:
    packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), np.uint8)


def _nearer(picture: Grey, _t: float, _chance: np.random.Generator) -> Grey:
    height, width = picture.shape
    part = picture[height // 5 : height * 9 // 10, width // 10 : width * 8 // 10]
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _in_the_wind(picture: Grey, t: float, _chance: np.random.Generator) -> Grey:
    """The camera's post trembles, up to 2.5 px."""
    right, down = 1.5 * math.sin(11 * t) + math.sin(5 * t), 1.2 * math.sin(13 * t)
    moved = np.array([[1, 0, right], [0, 1, down]], np.float32)
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.warpAffine(picture, moved, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _under_clouds(picture: Grey, t: float, chance: np.random.Generator) -> Grey:
    return _lit(1 + 0.25 * math.sin(t / 4), 0, 0)(picture, t, chance)


ALTERATIONS: dict[str, Alteration] = {
    "mirrored": lambda picture, _t, _chance: np.ascontiguousarray(picture[:, ::-1]),
    "upside down": lambda picture, _t, _chance: np.ascontiguousarray(picture[::-1]),
    "at night (a third of the light, noise 2.5)": _lit(0.3, 0, 2.5),
    "noise 6": _lit(1, 0, 6),
    "in fog (half the contrast)": _lit(0.5, 90, 0),
    "dark parts brighter (gamma 0.6)": _brighter_in_the_dark,
    "JPEG quality 30": _packed_hard,
    "out of focus (1.5 px)": lambda picture, _t, _chance: np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.5), np.uint8),
    "nearer (70 % of the picture)": _nearer,
    "camera in the wind": _in_the_wind,
    "under clouds (light ±25 % in 25 s)": _under_clouds,
}
