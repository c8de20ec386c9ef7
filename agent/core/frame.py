"""What a source hands to the recorder: encoded packets, low-resolution luma, sound if wanted, and honest gaps.

All times are nanoseconds on one clock that only runs forward: the boot clock of a camera; for replayed footage the
presentation time, counted from the first frame of the first file. What that clock means in UTC is `timeline`'s concern.
"""

from __future__ import annotations

from collections.abc import Callable
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


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A whole picture in colour as a decoder or camera leaves it: three uint8 planes, (rows, columns) each.

    `cb` and `cr` may be smaller than `y` by any factor. `full_range`: black is 0 and white 255, else 16 and 235.
    `bt709`: the colours of HDTV, else those of BT.601. Privacy masks are painted in already. agent/core/picture.py
    makes of it what eyes and models want.
    """

    y: npt.NDArray[np.uint8]
    cb: npt.NDArray[np.uint8]
    cr: npt.NDArray[np.uint8]
    full_range: bool = False
    bt709: bool = False


@dataclass(frozen=True, slots=True)
class LumaFrame:
    """The brightness of one picture, small: uint8 of shape (height, width). Only motion detection looks at it.

    `picture` gives the same picture in colour and in full size, made only when asked for, from any thread, as long as
    this frame is kept; None where the source has none.
    """

    time_ns: int
    pixels: npt.NDArray[np.uint8]
    picture: Callable[[], Picture] | None = None


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """How to decode the sound that follows it: AAC-LC, one or two channels. Comes before the first sound packet.

    `config` is an AudioSpecificConfig (ISO 14496-3 1.6.2.1), which says rate and channels too; `aac.read_config` reads
    it. Every packet of such sound lasts 1024 / `rate_hz` seconds.
    """

    rate_hz: int
    channels: int
    config: bytes


@dataclass(frozen=True, slots=True)
class SoundPacket:
    """One raw AAC frame, untouched, and when it is heard; on the same clock as the pictures."""

    data: bytes
    pts_ns: int


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch for which the source has no video, and why, in words for the log."""

    start_ns: int
    end_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class Away:
    """There is nothing to see at `time_ns`, and why, in a sentence. Said again every few seconds while it lasts.

    The gap follows when the source is back: only then is its end known.
    """

    time_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class Mute:
    """Sound is wanted and there is none, and why, in a sentence; empty: there is sound again."""

    reason: str


SourceItem = VideoFormat | EncodedPacket | LumaFrame | SoundFormat | SoundPacket | Gap | Away | Mute
