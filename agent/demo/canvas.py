"""Paint and perspective for the rendered doorstep: a camera, and shapes with soft edges.

Owns the pinhole camera of the scene and drawing on an image some times larger than the film, which is then averaged
down. Knows nothing of what is painted. Colours are (blue, green, red), 0 to 255; lengths in metres: x to the right,
y up from the ground, z away from the camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Colour = tuple[float, float, float]
Point = tuple[float, float]
Place = tuple[float, float, float]

WIDTH: Final = 1280
HEIGHT: Final = 720
_FOCAL_PX: Final = 640.0
_HORIZON_PX: Final = 292.0
_EYE_M: Final = 1.32
_SUBPIXEL_BITS: Final = 4


def project(place: Place) -> Point:
    """Where a place in the world lies in the picture, in pixels."""
    x, y, z = place
    return WIDTH / 2 + _FOCAL_PX * x / z, _HORIZON_PX + _FOCAL_PX * (_EYE_M - y) / z


def pixels_per_metre(z: float) -> float:
    """How large a metre is at distance `z`."""
    return _FOCAL_PX / z


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`a` with a share of `b`, 0 to 1."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def lighter(colour: Colour, share: float) -> Colour:
    """Towards warm sunlight."""
    return mix(colour, (215, 245, 255), share)


def darker(colour: Colour, share: float) -> Colour:
    """Towards blue shade."""
    return mix(colour, (70, 40, 30), share)


@dataclass(slots=True)
class Canvas:
    """An image `scale` times as fine as the film, showing the part that begins at `left`, `top` (film pixels).

    With `alpha`, what is drawn is also marked there, for laying it over something else.
    """

    image: Image
    scale: int
    left: int = 0
    top: int = 0
    alpha: Image | None = None

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """A filled polygon."""
        self._fill(self._fixed(points), colour)

    def hull(self, circles: Sequence[tuple[Point, float]], colour: Colour) -> None:
        """The taut skin around some circles (centre, radius): a limb, a coat, a cushion."""
        angles = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        rim = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        points = np.concatenate([np.asarray(centre) + radius * rim for centre, radius in circles])
        self._fill(cv2.convexHull(self._fixed(points)), colour)

    def ellipse(self, centre: Point, radii: Point, colour: Colour, tilt: float = 0.0) -> None:
        """A filled ellipse, turned by `tilt` degrees."""
        angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        turn = np.deg2rad(tilt)
        x, y = radii[0] * np.cos(angles), radii[1] * np.sin(angles)
        points = np.stack(
            [centre[0] + x * np.cos(turn) - y * np.sin(turn), centre[1] + x * np.sin(turn) + y * np.cos(turn)], axis=1
        )
        self._fill(self._fixed(points), colour)

    def line(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        """A line through some points, `width` film pixels wide."""
        thickness = max(1, round(width * self.scale))
        for target, paint in self._targets(colour):
            cv2.polylines(target, [self._fixed(points)], False, paint, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)

    def _fixed(self, points: Sequence[Point] | npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
        relative = (np.asarray(points, dtype=np.float64) - (self.left, self.top)) * self.scale
        return np.rint(relative * (1 << _SUBPIXEL_BITS)).astype(np.int32)

    def _fill(self, points: npt.NDArray[np.int32] | cv2.typing.MatLike, colour: Colour) -> None:
        for target, paint in self._targets(colour):
            cv2.fillPoly(target, [points], paint, cv2.LINE_AA, _SUBPIXEL_BITS)

    def _targets(self, colour: Colour) -> list[tuple[Image, tuple[float, ...]]]:
        return [(self.image, colour)] if self.alpha is None else [(self.image, colour), (self.alpha, (255.0,))]


def reduced(image: Image, scale: int) -> Image:
    """A fine image averaged down to film pixels."""
    size = (image.shape[1] // scale, image.shape[0] // scale)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def lay_over(picture: Image, patch: Image, alpha: Image, left: int, top: int, free: Image | None = None) -> None:
    """Puts `patch` on `picture` in place, as far as it lies inside; `alpha` 255 covers, 0 shows what was there.

    `free`, as large as `picture`, says where it may be painted on: 255 fully, 0 not at all.
    """
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(picture.shape[1], left + patch.shape[1]), min(picture.shape[0], top + patch.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    inside = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    share = alpha[inside].astype(np.float32) * (1 / 255)
    if free is not None:
        share *= free[y0:y1, x0:x1].astype(np.float32) * (1 / 255)
    below = picture[y0:y1, x0:x1]
    picture[y0:y1, x0:x1] = cv2.blendLinear(np.ascontiguousarray(patch[inside]), below, share, 1 - share)
