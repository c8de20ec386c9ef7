"""What the detector promises whatever its method: sizes, zones, settings, and a plain figure on a plain scene."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from agent.core.errors import BadInput
from agent.core.frame import LumaFrame
from agent.core.motion import LOOK_BACK_NS, Motion, MotionDetector, MotionSettings, Zone

FRAME_NS = 100_000_000
SHAPE = (180, 320)


def scene(seed: int, walker_x: float | None) -> npt.NDArray[np.uint8]:
    """A textured wall with sensor noise and a dark, opaque figure whose left edge is at `walker_x`."""
    wall = np.random.default_rng(1).normal(128, 25, (18, 32)).repeat(10, 0).repeat(10, 1)
    picture = wall + np.random.default_rng(seed).normal(0, 2, SHAPE)
    if walker_x is not None:
        left = max(0, int(walker_x))
        picture[60:130, left : max(0, int(walker_x) + 24)] = 60 + np.random.default_rng(seed).normal(0, 3)
    return np.clip(picture, 0, 255).astype(np.uint8)


def walk(detector: MotionDetector) -> list[Motion]:
    """10 s of nothing, then a figure crosses in 5 s."""
    verdicts = []
    for i in range(150):
        x = None if i < 100 else -24 + (i - 100) * 7.0
        verdicts.append(detector.observe(LumaFrame(i * FRAME_NS, scene(100 + i, x))))
    return verdicts


def test_a_figure_crossing_a_quiet_scene_is_found_where_it_is() -> None:
    verdicts = walk(MotionDetector(SHAPE))
    assert not any(v.moving for v in verdicts[:100])
    assert all(v.moving for v in verdicts[106:145])
    first = next(v for v in verdicts if v.moving)
    assert 100 * FRAME_NS <= first.since_ns <= 103 * FRAME_NS
    assert first.time_ns - first.since_ns <= LOOK_BACK_NS
    box = verdicts[125].boxes[0]
    centre = (-24 + 25 * 7.0 + 12) / 320
    assert box.left < centre < box.right
    assert box.top < 95 / 180 < box.bottom


def test_a_frame_of_another_size_is_refused() -> None:
    with pytest.raises(BadInput):
        MotionDetector(SHAPE).observe(LumaFrame(0, np.zeros((240, 320), np.uint8)))
    with pytest.raises(BadInput):
        MotionDetector((16, 320))


@pytest.mark.parametrize("sensitivity", [0, 11])
def test_a_sensitivity_off_the_slider_is_refused(sensitivity: int) -> None:
    with pytest.raises(BadInput):
        MotionSettings(sensitivity)
    with pytest.raises(BadInput):
        Zone(((0, 0), (1, 0), (1, 1)), sensitivity=sensitivity)


@pytest.mark.parametrize("polygon", [(), ((0, 0), (1, 1)), ((0, 0), (1, 0), (1.5, 1)), ((0.0, 0.0),) * 65])
def test_a_zone_that_is_no_polygon_in_the_picture_is_refused(polygon: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(BadInput):
        Zone(polygon)
