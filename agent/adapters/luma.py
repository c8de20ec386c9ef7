"""From a decoded picture to the small brightness plane that motion detection looks at.

Owns which pictures are looked at (about `rate_hz` a second by presentation time) and how they are made small. Takes the
decoder's brightness plane as it lies; never goes through RGB. Never decides what moves. The colours go along untouched.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Final

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace

from agent.core.frame import LumaFrame, Picture

_SECOND_NS: Final = 1_000_000_000
_UNSAID: Final = 2  # AVCOL_SPC_UNSPECIFIED (H.264 table E-5)
_HDTV_LINES: Final = 720
_PLANAR: Final = frozenset({"yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p"})


class LumaSampler:
    """Chooses the first picture of each slot of 1/`rate_hz` seconds and shrinks it to `width` pixels, even height.

    Slots are centred on whole multiples, so that a source whose own rate is near `rate_hz` is taken whole in spite of
    its jitter.
    """

    def __init__(self, width: int, rate_hz: float) -> None:
        self.width = width
        self._slot_ns = _SECOND_NS / rate_hz
        self._taken_slot: int | None = None
        self._seen_slot: int | None = None
        self._seen_ns = 0

    def may_skip(self, time_ns: int) -> bool:
        """True where the picture at `time_ns`, next in decoding order, cannot be the first of its slot.

        Called for every picture, in decoding order. A picture is passed over only if an earlier one of the same slot
        was already seen, so that the choice is the same as if every picture had been decoded.
        """
        slot = self._slot(time_ns)
        if slot == self._seen_slot and time_ns > self._seen_ns:
            return True
        self._seen_slot, self._seen_ns = slot, time_ns
        return False

    def take(self, frame: av.VideoFrame, time_ns: int) -> LumaFrame | None:
        """The picture made small if it is the first of its slot. Called in order of presentation."""
        slot = self._slot(time_ns)
        if self._taken_slot is not None and slot <= self._taken_slot:
            return None
        self._taken_slot = slot
        return LumaFrame(time_ns, shrink(luma_plane(frame), self.width), partial(colour_planes, frame))

    def _slot(self, time_ns: int) -> int:
        return math.floor(time_ns / self._slot_ns + 0.5)


def colour_planes(frame: av.VideoFrame) -> Picture:
    """The picture in colour; its planes are the decoder's own where those have 8 bits and lie apart."""
    bt709 = frame.colorspace == Colorspace.ITU709 or (
        # Unsaid, as mostly: HDTV's colours from 720 lines on is what players take it for.
        frame.colorspace == _UNSAID and frame.height >= _HDTV_LINES
    )
    full_range = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
    if frame.format.name not in _PLANAR:
        frame = frame.reformat(format="yuv420p")
    planes = [
        np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        for plane in frame.planes[:3]
    ]
    return Picture(planes[0], planes[1], planes[2], full_range, bt709)


def luma_plane(frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
    """The brightness plane, (height, width), not copied where the decoder gives one: valid as long as `frame` is."""
    component = frame.format.components[0]
    if not component.is_luma or frame.format.is_big_endian or component.bits not in (8, 10, 12, 14, 16):
        frame = frame.reformat(format="yuv420p")
        component = frame.format.components[0]
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: frame.height]
    if component.bits == 8:
        return rows[:, : frame.width]
    return (rows.view(np.uint16)[:, : frame.width] >> (component.bits - 8)).astype(np.uint8)


def shrink(pixels: npt.NDArray[np.uint8], width: int) -> npt.NDArray[np.uint8]:
    """`pixels` averaged to `width` columns (fewer if there are fewer) and an even number of rows; always a copy."""
    height_in, width_in = pixels.shape
    columns = max(2, min(width, width_in) & ~1)
    rows = max(2, 2 * round(height_in * columns / width_in / 2))
    # Halving is what OpenCV averages fastest by far; less than a half is left to interpolate, which loses no pixel.
    while pixels.shape[1] >= 2 * columns and pixels.shape[0] >= 2 * rows:
        even = pixels[: pixels.shape[0] & ~1, : pixels.shape[1] & ~1]
        pixels = _resized(even, pixels.shape[1] // 2, pixels.shape[0] // 2, cv2.INTER_AREA)
    return pixels.copy() if pixels.shape == (rows, columns) else _resized(pixels, columns, rows, cv2.INTER_LINEAR)


def _resized(pixels: npt.NDArray[np.uint8], columns: int, rows: int, how: int) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.resize(pixels, (columns, rows), interpolation=how), dtype=np.uint8)
