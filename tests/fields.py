"""H.264 whose pictures are two fields each (PAFF), as recorders of analogue cameras write it and x264 does not.

Written bit by bit, every macroblock as it is (I_PCM). Source: ITU-T H.264 7.3.
"""

from __future__ import annotations

import re

_WIDTH, _HEIGHT = 4, 4  # macroblocks, of a whole picture


class _Bits:
    def __init__(self) -> None:
        self._bits: list[str] = []

    def u(self, count: int, *values: int) -> None:
        self._bits += [f"{value:0{count}b}" for value in values]

    def ue(self, *values: int) -> None:
        for value in values:
            self.u(2 * (value + 1).bit_length() - 1, value + 1)

    def align(self) -> None:
        self._bits.append("0" * (-len("".join(self._bits)) % 8))

    def unit(self, head: int) -> bytes:
        """The NAL unit behind its start code."""
        self.u(1, 1)
        self.align()
        bits = "".join(self._bits)
        payload = int(bits, 2).to_bytes(len(bits) // 8, "big")
        return b"\0\0\0\1" + bytes([head]) + re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", payload)


def _parameter_sets() -> bytes:
    sps, pps = _Bits(), _Bits()
    sps.u(8, 77, 0, 30)  # main profile, level 3
    sps.ue(0, 4, 0, 4, 1)  # numbers of 8 bits, order of 8 bits, one picture referred to
    sps.u(1, 0)
    sps.ue(_WIDTH - 1, _HEIGHT // 2 - 1)
    sps.u(1, 0, 0, 1, 0, 1)  # fields may occur; no cropping; more follows
    sps.u(1, 0, 0, 0, 0, 1)  # of that only the rate:
    sps.u(32, 1, 50)  # fifty fields a second
    sps.u(1, 1, 0, 0, 0, 0)
    pps.ue(0, 0)
    pps.u(1, 0, 0)
    pps.ue(0, 0, 0)
    pps.u(1, 0, 0, 0)
    pps.ue(0, 0, 0)
    pps.u(1, 0, 0, 0)
    return sps.unit(0x67) + pps.unit(0x68)


def _field(number: int, bottom: int, brightness: int) -> bytes:
    key = number == 0 and not bottom
    bits = _Bits()
    bits.ue(0, 7, 0)
    bits.u(8, number)
    bits.u(1, 1, bottom)
    if key:
        bits.ue(0)
    bits.u(8, 2 * number + bottom)
    bits.u(1, *((0, 0) if key else (0,)))
    bits.ue(0)
    for _ in range(_WIDTH * _HEIGHT // 2):
        bits.ue(25)
        bits.align()
        bits.u(8, *[brightness] * 256, *[128] * 128)
    return bits.unit(0x65 if key else 0x41)


def field_stream(pictures: int, gop: int = 10) -> bytes:
    """A byte stream of so many pictures of 64 × 64, 25 a second, each brighter than the last."""
    stream = b""
    for index in range(pictures):
        stream += _parameter_sets() if index % gop == 0 else b""
        stream += b"".join(_field(index % gop, bottom, 20 + 3 * index + bottom) for bottom in (0, 1))
    return stream
