"""Reads a film file packet by packet, however damaged it is.

Owns what becomes of a reader that stumbles: it goes on behind the damage, and gives up after many stumbles in a row.
What is missing then shows against the length the file declares. Never decodes.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final, Protocol, TypeAlias, cast

import av.container
import av.error
from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from agent.adapters.footage import disk_fails
from agent.adapters.sound import SoundTap
from agent.core.errors import Unavailable

_MAX_STUMBLES: Final = 100

PacketReader: TypeAlias = "Callable[[av.container.InputContainer, VideoStream], Iterator[Packet[VideoStream]]]"


class VideoTrack(Protocol):
    """What is known of a track of pictures: the decoder for it, and pictures a second as far as anybody says."""

    @property
    def codec_context(self) -> VideoCodecContext: ...
    @property
    def average_rate(self) -> Fraction | None: ...
    @property
    def guessed_rate(self) -> Fraction | None: ...


def read_packets(
    container: av.container.InputContainer, track: VideoStream, sound: SoundTap | None = None
) -> Iterator[Packet[VideoStream]]:
    """The packets of `track` that hold something, in the file's order; those of its sound go to `sound`.

    Unavailable when the disk fails.
    """
    stumbles = 0
    while stumbles < _MAX_STUMBLES:
        try:
            for packet in tapped(container, track, sound):
                if packet.size:
                    stumbles = 0
                    yield packet
        except av.error.FFmpegError as error:
            if error.errno == errno.EIO and disk_fails(Path(container.name.removeprefix("file:"))):
                raise Unavailable("The footage cannot be read from its disk any more; check the disk.") from error
            # Damage speaks in many ways: invalid data, but also a size for which no memory is found.
            stumbles += 1
        except IndexError:
            # At the end PyAV flushes every track, and damage in a transport stream can have made up one more.
            return
        else:
            return


def tapped(
    container: av.container.InputContainer, track: VideoStream, sound: SoundTap | None
) -> Iterator[Packet[VideoStream]]:
    """The packets of `track`, empty ones too; those of its sound go to `sound`."""
    if sound is None:
        yield from container.demux(track)
        return
    for packet in container.demux(track, sound.track):
        if packet.stream_index == track.index:
            yield cast("Packet[VideoStream]", packet)
        else:
            sound.take(cast("Packet[AudioStream]", packet))
