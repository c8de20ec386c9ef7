"""What a privacy mask is, apart from agent/core/masks.py so that reading a configuration needs no OpenCV."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agent.core.errors import BadInput

MAX_MASKS: Final = 32
MIN_CORNERS: Final = 3
MAX_CORNERS: Final = 64


@dataclass(frozen=True, slots=True)
class Mask:
    """A polygon (x, y as shares of width and height from the top left) of which nothing is recorded.

    An outline that crosses itself hides whatever it encloses. BadInput for fewer than 3 or more than 64 corners, or
    corners outside the picture.
    """

    polygon: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if not MIN_CORNERS <= len(self.polygon) <= MAX_CORNERS:
            raise BadInput(f"A mask has {len(self.polygon)} corners; give it {MIN_CORNERS} to {MAX_CORNERS}.")
        if not all(0.0 <= share <= 1.0 for corner in self.polygon for share in corner):
            raise BadInput("A mask's corner lies outside the picture; give shares of width and height from 0 to 1.")
