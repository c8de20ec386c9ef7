"""Which way up a film is to be shown: what the display matrix of its file says, and the pictures changed to be so.

Owns the eight ways that keep a picture's sides upright. A matrix that says something in between (a film held askew)
means the nearest; one that says nothing means as stored. Source: ISO/IEC 14496-12, section 8.3.2 (tkhd).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Orientation:
    """What is to be done with stored pictures: first `mirrored` (left becomes right), then turned by `quarter_turns`
    against the clock (0 to 3)."""

    quarter_turns: int = 0
    mirrored: bool = False

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of a stored picture of this size once it is upright."""
        return (height, width) if self.quarter_turns % 2 else (width, height)

    def upright(self, plane: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """A plane of a stored picture, shape (rows, columns), as it is to be seen: a view of the same memory."""
        return np.rot90(plane[:, ::-1] if self.mirrored else plane, self.quarter_turns)


AS_STORED: Final = Orientation()
_MATRIX: Final = struct.Struct("=9i")


def from_display_matrix(data: bytes) -> Orientation:
    """What libav's display matrix says: nine int32 in the machine's own order. `AS_STORED` where it makes no sense."""
    if len(data) < _MATRIX.size:
        return AS_STORED
    a, b, _, c, d, *_ = _MATRIX.unpack_from(data)
    area = a * d - b * c
    if area == 0:
        return AS_STORED
    # Where the picture's right goes, rows counted downwards; of a mirrored picture, where its left goes.
    x, y = (a, b) if area > 0 else (-a, -b)
    return Orientation(round(-math.atan2(y, x) / (math.pi / 2)) % 4, mirrored=area < 0)
