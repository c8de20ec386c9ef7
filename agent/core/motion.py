"""Finds motion worth a clip in low-resolution luma: one frame in, one verdict out.

It owns what a person may set (a slider, zones) and the shape of a verdict; agent/core/motion_scene.py knows the empty
scene, agent/core/motion_tracks.py figures. It never reads a clock, or knows what a clip is (agent/core/segmenter.py).
Method, sources and what each constant is for: docs/design/motion.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from agent.core.errors import BadInput
from agent.core.frame import LumaFrame
from agent.core.motion_constants import CONSTANTS, Constants
from agent.core.motion_scene import Changes, EmptyScene, Grey, Plane
from agent.core.motion_things import Thing
from agent.core.motion_tracks import Figures, Tracker

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
    slider's value inside a watch zone; of zones on top of each other the last one's counts. Raises BadInput for fewer
    than 3 or more than 64 corners, or corners outside.
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

    def __init__(
        self, shape: tuple[int, int], settings: MotionSettings | None = None, constants: Constants = CONSTANTS
    ) -> None:
        """`shape`: (height, width) of the frames. Raises BadInput below 32 × 32."""
        if min(shape) < 32:
            raise BadInput(f"Frames of {shape[1]} × {shape[0]} are too small to find motion in; 32 × 32 is the least.")
        settings = settings or MotionSettings()
        self._shape = shape
        self._last_ns: int | None = None
        self._since_ns: int | None = None
        self._scene = EmptyScene(shape, _caution(shape, settings), constants)
        self._tracker = Tracker(shape, _factor(settings.sensitivity), allowed(shape, settings.zones), constants)
        self._changes: Changes | None = None
        self._figures = Figures()

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the frames."""
        return self._shape

    @property
    def changes(self) -> Changes | None:
        """What the last frame differed in, for the explain view; None with nothing to compare."""
        return self._changes

    @property
    def figures(self) -> Figures:
        """What the last frame's differences were taken for, for agent/core/motion_explain.py."""
        return self._figures

    def observe(self, frame: LumaFrame) -> Motion:
        """Raises BadInput if the frame's size is not the detector's, or it is earlier than the frame before."""
        if frame.pixels.shape != self._shape:
            raise BadInput(f"A frame of shape {frame.pixels.shape} came where {self._shape} was expected.")
        if self._last_ns is not None and frame.time_ns < self._last_ns:
            raise BadInput(f"A frame of {frame.time_ns} ns came after one of {self._last_ns} ns; give them in order.")
        self._last_ns = frame.time_ns
        time_s = frame.time_ns / 1e9
        self._changes = self._scene.observe(frame.pixels, time_s, self._tracker.guards())
        if self._changes is None:
            self._tracker.forget()
            self._figures = Figures()
        else:
            self._figures = self._tracker.observe(self._changes, self._scene, time_s)
        return self._verdict(frame.time_ns)

    def _verdict(self, time_ns: int) -> Motion:
        figures = self._figures
        if not figures.moving:
            self._since_ns = None
            return Motion(time_ns, False, time_ns, figures.lingering, 0.0, ())
        if self._since_ns is None:
            self._since_ns = max(min(round(figures.since_s * 1e9), time_ns), time_ns - LOOK_BACK_NS)
        score = max(thing.strength for thing in figures.moving)
        return Motion(time_ns, True, self._since_ns, False, score, tuple(self._box(t) for t in figures.moving))

    def _box(self, thing: Thing) -> Box:
        height, width = self._shape
        right, bottom = thing.left + thing.width, thing.top + thing.height
        return Box(thing.left / width, thing.top / height, right / width, bottom / height)


def allowed(shape: tuple[int, int], zones: tuple[Zone, ...]) -> Grey | None:
    """1 where motion counts, 0 where it does not, of `shape`; None where all of it counts."""
    if not zones:
        return None
    mask = np.full(shape, 0 if any(not z.ignore for z in zones) else 1, np.uint8)
    for zone in sorted(zones, key=lambda z: z.ignore):
        cv2.fillPoly(mask, [corners(shape, zone)], 0 if zone.ignore else 1)
    return mask


def corners(shape: tuple[int, int], zone: Zone) -> npt.NDArray[np.int32]:
    """A zone's corners in px (x, y): the pixels whose middle is nearest."""
    height, width = shape
    shares = np.array(zone.polygon, np.float64) * (width, height) - 0.5
    return np.clip(np.rint(shares), 0, (width - 1, height - 1)).astype(np.int32)


def _factor(sensitivity: int) -> float:
    """What a place on the slider does to thresholds and to the least area: 5 leaves them, each step is a quarter."""
    return 1.25 ** (5 - sensitivity)


def _caution(shape: tuple[int, int], settings: MotionSettings) -> Plane | float:
    own = [z for z in settings.zones if not z.ignore and z.sensitivity is not None]
    if not own:
        return _factor(settings.sensitivity)
    plane = np.full(shape, _factor(settings.sensitivity), np.float32)
    for zone in own:
        assert zone.sensitivity is not None
        cv2.fillPoly(plane, [corners(shape, zone)], _factor(zone.sensitivity))
    return plane


def _check_sensitivity(value: int) -> None:
    if not 1 <= value <= 10:
        raise BadInput(f"A sensitivity of {value} is not on the slider; give 1 to 10.")
