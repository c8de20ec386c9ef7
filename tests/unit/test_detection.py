"""The arithmetic around a model, against numbers worked out by hand on a model of 64 × 32 pixels and two classes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.detection import Layout, Shown, decode, letterbox, look_at, show, sightings, suppress
from agent.core.errors import Corrupt
from agent.core.frame import Picture

# Grids of 8 × 4, 4 × 2 and 2 × 1 cells: rows 0–31, 32–39, 40–41.
SMALL = Layout(64, 32, 3, {0: "person", 2: "vehicle"})
WHOLE = Shown(np.zeros((1, 3, 32, 64), np.float32), (0.0, 0.0, 1.0, 1.0), 64, 32)


def output(**rows: tuple[float, ...]) -> np.ndarray:
    """All zeros but for rows named r12 and so on: dx, dy, log width, log height, objectness, three scores."""
    made = np.zeros((1, 42, 8), np.float32)
    for name, values in rows.items():
        made[0, int(name[1:])] = values
    return made


def test_each_grid_has_its_cells_and_stride() -> None:
    assert SMALL.cells == 42
    assert Layout(416, 416, 80, {}).cells == 3549  # 52² + 26² + 13², as the exported models have
    boxes, scores = decode(
        output(
            r0=(0.5, 0.5, 0, 0, 0.5, 0.8, 0, 0),  # stride 8, cell (0, 0): centre 4, 4; 8 × 8
            r9=(0.0, 0.5, math.log(2), 0, 1, 0, 0.25, 0),  # cell (1, 1): centre 8, 12; 16 × 8
            r38=(0.5, 0.25, math.log(2), 0, 0.9, 0, 0, 1),  # stride 16, row 1 column 2: centre 40, 20; 32 × 16
            r41=(0.25, 0.75, 0, math.log(0.5), 1, 0, 0, 0),  # stride 32, column 1: centre 40, 24; 32 × 16
        ),
        SMALL,
    )
    np.testing.assert_allclose(boxes[0], (0, 0, 8, 8), atol=1e-4)
    np.testing.assert_allclose(boxes[9], (0, 8, 16, 16), atol=1e-4)
    np.testing.assert_allclose(boxes[38], (24, 12, 56, 28), atol=1e-4)
    np.testing.assert_allclose(boxes[41], (24, 16, 56, 32), atol=1e-4)
    np.testing.assert_allclose(scores[0], (0.4, 0, 0), atol=1e-6)
    np.testing.assert_allclose(scores[38], (0, 0, 0.9), atol=1e-6)


def test_only_labelled_classes_come_out_and_in_shares_of_the_picture() -> None:
    found = sightings(
        output(
            r0=(0.5, 0.5, 0, 0, 1, 0, 0.99, 0),  # class 1 has no label
            r9=(0, 0.5, math.log(2), 0, 1, 0.6, 0, 0),
            r38=(0.5, 0.25, math.log(2), 0, 1, 0, 0, 0.9),
            r20=(0.5, 0.5, 0, 0, 1, 0.39, 0, 0),  # not sure enough
        ),
        SMALL,
        WHOLE,
    )
    assert [(s.label, round(s.confidence, 3)) for s in found] == [("vehicle", 0.9), ("person", 0.6)]
    np.testing.assert_allclose(found[0].area, (24 / 64, 12 / 32, 56 / 64, 28 / 32), atol=1e-5)
    np.testing.assert_allclose(found[1].area, (0, 8 / 32, 16 / 64, 16 / 32), atol=1e-5)


def test_a_crop_is_found_again_in_the_picture() -> None:
    # The left half of a picture, shown 32 × 32 at the top left of the 64 × 32 input.
    crop = Shown(WHOLE.tensor, (0.0, 0.5, 0.5, 1.0), 32, 32)
    (found,) = sightings(output(r38=(0, 0, math.log(0.5), 0, 1, 1, 0, 0)), SMALL, crop)  # centre 32, 16; 8 × 16
    np.testing.assert_allclose(found.area, (28 / 64, 0.5 + 8 / 64, 0.5, 0.5 + 24 / 64), atol=1e-5)


def test_doubles_go_and_neighbours_stay() -> None:
    boxes = np.array([(0, 0, 10, 10), (1, 0, 11, 10), (8, 0, 18, 10), (0, 0, 10, 4)], np.float32)
    # 0 and 1 share 90 of 110 (0.82), 0 and 2 share 20 of 180 (0.11), 0 and 3 share 40 of 100 (0.40).
    assert suppress(boxes, np.array([0.5, 0.9, 0.6, 0.4], np.float32)) == [1, 2, 3]


def test_a_picture_is_letterboxed_at_the_top_left() -> None:
    tensor, scale = letterbox(np.full((40, 40, 3), (1, 2, 3), np.uint8), SMALL)
    assert tensor.shape == (1, 3, 32, 64)
    assert tensor.dtype == np.float32
    assert scale == 32 / 40
    assert [tensor[0, c, 31, 31] for c in range(3)] == [1, 2, 3]
    assert (tensor[0, :, :, 32:] == 114).all()


def test_what_is_shown_is_a_square_around_all_that_moves() -> None:
    # In 200 × 100 pixels: 40 × 20 moves around 100, 50; 1.4 times the longer side is 56.
    left, top, right, bottom = look_at([(0.4, 0.4, 0.5, 0.6), (0.5, 0.4, 0.6, 0.6)], (100, 200))
    assert (left * 200, top * 100, right * 200, bottom * 100) == pytest.approx((72, 22, 128, 78))
    # Something small is not enlarged beyond 0.4 of the height, nor does the square leave the picture.
    left, top, right, bottom = look_at([(0.0, 0.0, 0.01, 0.01)], (100, 200))
    assert (left, top, right * 200, bottom * 100) == pytest.approx((0, 0, 40, 40))


@given(
    st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=5),
    st.integers(2, 400),
    st.integers(2, 400),
)
def test_a_look_lies_in_the_picture(corners: list[tuple[float, float, float, float]], height: int, width: int) -> None:
    moving = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners]
    left, top, right, bottom = look_at(moving, (height, width))
    assert -1e-9 <= left < right <= 1 + 1e-9
    assert -1e-9 <= top < bottom <= 1 + 1e-9
    flat = np.full((height, width), 128, np.uint8)
    assert show(Picture(flat, flat, flat), moving, SMALL).tensor.shape == (1, 3, 32, 64)


@pytest.mark.parametrize("shape", [(1, 41, 8), (1, 42, 7), (42, 8), (2, 42, 8)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(Corrupt, match="YOLOX"):
        decode(np.zeros(shape, np.float32), SMALL)


def test_numbers_that_are_none_are_nothing() -> None:
    made = output(r3=(math.nan, 0, 0, 0, 1, 1, 0, 0), r5=(0, 0, 500, 500, 1, 1, 0, 0))
    assert sightings(made, SMALL, WHOLE) == ()
