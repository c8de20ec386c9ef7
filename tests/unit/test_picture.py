"""Colours from planes: codes of pure colours from the standards' own tables, cutting, shrinking, real decoders."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
import pytest

from agent.adapters.luma import LumaSampler, colour_planes
from agent.core.frame import Picture
from agent.core.picture import bgr


def flat(y: int, cb: int, cr: int, **kind: bool) -> Picture:
    small = (4, 6)
    return Picture(np.full((8, 12), y, np.uint8), np.full(small, cb, np.uint8), np.full(small, cr, np.uint8), **kind)


# BT.601 and BT.709 give 8-bit codes of the 100 % colour bars; JPEG (JFIF) the full-range ones.
@pytest.mark.parametrize(
    ("picture", "colour"),
    [
        (flat(235, 128, 128), (255, 255, 255)),
        (flat(16, 128, 128), (0, 0, 0)),
        (flat(81, 90, 240), (255, 0, 0)),
        (flat(145, 54, 34), (0, 255, 0)),
        (flat(41, 240, 110), (0, 0, 255)),
        (flat(63, 102, 240, bt709=True), (255, 0, 0)),
        (flat(173, 42, 26, bt709=True), (0, 255, 0)),
        (flat(32, 240, 118, bt709=True), (0, 0, 255)),
        (flat(76, 85, 255, full_range=True), (255, 0, 0)),
        (flat(255, 128, 128, full_range=True), (255, 255, 255)),
    ],
)
def test_pure_colours_come_out(picture: Picture, colour: tuple[int, int, int]) -> None:
    found = bgr(picture, longest=100)
    assert found.shape == (8, 12, 3)
    np.testing.assert_allclose(found[..., ::-1], np.broadcast_to(colour, found.shape), atol=3)


def test_a_part_is_cut_and_shrunk_in_proportion() -> None:
    y = np.full((100, 200), 16, np.uint8)
    y[50:, 100:] = 235
    picture = Picture(y, np.full((50, 100), 128, np.uint8), np.full((50, 100), 128, np.uint8))
    found = bgr(picture, (0.5, 0.5, 1.0, 1.0), longest=40)
    assert found.shape == (20, 40, 3)
    assert (found == 255).all()
    assert bgr(picture, (0.0, 0.0, 0.5, 1.0), longest=1000).shape == (100, 100, 3)
    assert bgr(picture, (0.999, 0.999, 1.0, 1.0), longest=1000).size >= 3


@pytest.mark.parametrize("pixels", ["yuv420p", "yuvj422p", "nv12", "yuv420p10le", "rgb24"])
def test_any_decoder_gives_its_colours(pixels: str) -> None:
    orange: npt.NDArray[np.uint8] = np.full((90, 160, 3), (240, 120, 40), np.uint8)
    frame = av.VideoFrame.from_ndarray(orange, "rgb24").reformat(format=pixels)
    frame.time_base = Fraction(1, 1000)
    luma = LumaSampler(80, 10).take(frame, 0)
    del frame
    assert luma is not None
    assert luma.picture is not None
    found = bgr(luma.picture(), longest=160)
    np.testing.assert_allclose(found[40:50, 70:90, ::-1], np.broadcast_to((240, 120, 40), (10, 20, 3)), atol=8)


def test_large_pictures_have_hdtv_colours_unless_they_say_otherwise() -> None:
    assert colour_planes(av.VideoFrame(1280, 720, "yuv420p")).bt709
    assert not colour_planes(av.VideoFrame(640, 360, "yuv420p")).bt709
