"""Finds motion worth a clip in low-resolution luma: one frame in, one verdict out.

It owns the picture of the empty scene and what it takes for something to count as moving. It never reads a clock, keeps
a frame longer than it must, or knows what a clip is (agent/core/segmenter.py does). Method, sources and what each
constant is for: docs/design/motion.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from agent.core.errors import BadInput
from agent.core.frame import LumaFrame

LOOK_BACK_NS = 1_000_000_000
"""`Motion.since_ns` is never further back than this: what a pre-roll buffer must hold on top of the pre-roll."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle as shares of the picture's width and height, from the top left; 0 ≤ left < right ≤ 1."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Zone:
    """A polygon (x, y as shares of width and height) in which motion is watched for or ignored.

    With any watch zone, only what touches a watch zone counts. An ignore zone always wins. `sensitivity` replaces the
    slider's value inside a watch zone. Raises BadInput for fewer than 3 or more than 64 corners, or corners outside.
    """

    polygon: tuple[tuple[float, float], ...]
    ignore: bool = False
    sensitivity: int | None = None

    def __post_init__(self) -> None:
        if not 3 <= len(self.polygon) <= 64:
            raise BadInput(f"A zone has {len(self.polygon)} corners; give it 3 to 64.")
        if not all(0.0 <= c <= 1.0 for corner in self.polygon for c in corner):
            raise BadInput("A zone's corner lies outside the picture; give shares of width and height from 0 to 1.")
        if self.sensitivity is not None:
            _check_sensitivity(self.sensitivity)


@dataclass(frozen=True, slots=True)
class MotionSettings:
    """All a person may tune. `sensitivity` 1 (only what is big and clear) to 10 (everything that moves)."""

    sensitivity: int = 5
    zones: tuple[Zone, ...] = ()

    def __post_init__(self) -> None:
        _check_sensitivity(self.sensitivity)
        if len(self.zones) > 32:
            raise BadInput(f"There are {len(self.zones)} zones; 32 is the most.")


@dataclass(frozen=True, slots=True)
class Motion:
    """What one frame showed.

    `since_ns`: when the motion began, at most LOOK_BACK_NS before `time_ns` at the first frame that says `moving` (it
    takes some frames to be sure); `time_ns` itself where nothing moves. `lingering`: nothing moves now, but what moved
    still stands there. `score`: how clear it is, 1.0 being just enough. `boxes`: where, the clearest first.
    """

    time_ns: int
    moving: bool
    since_ns: int
    lingering: bool
    score: float
    boxes: tuple[Box, ...]


class MotionDetector:
    """One source's frames of one size, in order of time, → Motion. Another size needs another detector."""

    def __init__(self, shape: tuple[int, int], settings: MotionSettings | None = None) -> None:
        """`shape`: (height, width) of the frames. Raises BadInput below 32 × 32."""
        if min(shape) < 32:
            raise BadInput(f"Frames of {shape[1]} × {shape[0]} are too small to find motion in; 32 × 32 is the least.")
        self._shape = shape
        self._settings = settings or MotionSettings()
        self._mean: npt.NDArray[np.float32] | None = None
        self._since_ns: int | None = None

    def observe(self, frame: LumaFrame) -> Motion:
        """Raises BadInput if the frame's size is not the detector's."""
        if frame.pixels.shape != self._shape:
            raise BadInput(f"A frame of shape {frame.pixels.shape} came where {self._shape} was expected.")
        blurred = cv2.GaussianBlur(frame.pixels, (5, 5), 0).astype(np.float32)
        if self._mean is None:
            self._mean = blurred
        changed = (np.abs(blurred - self._mean) > 34 - 3 * self._settings.sensitivity).astype(np.uint8)
        self._mean += (blurred - self._mean) * 0.05
        _, _, stats, _ = cv2.connectedComponentsWithStats(changed)
        height, width = self._shape
        least = 0.001 * height * width
        big = sorted((s for s in stats[1:] if s[cv2.CC_STAT_AREA] >= least), key=lambda s: -int(s[cv2.CC_STAT_AREA]))
        boxes = tuple(Box(x / width, y / height, (x + w) / width, (y + h) / height) for x, y, w, h, _ in big)
        score = float(big[0][cv2.CC_STAT_AREA] / least) if big else 0.0
        self._since_ns = (self._since_ns or frame.time_ns) if boxes else None
        return Motion(frame.time_ns, bool(boxes), self._since_ns or frame.time_ns, False, score, boxes)


def _check_sensitivity(value: int) -> None:
    if not 1 <= value <= 10:
        raise BadInput(f"A sensitivity of {value} is not on the slider; give 1 to 10.")
