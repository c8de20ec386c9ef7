"""From a decoder's planes to the blue, green and red that pictures for eyes and models are made of.

Owns the colour arithmetic, done on the few pixels that are wanted: planes are cut and shrunk first. Pure; decodes
nothing. Source: ITU-R BT.601-7 and BT.709-6, section 3 each.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from agent.core.frame import Picture

Area = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of the picture's width and height."""

WHOLE: Area = (0.0, 0.0, 1.0, 1.0)


def bgr(picture: Picture, area: Area = WHOLE, *, longest: int) -> npt.NDArray[np.uint8]:
    """`area` of the picture as uint8 (rows, columns, 3), blue first, shrunk to at most `longest` pixels a side."""
    y = _cut(picture.y, area)
    scale = min(1.0, longest / max(y.shape))
    size = (max(1, round(y.shape[1] * scale)), max(1, round(y.shape[0] * scale)))
    merged = cv2.merge([_sized(plane, size) for plane in (y, _cut(picture.cb, area), _cut(picture.cr, area))])
    return np.asarray(cv2.transform(merged, _matrix(picture.full_range, picture.bt709)), np.uint8)


def jpeg(picture: Picture, *, longest: int, quality: int = 80) -> bytes:
    """The whole picture as a JPEG file, at most `longest` pixels a side."""
    written, data = cv2.imencode(".jpg", bgr(picture, longest=longest), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert written, "a picture in memory can always be encoded"
    return data.tobytes()


def _cut(plane: npt.NDArray[np.uint8], area: Area) -> npt.NDArray[np.uint8]:
    height, width = plane.shape
    left, right = (min(width - 1, max(0, round(area[0] * width))), min(width, max(1, round(area[2] * width))))
    top, bottom = (min(height - 1, max(0, round(area[1] * height))), min(height, max(1, round(area[3] * height))))
    return plane[top : max(bottom, top + 1), left : max(right, left + 1)]


def _sized(plane: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    if plane.shape == size[::-1]:
        return plane
    how = cv2.INTER_AREA if plane.shape[1] > size[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, size, interpolation=how), np.uint8)


def _matrix(full_range: bool, bt709: bool) -> npt.NDArray[np.float32]:
    """3 × 4: (y, cb, cr, 1) → (blue, green, red), codes of 0 to 255 on both sides."""
    red, blue = (0.2126, 0.0722) if bt709 else (0.299, 0.114)
    green = 1 - red - blue
    black, white, chroma = (0.0, 255.0, 255.0) if full_range else (16.0, 219.0, 224.0)
    light, colour = 255 / white, 2 * 255 / chroma
    to_blue, to_red = colour * (1 - blue), colour * (1 - red)
    rows = (
        (light, to_blue, 0.0),
        (light, -to_blue * blue / green, -to_red * red / green),
        (light, 0.0, to_red),
    )
    return np.array([(*row, -row[0] * black - 128 * (row[1] + row[2])) for row in rows], np.float32)
