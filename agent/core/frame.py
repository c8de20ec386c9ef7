"""What a source of video hands to the recorder: encoded packets, low-resolution luma, and honest gaps.

All times are nanoseconds on one clock that only runs forward: the boot clock of a camera; for replayed footage the
presentation time, counted from the first frame of the first file. What that clock means in UTC is `timeline`'s concern.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt


class Track(IntEnum):
    """The tracks of a clip; the numbers are those of docs/spec/sealed-clip.md."""

    ABOUT = 0
    VIDEO = 1
    AUDIO = 2
    PICTURE = 3


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """How to decode the packets that follow it. A source yields it first, and again whenever it changes.

    `parameter_sets` is an AVCDecoderConfigurationRecord (ISO 14496-15 5.3.3.1). `timescale` is ticks a second in
    which the packets' times are whole, so that passing through an MP4 changes none of them.
    """

    width: int
    height: int
    timescale: int
    parameter_sets: bytes


@dataclass(frozen=True, slots=True)
class EncodedPacket:
    """One H.264 access unit, untouched: NAL units each behind a 4-byte big-endian length (ISO 14496-15 5.3.4)."""

    data: bytes
    pts_ns: int
    dts_ns: int
    duration_ns: int
    key: bool


@dataclass(frozen=True, slots=True)
class LumaFrame:
    """The brightness of one picture, small: uint8 of shape (height, width). Only motion detection looks at it."""

    time_ns: int
    pixels: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch for which the source has no video, and why, in words for the log."""

    start_ns: int
    end_ns: int
    reason: str


SourceItem = VideoFormat | EncodedPacket | LumaFrame | Gap
