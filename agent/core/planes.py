"""Where the brightness and the colour of a picture lie in one piece of memory.

Owns the layouts a camera may give (I420 with its sister YV12, and NV12), with rows farther apart than they are long.
Never copies: what it returns is the memory itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agent.core.errors import BadInput
from agent.core.masks import Plane

PLANAR: Final = ("YUV420", "YVU420")
"""Brightness, then two planes of colour, each a quarter of it, their rows half as far apart (libcamera's names)."""
PAIRED: Final = ("NV12", "NV21")
"""Brightness, then one plane of colour in pairs."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How pictures lie in memory: `layout` as libcamera names it, `stride` bytes from one row to the next.

    BadInput for a layout not known here, odd sides, or a stride shorter than a row.
    """

    layout: str
    width: int
    height: int
    stride: int

    def __post_init__(self) -> None:
        if self.layout not in PLANAR + PAIRED:
            raise BadInput(f"The camera gives pictures as {self.layout}, of which Doorward knows nothing.")
        if min(self.width, self.height) < 2 or self.width % 2 or self.height % 2 or self.stride < self.width:
            raise BadInput(f"The camera gives impossible pictures ({self.width} × {self.height}, {self.stride} a row).")

    def brightness(self, memory: Plane) -> Plane:
        """(height, width) of `memory`, uint8 of one dimension. BadInput where that is too short."""
        return self._rows(memory, 0, self.height, self.stride, self.width)

    def planes(self, memory: Plane) -> tuple[Plane, ...]:
        """Brightness, then colour: two (height/2, width/2), or one of pairs (height/2, width). BadInput as above."""
        rows, end = self.height // 2, self.height * self.stride
        if self.layout in PAIRED:
            return self.brightness(memory), self._rows(memory, end, rows, self.stride, self.width)
        half = self.stride // 2
        return (
            self.brightness(memory),
            self._rows(memory, end, rows, half, self.width // 2),
            self._rows(memory, end + rows * half, rows, half, self.width // 2),
        )

    def _rows(self, memory: Plane, start: int, rows: int, stride: int, width: int) -> Plane:
        part = memory[start : start + rows * stride]
        if part.shape != (rows * stride,):
            raise BadInput(f"A picture of {memory.size} bytes is too short for {self.width} × {self.height}.")
        return part.reshape(rows, stride)[:, :width]
