"""Fragmented MP4 of one AAC track: packets → fragments, and back. A clip's sound, beside its pictures, never in them.

Owns the bytes of the sound's init segment and fragments (docs/spec/fragment.md "Sound"). Never decodes, never changes a
packet. Source: ISO 14496-12 (boxes), ISO 14496-14 (mp4a, esds), ISO 14496-1 7.2.6 (descriptors).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from agent.core import aac
from agent.core.boxes import EMPTY_TABLES, Media, box, fragmented_head, full_box, to_ticks, track
from agent.core.errors import BadInput, Corrupt
from agent.core.frame import SoundFormat
from agent.core.sound import MAX_RUN_PACKETS, SoundRun

_TRACK_ID: Final = 2
_TFHD_FLAGS: Final = 0x020028  # default-base-is-moof; duration and flags of every sample
_SAMPLE_FLAGS: Final = 0x02000000  # depends on no other
_TRUN_FLAGS: Final = 0x000201  # data offset; size of each sample
_AAC: Final = 0x40
_AUDIO_STREAM: Final = 0x15
_MAX_FRAGMENT_BYTES: Final = MAX_RUN_PACKETS * (aac.MAX_PACKET_BYTES + 4) + 1024


@dataclass(frozen=True, slots=True)
class SoundSamples:
    """The packets of a fragment: the first is heard at `start_ticks` (samples from the film's beginning), then on."""

    start_ticks: int
    packets: tuple[bytes, ...]

    @property
    def end_ticks(self) -> int:
        """When the last has been heard."""
        return self.start_ticks + aac.FRAME_SAMPLES * len(self.packets)


def sound_track(
    fmt: SoundFormat, duration_ticks: int, tables: Iterable[bytes], edits: bytes = b"", shown_ticks: int = 0
) -> bytes:
    """trak of the sound, with the sample `tables` that follow stsd; the rest as in `boxes.track`."""
    header = full_box(b"smhd", 0, 0, bytes(4))
    media = Media(_TRACK_ID, b"soun", b"sound", fmt.rate_hz, header, (0, 0))
    return track(media, _entry(fmt), duration_ticks, tables, edits, shown_ticks)


def _entry(fmt: SoundFormat) -> bytes:
    """mp4a with its esds (ISO 14496-14 5.6): a description that fits one-byte lengths."""
    config = _descriptor(5, fmt.config)
    decoder = _descriptor(4, struct.pack(">BB3xII", _AAC, _AUDIO_STREAM, 0, 0) + config)
    stream = _descriptor(3, struct.pack(">HB", _TRACK_ID, 0) + decoder + _descriptor(6, b"\x02"))
    head = struct.pack(">6xH8xHHHHI", 1, fmt.channels, 16, 0, 0, fmt.rate_hz << 16)
    return box(b"mp4a", head, full_box(b"esds", 0, 0, stream))


def _descriptor(tag: int, content: bytes) -> bytes:
    return bytes([tag, len(content)]) + content


def sound_init(fmt: SoundFormat) -> bytes:
    """ftyp and moov of the sound in fragments. BadInput unless `fmt` is what its `config` says."""
    if aac.read_config(fmt.config) != fmt:
        raise BadInput("The sound's description contradicts itself; check the source.")
    return fragmented_head(fmt.rate_hz, _TRACK_ID, sound_track(fmt, 0, EMPTY_TABLES))


def parse_sound_init(data: bytes) -> SoundFormat:
    """The format an init segment of ours declares. Corrupt for any bytes `sound_init` could not have written."""
    blank = sound_init(SoundFormat(8_000, 1, b"\x15\x88"))
    at = blank.index(b"esds") + 4 + 4 + 2 + 3 + 2 + 13 + 2
    length = len(data) - len(blank) + 2
    try:
        fmt = aac.read_config(data[at : at + max(0, length)])
        expected = sound_init(fmt)
    except BadInput as error:
        raise Corrupt("The beginning of the sound is malformed; the recording is damaged there.") from error
    if data != expected:
        raise Corrupt("The beginning of the sound is malformed; the recording is damaged there.")
    return fmt


def render_sound(run: SoundRun, fmt: SoundFormat, zero_ns: int, sequence: int) -> bytes:
    """moof and mdat of a run, timed from the film's zero. `sequence`: 1 for the first fragment, then rising."""
    start_ticks = to_ticks(run.start_ns - zero_ns, fmt.rate_hz)
    if any(not 0 < len(data) <= aac.MAX_PACKET_BYTES for data in run.packets):
        raise BadInput(f"A packet of sound has 1 to {aac.MAX_PACKET_BYTES} bytes; check the source.")
    head = _moof(sequence, start_ticks, [len(data) for data in run.packets])
    return head + box(b"mdat", *run.packets)


def _moof(sequence: int, start_ticks: int, sizes: list[int]) -> bytes:
    if not 0 <= start_ticks < 2**63 or not 0 < sequence < 2**32:
        raise BadInput("A run of sound lies before the film it should belong to; check the source's times.")
    mfhd = full_box(b"mfhd", 0, 0, struct.pack(">I", sequence))
    tfhd = full_box(b"tfhd", 0, _TFHD_FLAGS, struct.pack(">III", _TRACK_ID, aac.FRAME_SAMPLES, _SAMPLE_FLAGS))
    tfdt = full_box(b"tfdt", 1, 0, struct.pack(">Q", start_ticks))
    # moof, mfhd, traf, tfhd, tfdt, trun and the head of mdat come before the first packet.
    data_offset = 8 + len(mfhd) + 8 + len(tfhd) + len(tfdt) + 20 + 4 * len(sizes) + 8
    trun = full_box(b"trun", 0, _TRUN_FLAGS, struct.pack(f">Ii{len(sizes)}I", len(sizes), data_offset, *sizes))
    return box(b"moof", mfhd, box(b"traf", tfhd, tfdt, trun))


_MOOF_FIXED: Final = len(_moof(1, 0, []))
_START_AT: Final = _MOOF_FIXED - 20 - 8
_COUNT_AT: Final = _MOOF_FIXED - 8
_SEQUENCE_AT: Final = 8 + 12


def parse_sound(data: bytes) -> SoundSamples:
    """The packets of a fragment of ours. Corrupt for any bytes `render_sound` could not have written."""
    wrong = "A fragment of sound is malformed; the recording is damaged there."
    if not _MOOF_FIXED + 4 + 8 < len(data) <= _MAX_FRAGMENT_BYTES:
        raise Corrupt(wrong)
    sequence, count = _u32(data, _SEQUENCE_AT), _u32(data, _COUNT_AT)
    start_ticks = int.from_bytes(data[_START_AT : _START_AT + 8], "big")
    body_at = _MOOF_FIXED + 4 * count + 8
    if not 0 < count <= MAX_RUN_PACKETS or body_at > len(data) or start_ticks >= 2**63 or not sequence:
        raise Corrupt(wrong)
    sizes = list(struct.unpack_from(f">{count}I", data, _MOOF_FIXED))
    if any(not 0 < size <= aac.MAX_PACKET_BYTES for size in sizes) or body_at + sum(sizes) != len(data):
        raise Corrupt(wrong)
    # What can be said in a fragment is said in one way only: write it again and compare.
    if data[:body_at] != _moof(sequence, start_ticks, sizes) + struct.pack(">I4s", 8 + sum(sizes), b"mdat"):
        raise Corrupt(wrong)
    packets = []
    for size in sizes:
        packets.append(data[body_at : body_at + size])
        body_at += size
    return SoundSamples(start_ticks, tuple(packets))


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")
