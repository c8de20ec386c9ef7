"""The explain view shows what the detector saw, and says so in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.adapters.explain_film import ExplainFilm
from agent.core.errors import BadInput, Unavailable
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


@pytest.mark.parametrize("seconds", [0, 6])
def test_a_disk_too_full_for_the_film_is_said_in_a_sentence(seconds: int) -> None:
    """Nowhere does a film fit into /dev/full; what is short is written only at its end."""
    pictures = np.random.default_rng(1).integers(0, 255, (10 * seconds + 1, 120, 160, 3)).astype(np.uint8)

    def write() -> None:
        with ExplainFilm(Path("/dev/full")) as film:
            for number, picture in enumerate(pictures):
                film.add(picture, number * 100_000_000)

    with pytest.raises(Unavailable, match="explain film /dev/full cannot be written: No space left"):
        write()


def test_what_ended_the_film_early_is_told_and_not_that_it_has_no_end() -> None:
    def write() -> None:
        with ExplainFilm(Path("/dev/full")) as film:
            film.add(np.zeros((120, 160, 3), np.uint8), 0)
            raise BadInput("the footage")

    with pytest.raises(BadInput, match="the footage"):
        write()
