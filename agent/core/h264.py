"""H.264 as it travels: NAL units, parameter sets, and the little of them that a muxer must know.

Owns the way between the two packings of an access unit (Annex B start codes; lengths as in MP4) and reads sequence
parameter sets as far as the picture's size. Never decodes a picture and never changes a NAL unit.
Source: ITU-T H.264 7.3, 7.4 and Annex B; ISO 14496-15 5.3.3.1 (AVCDecoderConfigurationRecord).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from agent.core.errors import BadInput

SLICE: Final = 1
SLICE_IDR: Final = 5
SPS: Final = 7
PPS: Final = 8

MAX_PARAMETER_SETS_BYTES: Final = 16 * 1024
# Profiles whose sequence parameter set says more about colour (H.264 7.3.2.1.1).
_PROFILES_WITH_CHROMA: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
# Of those, the profiles whose configuration record repeats it at its end (ISO 14496-15 5.3.3.1.2).
_PROFILES_WITH_EXTENSION: Final = frozenset({100, 110, 122, 144})
_MAX_EXP_GOLOMB_BITS: Final = 32
_START: Final = b"\x00\x00\x01"


@dataclass(frozen=True, slots=True)
class SequenceParameters:
    """What a muxer needs of a sequence parameter set. `width` and `height` in pixels, after cropping."""

    set_id: int
    frame_number_bits: int
    frame_numbers_skip: bool
    separate_planes: bool
    frames_only: bool
    profile_idc: int
    compatibility: int
    level_idc: int
    chroma_format_idc: int
    bit_depth_luma: int
    bit_depth_chroma: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ParameterSets:
    """Sequence and picture parameter sets, each a whole NAL unit without start code or length."""

    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]


def split_annexb(data: bytes) -> list[bytes]:
    """NAL units of a byte stream (H.264 Annex B). Zeros between them are padding, not content."""
    units: list[bytes] = []
    start = data.find(_START)
    while start >= 0:
        following = data.find(_START, start + 3)
        end = len(data) if following < 0 else following
        unit = data[start + 3 : end].rstrip(b"\x00")
        if unit:
            units.append(unit)
        start = following
    if not units:
        raise BadInput("An H.264 packet holds no start code; the footage is damaged there.")
    return units


def split_lengths(data: bytes, length_size: int = 4) -> list[bytes]:
    """NAL units of an access unit in which each stands behind its length (ISO 14496-15 5.3.4)."""
    units: list[bytes] = []
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + length_size], "big")
        at += length_size
        if at + length > len(data):
            raise BadInput("An H.264 packet ends in the middle of a NAL unit; the footage is damaged there.")
        if length:
            units.append(data[at : at + length])
        at += length
    if not units:
        raise BadInput("An H.264 packet is empty; the footage is damaged there.")
    return units


def join_lengths(units: Iterable[bytes]) -> bytes:
    """An access unit with 4-byte lengths, as `EncodedPacket.data` wants it."""
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


def unit_type(unit: bytes) -> int:
    """nal_unit_type (H.264 table 7-1)."""
    return unit[0] & 0x1F


def is_disposable(units: Iterable[bytes]) -> bool:
    """True where no later picture refers to this one (nal_ref_idc 0 throughout), so that a decoder may leave it out."""
    slices = [unit for unit in units if 1 <= unit_type(unit) <= SLICE_IDR]
    return bool(slices) and all(unit[0] & 0x60 == 0 for unit in slices)


def parse_configuration(record: bytes) -> tuple[ParameterSets, int]:
    """Parameter sets (none, where they stand in the stream) and NAL length size of an AVCDecoderConfigurationRecord.

    BadInput for anything else.
    """
    if len(record) < 7 or record[0] != 1 or len(record) > MAX_PARAMETER_SETS_BYTES:
        raise BadInput("The H.264 configuration of the footage is unreadable; convert the file anew.")
    at = 5

    def sets(count: int) -> tuple[bytes, ...]:
        nonlocal at
        found = []
        for _ in range(count):
            length = int.from_bytes(record[at : at + 2], "big")
            unit = record[at + 2 : at + 2 + length]
            if not length or len(unit) != length:
                raise BadInput("The H.264 configuration of the footage is cut off; convert the file anew.")
            found.append(unit)
            at += 2 + length
        return tuple(found)

    sps_count = record[at] & 0x1F
    at += 1
    sps = sets(sps_count)
    if at >= len(record):
        raise BadInput("The H.264 configuration of the footage is cut off; convert the file anew.")
    pps_count = record[at]
    at += 1
    pps = sets(pps_count)
    return ParameterSets(sps, pps), (record[4] & 3) + 1


def build_configuration(sets: ParameterSets) -> bytes:
    """The AVCDecoderConfigurationRecord for these parameter sets, with 4-byte NAL lengths."""
    if not sets.sps or not sets.pps or len(sets.sps) > 31 or len(sets.pps) > 255:
        raise BadInput("The footage holds no usable H.264 parameter sets; convert the file anew.")
    if any(len(unit) > 0xFFFF for unit in sets.sps + sets.pps):
        raise BadInput("An H.264 parameter set of the footage is oversized; convert the file anew.")
    first = parse_sps(sets.sps[0])
    record = bytes([1, first.profile_idc, first.compatibility, first.level_idc, 0xFF, 0xE0 | len(sets.sps)])
    record += b"".join(len(unit).to_bytes(2, "big") + unit for unit in sets.sps)
    record += bytes([len(sets.pps)])
    record += b"".join(len(unit).to_bytes(2, "big") + unit for unit in sets.pps)
    if first.profile_idc in _PROFILES_WITH_EXTENSION:
        record += bytes(
            [
                0xFC | first.chroma_format_idc,
                0xF8 | (first.bit_depth_luma - 8),
                0xF8 | (first.bit_depth_chroma - 8),
                0,
            ]
        )
    if len(record) > MAX_PARAMETER_SETS_BYTES:
        raise BadInput("The H.264 parameter sets of the footage are oversized; convert the file anew.")
    return record


class _Bits:
    """Reads the payload of a NAL unit bit by bit (H.264 7.2, 9.1); BadInput at its end."""

    def __init__(self, unit: bytes) -> None:
        # The byte 3 after two zeros only keeps the payload from looking like a start code (7.4.1).
        payload = unit.replace(b"\x00\x00\x03", b"\x00\x00")
        self._rest = int.from_bytes(payload, "big")
        self._left = 8 * len(payload)

    def u(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise BadInput("An H.264 parameter set of the footage is cut off; convert the file anew.")
        value = self._rest >> self._left
        self._rest -= value << self._left
        return value

    def ue(self) -> int:
        zeros = self._left - self._rest.bit_length()
        if zeros > _MAX_EXP_GOLOMB_BITS:
            raise BadInput("An H.264 parameter set of the footage is damaged; convert the file anew.")
        return self.u(2 * zeros + 1) - 1

    def se(self) -> int:
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def _skip_scaling_lists(bits: _Bits, count: int) -> None:
    for index in range(count):
        if not bits.u(1):
            continue
        last = following = 8
        for _ in range(16 if index < 6 else 64):
            if following:
                following = (last + bits.se()) & 0xFF
            last = following or last


def parse_sps(unit: bytes) -> SequenceParameters:
    """Reads a sequence parameter set (H.264 7.3.2.1.1) as far as the frame size; BadInput for anything else."""
    if len(unit) < 5 or unit_type(unit) != SPS:
        raise BadInput("The footage holds no H.264 sequence parameter set where one belongs; convert the file anew.")
    bits = _Bits(unit[1:])
    profile, compatibility, level = bits.u(8), bits.u(8), bits.u(8)
    set_id = bits.ue()
    chroma, depth_luma, depth_chroma, separate = 1, 8, 8, False
    if profile in _PROFILES_WITH_CHROMA:
        chroma = bits.ue()
        if chroma == 3:
            separate = bool(bits.u(1))
        depth_luma, depth_chroma = 8 + bits.ue(), 8 + bits.ue()
        bits.u(1)
        if bits.u(1):
            _skip_scaling_lists(bits, 12 if chroma == 3 else 8)
    frame_number_bits = bits.ue() + 4
    _skip_picture_order(bits)
    bits.ue()  # max_num_ref_frames
    frame_numbers_skip = bool(bits.u(1))
    width_mbs, height_units = bits.ue() + 1, bits.ue() + 1
    frames_only = bits.u(1)
    if not frames_only:
        bits.u(1)
    bits.u(1)
    left = right = top = bottom = 0
    if bits.u(1):
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
    # Table 6-1 and equations 7-19 to 7-22: cropping counts chroma samples, and field pairs where fields may occur.
    crop_x = 2 if chroma in (1, 2) else 1
    crop_y = (2 if chroma == 1 else 1) * (2 - frames_only)
    width = 16 * width_mbs - crop_x * (left + right)
    height = 16 * height_units * (2 - frames_only) - crop_y * (top + bottom)
    if (
        frame_number_bits > 16
        or chroma > 3
        or max(depth_luma, depth_chroma) > 14
        or not (0 < width <= 16384 and 0 < height <= 16384)
    ):
        raise BadInput("An H.264 parameter set of the footage makes no sense; convert the file anew.")
    return SequenceParameters(
        set_id,
        frame_number_bits,
        frame_numbers_skip,
        separate,
        bool(frames_only),
        profile,
        compatibility,
        level,
        chroma,
        depth_luma,
        depth_chroma,
        width,
        height,
    )


def _skip_picture_order(bits: _Bits) -> None:
    kind = bits.ue()
    if kind == 0:
        bits.ue()
    elif kind == 1:
        bits.u(1)
        bits.se()
        bits.se()
        count = bits.ue()
        if count > 255:
            raise BadInput("An H.264 parameter set of the footage is damaged; convert the file anew.")
        for _ in range(count):
            bits.se()


class FrameNumbers:
    """Notices that pictures others refer to are missing between two packets: their numbers are not consecutive.

    frame_num (H.264 7.4.3) counts reference pictures from the last IDR picture. Pictures nothing refers to may go
    missing unnoticed.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._field: tuple[int, int] | None = None  # a first field without its second: its number, and 1 for the lower
        self.second_field = False  # whether the last packet completed the picture of the one before it

    def forget(self) -> None:
        """The next packet cannot be compared with what came before."""
        self._last, self._field = None, None

    def continues(self, units: Iterable[bytes], shape: SequenceParameters) -> bool:
        """Whether the packet follows the one given before without loss. BadInput for a slice cut off in its header."""
        first = next((unit for unit in units if unit_type(unit) in (SLICE, SLICE_IDR)), None)
        self.second_field = False
        if first is None:
            return True
        bits = _Bits(first[1:16])
        bits.ue(), bits.ue(), bits.ue()  # first_mb_in_slice, slice_type, pic_parameter_set_id
        if shape.separate_planes:
            bits.u(2)
        number = bits.u(shape.frame_number_bits)
        field = None if shape.frames_only or not bits.u(1) else (number, bits.u(1))
        self.second_field = field is not None and self._field == (number, 1 - field[1])
        self._field = None if self.second_field else field
        last, size = self._last, 1 << shape.frame_number_bits
        fits = last is None or unit_type(first) == SLICE_IDR or number in (last, (last + 1) % size)
        if unit_type(first) == SLICE_IDR or first[0] & 0x60:
            self._last = number
        return fits or shape.frame_numbers_skip


def picture_set_id(unit: bytes) -> int:
    """pic_parameter_set_id of a picture parameter set (H.264 7.3.2.2)."""
    return _Bits(unit[1:]).ue()


def update_sets(known: ParameterSets | None, units: Iterable[bytes]) -> ParameterSets | None:
    """The parameter sets in force after an access unit: `known` itself where it brings nothing new.

    A sequence parameter set not seen before begins anew: what referred to the old one is void (H.264 7.4.1.2.1).
    """
    units = list(units)
    sps = tuple(dict.fromkeys(unit for unit in units if unit_type(unit) == SPS))
    pps = tuple(dict.fromkeys(unit for unit in units if unit_type(unit) == PPS))
    if known is None or any(unit not in known.sps for unit in sps):
        return ParameterSets(sps, pps) if sps and pps else known
    fresh = [unit for unit in pps if unit not in known.pps]
    if not fresh:
        return known
    replaced = {picture_set_id(unit) for unit in fresh}
    kept = tuple(unit for unit in known.pps if picture_set_id(unit) not in replaced)
    return ParameterSets(known.sps, kept + tuple(fresh))
