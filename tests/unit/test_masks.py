"""What a mask hides is hidden in every plane, however the picture lies in memory, and nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.core.errors import BadInput
from agent.core.masks import Mask, MaskPainter, Plane

SHARES = st.floats(0, 1, allow_nan=False)
CORNERS = st.lists(st.tuples(SHARES, SHARES), min_size=3, max_size=8).map(tuple)
HALF = Mask(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))


def inside(x: float, y: float, polygon: tuple[tuple[float, float], ...]) -> bool:
    """Whether a point lies in the polygon, by counting crossings to its left."""
    crossings = 0
    for (x1, y1), (x2, y2) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if (y1 > y) != (y2 > y) and x1 + (y - y1) * (x2 - x1) / (y2 - y1) < x:
            crossings += 1
    return crossings % 2 == 1


def distance(x: float, y: float, polygon: tuple[tuple[float, float], ...]) -> float:
    """How far a point lies from the polygon's outline."""
    point, best = np.array((x, y)), np.inf
    for a, b in zip(np.array(polygon), np.roll(np.array(polygon), -1, axis=0), strict=True):
        along = b - a
        share = np.clip(np.dot(point - a, along) / max(np.dot(along, along), 1e-12), 0, 1)
        best = min(best, float(np.hypot(*(point - a - share * along))))
    return best


def picture(width: int, height: int, stride: int, *, pairs: bool) -> tuple[Plane, list[Plane]]:
    """One buffer with rows farther apart than they are long, and the planes in it: brightness, then colour."""
    half_w, half_h = (width + 1) // 2, (height + 1) // 2
    memory = np.full((height + 2 * half_h, stride), 77, np.uint8)
    brightness, below = memory[:height, :width], memory[height:]
    if pairs:
        return memory, [brightness, below[:half_h, : 2 * half_w]]
    return memory, [brightness, below[:half_h, :half_w], below[half_h:, :half_w]]


@given(CORNERS, st.integers(2, 40), st.integers(2, 40), st.booleans())
@example(((0.0, 1.0), (0.0, 0.9375), (1.0, 1.0)), 6, 14, False)  # a sliver along the picture's edge
def test_every_pixel_in_a_mask_is_black_in_every_plane(
    polygon: tuple[tuple[float, float], ...], width: int, height: int, pairs: bool
) -> None:
    _, planes = picture(width, height, width + 9, pairs=pairs)
    MaskPainter((Mask(polygon),), width, height).paint(*planes)
    scaled = tuple((x * width, y * height) for x, y in polygon)
    for row in range(height):
        for column in range(width):
            if inside(column + 0.5, row + 0.5, scaled):
                assert planes[0][row, column] == 16
                for colour in planes[1:]:
                    each = colour.reshape(colour.shape[0], (width + 1) // 2, -1)
                    assert (each[row // 2, column // 2] == 128).all()


@given(CORNERS.filter(lambda p: len(p) == 3), st.integers(2, 40), st.integers(2, 40))
def test_nothing_is_touched_three_pixels_away_from_a_mask(
    polygon: tuple[tuple[float, float], ...], width: int, height: int
) -> None:
    memory, planes = picture(width, height, width + 9, pairs=False)
    MaskPainter((Mask(polygon),), width, height).paint(*planes)
    scaled = tuple((x * width, y * height) for x, y in polygon)
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5, row + 0.5
            if not inside(x, y, scaled) and distance(x, y, scaled) > 3:
                assert planes[0][row, column] == 77
    assert (memory[:, width:] == 77).all(), "what lies between the rows is somebody else's"


def test_an_outline_that_crosses_itself_leaves_no_hole() -> None:
    angles = [np.pi * (0.5 + 0.8 * n) for n in range(5)]
    star = Mask(tuple((0.5 + 0.45 * float(np.cos(a)), 0.5 - 0.45 * float(np.sin(a))) for a in angles))
    brightness = np.full((100, 100), 77, np.uint8)
    MaskPainter((star,), 100, 100).paint(brightness)
    assert (brightness[40:60, 40:60] == 16).all()


def test_several_masks_are_all_painted() -> None:
    corner = Mask(((0.9, 0.9), (1.0, 0.9), (1.0, 1.0), (0.9, 1.0)))
    brightness = np.full((40, 40), 77, np.uint8)
    MaskPainter((HALF, corner), 40, 40).paint(brightness)
    assert (brightness[:, :20] == 16).all()
    assert (brightness[36:, 36:] == 16).all()
    assert brightness[20, 30] == 77


def test_a_line_of_no_width_still_hides_what_it_touches() -> None:
    brightness = np.full((20, 20), 77, np.uint8)
    MaskPainter((Mask(((0.5, 0.0), (0.5, 1.0), (0.5, 0.5))),), 20, 20).paint(brightness)
    assert (brightness[:, 9:11] == 16).all()


@pytest.mark.parametrize("shape", [(10, 21), (11, 20), (20, 10), (10, 20, 1)])
def test_a_picture_of_another_size_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="another size"):
        MaskPainter((HALF,), 20, 10).paint(np.zeros(shape, np.uint8))


def test_colour_of_another_size_is_refused() -> None:
    with pytest.raises(BadInput, match="another size"):
        MaskPainter((HALF,), 20, 10).paint(np.zeros((10, 20), np.uint8), np.zeros((5, 11), np.uint8))


def test_memory_that_cannot_be_painted_is_refused() -> None:
    """Masks on a copy would not be masks."""
    every_other = np.zeros((10, 40), np.uint8)[:, ::2]
    upside_down = np.zeros((10, 20), np.uint8)[::-1]
    read_only = np.zeros((10, 20), np.uint8)
    read_only.flags.writeable = False
    for brightness in (every_other, upside_down, read_only):
        with pytest.raises(BadInput, match="cannot be painted"):
            MaskPainter((HALF,), 20, 10).paint(brightness)


@pytest.mark.parametrize(
    "polygon", [((0.0, 0.0), (1.0, 1.0)), ((0.0, 0.0),) * 65, ((0.0, 0.0), (1.0, 1.0), (1.1, 0.0))]
)
def test_an_impossible_mask_is_refused(polygon: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(BadInput, match="corner"):
        Mask(polygon)


def test_too_many_masks_are_refused() -> None:
    with pytest.raises(BadInput, match="32 is the most"):
        MaskPainter((HALF,) * 33, 20, 10)
