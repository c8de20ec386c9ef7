"""The sound of a film file or a camera, taken aside while its pictures are read.

Owns what may go into a clip as it is (AAC-LC, see `core.aac`) and encodes everything else to it, once. When sound is
heard follows the pictures' clock, so that both stay together whatever that clock does. Never says a word about motion.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Final, Protocol

import av
import av.audio
import av.container
import av.error
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.packet import Packet

from agent.core import aac
from agent.core.errors import BadInput
from agent.core.frame import SoundFormat, SoundPacket

log = logging.getLogger(__name__)

SECOND_NS: Final = 1_000_000_000
_RATES_HZ: Final = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_BITS_A_SECOND: Final = 64_000  # a channel: more than speech at a door needs
_MOST_WAITING: Final = 1_000
_HOLE: Final = Fraction(1, 20)  # a longer one must not be closed by what follows it


class SoundClock(Protocol):
    """What the pictures' clock tells: `TickClock` for films, `LiveClock` for cameras."""

    def heard_ns(self, seconds: Fraction) -> int | None:
        """The source's own time on our timeline; None before the first picture."""


def sound_track(container: av.container.InputContainer) -> AudioStream | None:
    """The sound to record, if there is any that can be decoded here."""
    tracks = [track for track in container.streams.audio if track.codec_context is not None]
    return tracks[0] if tracks else None


class SoundTap:
    """Given every packet of `track`, hands out sound for the recorder. A packet that cannot be used is left out."""

    def __init__(self, track: AudioStream, clock: SoundClock) -> None:
        self.track = track
        self._clock = clock
        self._base = track.time_base or Fraction(1, 90_000)
        self._waiting: deque[tuple[Fraction, bytes]] = deque(maxlen=_MOST_WAITING)
        self._format = _passed_through(track)
        self._encoder: SoundEncoder | None = None
        self._told = False
        self._damage_told = False
        if self._format is None:
            log.info("the source's sound (%s) is encoded to AAC", track.codec_context.name)

    def take(self, packet: Packet[AudioStream]) -> None:
        """The next packet of the track, in the source's order."""
        if self._format is not None and self._encoder is None:
            if packet.pts is not None and packet.size:
                self._waiting.append((packet.pts * self._base, bytes(packet)))
            return
        try:
            frames = self.track.codec_context.decode(packet)
        except av.error.FFmpegError as error:
            if not self._damage_told:
                log.warning("part of the source's sound is damaged and left out (%s)", error.strerror)
                self._damage_told = True
            return
        for frame in frames:
            self._encode(frame)

    def _encode(self, frame: av.AudioFrame) -> None:
        if self._encoder is None:
            self._encoder = SoundEncoder(frame)
            self._format = self._encoder.format
        self._waiting.extend(self._encoder.encode(frame))

    def items(self) -> Iterator[SoundFormat | SoundPacket]:
        """What is ready since the last call."""
        while self._waiting and self._format is not None:
            seconds, data = self._waiting[0]
            time_ns = self._clock.heard_ns(seconds)
            if time_ns is None:
                return
            self._waiting.popleft()
            if not self._told:
                self._told = True
                yield self._format
            yield SoundPacket(data, time_ns)

    def finish(self) -> Iterator[SoundFormat | SoundPacket]:
        """What is left at the end of the source."""
        if self._encoder is not None:
            self._waiting.extend(self._encoder.finish())
        yield from self.items()


def _passed_through(track: AudioStream) -> SoundFormat | None:
    """How the track's own packets are described, where they may go in as they are."""
    context = track.codec_context
    if context.name != "aac" or not context.extradata:
        return None
    try:
        return aac.read_config(bytes(context.extradata))
    except BadInput:
        return None


class SoundEncoder:
    """Sound like `first` to AAC-LC: its own rate where AAC has it, one or two channels. Times in the source's seconds.

    After a hole the encoder begins anew, so that nothing moves closer together; and where the sound changes its rate or
    channels, what comes out stays as it was.
    """

    def __init__(self, first: av.AudioFrame) -> None:
        rate = first.sample_rate
        self._rate = rate if rate in _RATES_HZ else _RATES_HZ[-1]
        self._layout = "mono" if first.layout.nb_channels == 1 else "stereo"
        self._kind: tuple[str, str, int] | None = None
        self._begin()
        self.format = aac.read_config(bytes(self._context.extradata or b""))

    def _begin(self) -> None:
        self._resampler = AudioResampler(format="fltp", layout=self._layout, rate=self._rate, frame_size=1024)
        context = av.CodecContext.create("aac", "w")
        context.sample_rate = self._rate
        context.layout = self._layout
        context.format = "fltp"
        context.bit_rate = _BITS_A_SECOND * (1 if self._layout == "mono" else 2)
        context.time_base = Fraction(1, self._rate)
        context.flags |= av.codec.context.Flags.global_header
        context.open()
        self._context = context
        self._zero: Fraction | None = None
        self._expected = Fraction(0)
        self._samples = 0

    def encode(self, frame: av.AudioFrame) -> list[tuple[Fraction, bytes]]:
        """Packets that are ready, each with when it is heard."""
        ready: list[tuple[Fraction, bytes]] = []
        start = self._start(frame)
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        changed = self._kind not in (None, kind)
        self._kind = kind
        if self._zero is not None and (changed or abs(start - self._expected) > _HOLE):
            ready = self.finish()
            self._begin()
        if self._zero is None:
            self._zero = start
        self._expected = start + Fraction(frame.samples, frame.sample_rate)
        # Counted here, not taken over: what is encoded has no holes.
        frame.pts = None
        return ready + self._packets(self._resampler.resample(frame))

    def finish(self) -> list[tuple[Fraction, bytes]]:
        """The packets still inside."""
        rest = self._packets(self._resampler.resample(None))
        return rest + self._timed(self._context.encode(None))

    def _start(self, frame: av.AudioFrame) -> Fraction:
        if frame.pts is None or frame.time_base is None:
            return self._expected
        return frame.pts * frame.time_base

    def _packets(self, frames: list[av.AudioFrame]) -> list[tuple[Fraction, bytes]]:
        found = []
        for frame in frames:
            frame.pts = self._samples
            frame.time_base = Fraction(1, self._rate)
            self._samples += frame.samples
            found += self._timed(self._context.encode(frame))
        return found

    def _timed(self, packets: list[Packet[AudioStream]]) -> list[tuple[Fraction, bytes]]:
        # The encoder counts what it puts before the first sample, as negative time.
        zero = self._zero or Fraction(0)
        return [(zero + Fraction(packet.pts or 0, self._rate), bytes(packet)) for packet in packets if packet.size]
