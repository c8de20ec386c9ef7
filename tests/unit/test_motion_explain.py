"""The explain view shows what the detector saw, and says so in words."""

from __future__ import annotations

import numpy as np

from agent.core.frame import LumaFrame
from agent.core.motion import Motion, MotionDetector, MotionSettings, Zone
from agent.core.motion_explain import draw, said

SHAPE = (90, 160)
ZONES = (Zone(((0, 0), (1, 0), (1, 1), (0, 1))), Zone(((0, 0), (0.2, 0), (0.2, 0.2)), ignore=True))


def film(detector: MotionDetector, walks: bool) -> tuple[LumaFrame, Motion]:
    """Four seconds of a noisy wall; in the last one a dark figure walks if `walks`."""
    for i in range(40):
        picture = np.random.default_rng(i).normal(120, 1.5, SHAPE)
        if walks and i >= 30:
            picture[30:70, 40 + 4 * (i - 30) : 52 + 4 * (i - 30)] = 50
        frame = LumaFrame(i * 100_000_000, picture.astype(np.uint8))
        motion = detector.observe(frame)
    return frame, motion


def test_what_moves_is_outlined_and_said() -> None:
    detector = MotionDetector(SHAPE, MotionSettings(zones=ZONES))
    frame, motion = film(detector, walks=True)
    assert motion.moving
    drawn = draw(frame, motion, detector, ZONES)
    assert drawn.shape == (90 + 32, 3 * 160, 3)
    # Red on grey: in the left panel only outlines are coloured, the figure's among them.
    left = drawn[16:106, :160].astype(int)
    red = (left[..., 2] - left[..., 0] > 100).nonzero()
    box = motion.boxes[0]
    assert red[1].min() == round(box.left * 160)
    assert red[1].max() == round(box.right * 160)
    assert "moving for" in said(motion, detector)


def test_nothing_is_said_of_an_empty_scene() -> None:
    detector = MotionDetector(SHAPE)
    frame, motion = film(detector, walks=False)
    assert said(motion, detector).endswith("nothing")
    drawn = draw(frame, motion, detector)
    assert np.array_equal(drawn[16:106, :160, 0], frame.pixels)


def test_a_first_frame_is_drawn_as_well() -> None:
    detector = MotionDetector(SHAPE)
    frame = LumaFrame(0, np.full(SHAPE, 90, np.uint8))
    motion = detector.observe(frame)
    assert "learning" in said(motion, detector)
    assert draw(frame, motion, detector).any()
