"""Brings a source's H.264 into the one packing a film has: 4-byte lengths, parameter sets in a configuration record.

Owns which parameter sets are in force and when that makes a new VideoFormat. Never changes a NAL unit. One object for
one source. Source: ISO 14496-15 5.3, H.264 Annex B.
"""

from __future__ import annotations

from agent.core import h264
from agent.core.errors import BadInput
from agent.core.frame import VideoFormat


class Packing:
    """`extradata`: what the container says before the first packet, as record, byte stream or nothing.

    `timescale` goes into the formats as it is. Every method raises BadInput for damaged bytes and then changes nothing.
    """

    def __init__(self, extradata: bytes, timescale: int) -> None:
        self._timescale = timescale
        self._length_size: int | None = None  # None: start codes
        self._sets: h264.ParameterSets | None = None
        self._record: bytes | None = None
        self._announced: VideoFormat | None = None
        self._shape: h264.SequenceParameters | None = None
        self._numbers = h264.FrameNumbers()
        if extradata:
            self.configure(extradata)

    def configure(self, extradata: bytes) -> None:
        """New words of the container about the packets that follow."""
        if extradata[0] != 1:
            self._adopt(h264.update_sets(self._sets, h264.split_annexb(extradata)))
            return
        sets, self._length_size = h264.parse_configuration(extradata)
        if sets.sps and sets.pps:
            self._sets = sets
            self._record = extradata if self._length_size == 4 else h264.build_configuration(sets)

    def split(self, data: bytes) -> list[bytes]:
        """The NAL units of one packet as the source gave it."""
        if self._length_size is None:
            return h264.split_annexb(data)
        return h264.split_lengths(data, self._length_size)

    def joined(self, data: bytes, units: list[bytes]) -> bytes:
        """The same packet with 4-byte lengths; `data` itself where it has them already."""
        return data if self._length_size == 4 else h264.join_lengths(units)

    def format_at(self, units: list[bytes]) -> VideoFormat | None:
        """Called for each key frame: the format from here on where it differs from the last one returned."""
        self._adopt(h264.update_sets(self._sets, units))
        if self._sets is None or self._record is None:
            raise BadInput("The footage's H.264 comes without parameter sets and cannot be shown; convert it anew.")
        shape = self._shape = h264.parse_sps(self._sets.sps[0])
        fmt = VideoFormat(shape.width, shape.height, self._timescale, self._record)
        if fmt == self._announced:
            return None
        self._announced = fmt
        return fmt

    def continues(self, units: list[bytes]) -> bool:
        """Called for each packet after the first key frame: False where pictures before it are missing."""
        return self._shape is None or self._numbers.continues(units, self._shape)

    @property
    def second_field(self) -> bool:
        """Whether the last packet given to `continues` is the second field of the picture in the one before it."""
        return self._numbers.second_field

    def interrupted(self) -> None:
        """A packet was lost, and that is known: what comes next is no news."""
        self._numbers.forget()

    def _adopt(self, sets: h264.ParameterSets | None) -> None:
        if sets is not None and sets is not self._sets:
            self._record = h264.build_configuration(sets)
            self._sets = sets
