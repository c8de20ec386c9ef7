"""What a model of YOLOX's layout is shown, and what its numbers mean.

Owns the arithmetic around a model: which part of a picture to look at, letterboxing, the decoding of the output grid,
suppression of doubles, class → label. Runs no model. Source: Ge et al., "YOLOX: Exceeding YOLO Series in 2021"
(arXiv:2107.08430), section 2.1, and the exported models' own input and output as models/README.md describes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from agent.core.errors import Corrupt
from agent.core.frame import LumaFrame, Picture
from agent.core.picture import Area, bgr

Floats = npt.NDArray[np.float32]

STRIDES: Final = (8, 16, 32)
LEAST_CONFIDENCE: Final = 0.4
_SAME_THING: Final = 0.45  # intersection over union from which two boxes are one thing
_PAD: Final = 114
_AROUND: Final = 1.4  # how much wider than what moves: a model wants to see where a thing ends
_LEAST_SIDE: Final = 0.4  # of the picture's height: enlarging noise shows a model what is not there


@dataclass(frozen=True, slots=True)
class Layout:
    """A model's input size in pixels (multiples of 32), how many classes it knows, and which of them have a label."""

    width: int
    height: int
    class_count: int
    labels: Mapping[int, str]

    @property
    def cells(self) -> int:
        """Rows of the model's output."""
        return sum((self.width // stride) * (self.height // stride) for stride in STRIDES)


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something a model recognised: its label, how sure the model is (0 to 1), where, as shares of the picture."""

    label: str
    confidence: float
    area: Area


def look_at(moving: Sequence[Area], shape: tuple[int, int]) -> Area:
    """The part of a picture of `shape` (height, width) worth showing to a model: a square around all that moves."""
    height, width = shape
    left, top = min(area[0] for area in moving) * width, min(area[1] for area in moving) * height
    right, bottom = max(area[2] for area in moving) * width, max(area[3] for area in moving) * height
    side = max(_AROUND * max(right - left, bottom - top), _LEAST_SIDE * height)
    across, down = min(side, width), min(side, height)
    left = min(max(0.0, (left + right - across) / 2), width - across)
    top = min(max(0.0, (top + bottom - down) / 2), height - down)
    return left / width, top / height, (left + across) / width, (top + down) / height


def letterbox(pixels: npt.NDArray[np.uint8], layout: Layout) -> tuple[Floats, float]:
    """`pixels` (rows, columns, 3) as float32 (1, 3, height, width), at the top left, grey around; and the scale."""
    scale = min(layout.height / pixels.shape[0], layout.width / pixels.shape[1])
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    canvas = np.full((layout.height, layout.width, 3), _PAD, np.uint8)
    canvas[: size[1], : size[0]] = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], np.float32), scale


def decode(output: Floats, layout: Layout) -> tuple[Floats, Floats]:
    """Boxes (n, 4) as left, top, right, bottom in pixels of the input, and class scores (n, classes).

    Row k of the output is one cell of the grids of the strides, one grid after the other, row by row: the box's centre
    from the cell's corner in cells, the logarithm of its size in cells, objectness, class scores. Corrupt where the
    shape is another.
    """
    wanted = (1, layout.cells, 5 + layout.class_count)
    if output.shape != wanted:
        raise Corrupt(f"the model gave numbers of shape {output.shape} where {wanted} is YOLOX's; fetch it again")
    corners, strides = _grid(layout)
    rows = output[0]
    centres = (rows[:, :2] + corners) * strides
    with np.errstate(over="ignore"):
        halves = np.exp(rows[:, 2:4]) * strides / 2
    return np.concatenate((centres - halves, centres + halves), axis=1), rows[:, 4:5] * rows[:, 5:]


def _grid(layout: Layout) -> tuple[Floats, Floats]:
    corners, strides = [], []
    for stride in STRIDES:
        down, across = np.mgrid[: layout.height // stride, : layout.width // stride]
        corners.append(np.stack((across.ravel(), down.ravel()), axis=1))
        strides.append(np.full((down.size, 1), stride))
    return np.concatenate(corners).astype(np.float32), np.concatenate(strides).astype(np.float32)


def suppress(boxes: Floats, scores: Floats) -> list[int]:
    """The indexes that stay when of boxes that share most of their area only the surest is kept, surest first."""
    left = list(np.argsort(-scores, kind="stable"))
    kept = []
    while left:
        best = left.pop(0)
        kept.append(int(best))
        left = [other for other in left if _overlap(boxes[best], boxes[other]) < _SAME_THING]
    return kept


def _overlap(a: Floats, b: Floats) -> float:
    """Intersection over union."""
    across = min(a[2], b[2]) - max(a[0], b[0])
    down = min(a[3], b[3]) - max(a[1], b[1])
    if across <= 0 or down <= 0:
        return 0.0
    shared = across * down
    return float(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))


@dataclass(frozen=True, slots=True)
class Shown:
    """What a model is given, and what is needed to find its answer in the picture again."""

    tensor: Floats
    area: Area
    pixels_wide: float
    pixels_high: float


def show(picture: Picture, moving: Sequence[Area], layout: Layout) -> Shown:
    """What moves in a picture, made ready for the model."""
    area = look_at(moving, (picture.y.shape[0], picture.y.shape[1]))
    pixels = bgr(picture, area, longest=max(layout.width, layout.height))
    tensor, scale = letterbox(pixels, layout)
    return Shown(tensor, area, pixels.shape[1] * scale, pixels.shape[0] * scale)


def sightings(output: Floats, layout: Layout, shown: Shown) -> tuple[Sighting, ...]:
    """What the model's numbers say is in the picture, of what has a label, the surest first."""
    boxes, scores = decode(output, layout)
    found: list[Sighting] = []
    for label in sorted(set(layout.labels.values())):
        columns = [number for number, name in layout.labels.items() if name == label]
        best = scores[:, columns].max(axis=1)
        rows = np.flatnonzero((best >= LEAST_CONFIDENCE) & np.isfinite(boxes).all(axis=1))
        for row in rows[suppress(boxes[rows], best[rows])]:
            found.append(Sighting(label, float(best[row]), _in_picture(boxes[row], shown)))
    return tuple(sorted(found, key=lambda sighting: -sighting.confidence))


def _in_picture(box: Floats, shown: Shown) -> Area:
    left, top, right, bottom = shown.area
    across, down = (right - left) / shown.pixels_wide, (bottom - top) / shown.pixels_high
    x1, y1, x2, y2 = (float(value) for value in box)
    return (
        max(left, left + x1 * across),
        max(top, top + y1 * down),
        min(right, left + x2 * across),
        min(bottom, top + y2 * down),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A frame for the detector, with what moved in it. `clip` tells looks at one clip from those at the next."""

    frame: LumaFrame
    moving: tuple[Area, ...]
    clip: int


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A look and what was recognised."""

    look: Look
    sightings: tuple[Sighting, ...]
