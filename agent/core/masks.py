"""Burnt-in privacy masks: parts of the picture made black before anything is encoded or looked at.

Owns how a mask (agent/core/mask.py) is painted into the planes of a picture as they lie in memory. What was painted
over exists nowhere else, so nobody can bring it back; a source that cannot paint has to refuse to start. Never looks at
what it paints over. Plane layouts: I420 (brightness, then two quarter planes) and NV12 (brightness, then one of pairs).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from agent.core.errors import BadInput
from agent.core.mask import MAX_MASKS, Mask

__all__ = ["Mask", "MaskPainter", "Plane"]

Plane = npt.NDArray[np.uint8]

_BLACK: Final = 16  # brightness and colour of black in video (ITU-R BT.709 3.4)
_NO_COLOUR: Final = 128
_SUBPIXEL_BITS: Final = 8
_MARGIN: Final = 3


@dataclass(frozen=True, slots=True)
class _Stencil:
    """What to paint of a plane: the box that holds all of it, where in the box, and with what."""

    rows: slice
    columns: slice
    where: Plane
    paint: Plane


class MaskPainter:
    """Paints `masks` into pictures of one size. Everything is worked out once; a picture costs a copy under a stencil.

    Every pixel a mask touches is black, and every colour sample that belongs to such a pixel has no colour.
    BadInput for more than 32 masks.
    """

    def __init__(self, masks: tuple[Mask, ...], width: int, height: int) -> None:
        if len(masks) > MAX_MASKS:
            raise BadInput(f"There are {len(masks)} masks; {MAX_MASKS} is the most.")
        self._width = width
        self._height = height
        hidden = np.zeros((height, width), np.uint8)
        for mask in masks:
            hidden |= _covered(mask, width, height)
        quarter = _quartered(hidden)
        self._stencils = {
            plane.shape: _stencil(plane, colour)
            for plane, colour in (
                (hidden, _BLACK),
                (quarter, _NO_COLOUR),
                (np.repeat(quarter, 2, axis=1), _NO_COLOUR),
            )
        }

    def paint(self, brightness: Plane, *colour: Plane) -> None:
        """Paint in place. `brightness`: (height, width), rows as far apart as they are. `colour`: one of pairs
        (⌈height/2⌉, 2⌈width/2⌉), two of (⌈height/2⌉, ⌈width/2⌉), or none.

        BadInput where a plane has another shape: a picture half painted must not be recorded.
        """
        if brightness.shape != (self._height, self._width):
            raise BadInput(_unfit(brightness))
        for plane in (brightness, *colour):
            if plane.shape not in self._stencils:
                raise BadInput(_unfit(plane))
            stencil = self._stencils[plane.shape]
            if stencil is not None:
                _copy_under(stencil, plane)


def _copy_under(stencil: _Stencil, plane: Plane) -> None:
    """Into the plane itself: OpenCV gives back another array where it could only paint a copy."""
    box = plane[stencil.rows, stencil.columns]
    try:
        in_place = cv2.copyTo(stencil.paint, stencil.where, box) is box
    except cv2.error:
        in_place = False
    if not in_place:
        raise BadInput("A mask cannot be painted into this picture's memory; it must be writable, pixel beside pixel.")


def _unfit(plane: Plane) -> str:
    return f"A plane of shape {plane.shape} came where masks are painted for another size; restart the camera."


def _covered(mask: Mask, width: int, height: int) -> Plane:
    """255 wherever the mask touches a pixel, else 0; (height, width)."""
    # A corner's place counts from the middle of the first pixel; a pixel more all round is what is only touched.
    # Drawn with a margin: OpenCV leaves out a sliver that lies half beyond the picture's edge.
    corners = np.array(mask.polygon, np.float64) * (width, height) - 0.5 + _MARGIN
    covered = np.zeros((height + 2 * _MARGIN, width + 2 * _MARGIN), np.uint8)
    points = np.rint(corners * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(covered, [points], 255, shift=_SUBPIXEL_BITS)
    outlines, _ = cv2.findContours(covered, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(covered, outlines, -1, 255, cv2.FILLED)
    cv2.dilate(covered, np.ones((3, 3), np.uint8), dst=covered)
    return covered[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def _quartered(hidden: Plane) -> Plane:
    """255 where any of the four pixels that share a colour sample is hidden; (⌈height/2⌉, ⌈width/2⌉)."""
    height, width = hidden.shape
    even = np.pad(hidden, ((0, height & 1), (0, width & 1)))
    return np.asarray(even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2).max(axis=(1, 3)), np.uint8)


def _stencil(hidden: Plane, paint: int) -> _Stencil | None:
    """None where nothing is hidden."""
    if not hidden.any():
        return None
    rows, columns = np.flatnonzero(hidden.any(axis=1)), np.flatnonzero(hidden.any(axis=0))
    box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    where = np.ascontiguousarray(hidden[box])
    return _Stencil(*box, where, np.full_like(where, paint))
