"""Video that is not H.264, or must not be seen whole, encoded once into what a film of ours must be.

A camera's own H.264 is encoded anew only where privacy masks are to be burnt into it.

Owns the encoder's settings (no B-frames, a key frame each second, even sides) and the order of what comes out. Times
are those of the file's pictures. A stretch the decoder cannot read is a gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import av
import av.codec
import av.error
import numpy as np
from av.codec.context import Flags
from av.packet import Packet
from av.video.frame import PictureType
from av.video.stream import VideoStream

from agent.adapters.luma import LumaSampler
from agent.adapters.packets import VideoTrack
from agent.adapters.times import PacketClock, lasting_ticks
from agent.core.errors import Unavailable
from agent.core.fmp4 import SECOND_NS
from agent.core.frame import EncodedPacket, Gap, LumaFrame, SourceItem
from agent.core.masks import Mask, MaskPainter
from agent.core.orientation import AS_STORED, Orientation
from agent.core.packing import Packing

_PIXELS: Final = "yuv420p"  # what every browser plays


@dataclass(frozen=True, slots=True)
class Encoding:
    """How hard x264 works (its preset, on how many threads; 0: as many as the decoder), how good a picture it aims at
    (its constant rate factor), and the most it may take for that, in kilobits a second (0: what it takes)."""

    preset: str = "veryfast"
    crf: int = 20
    most_kbps: int = 0
    threads: int = 0

    def options(self) -> dict[str, str]:
        """The same in x264's words. A limit is kept within two seconds, so that a key frame fits."""
        limit = {"maxrate": f"{self.most_kbps}k", "bufsize": f"{2 * self.most_kbps}k"} if self.most_kbps else {}
        return {"preset": self.preset, "crf": str(self.crf), "forced-idr": "1", **limit}


@dataclass(frozen=True, slots=True)
class _InFlight:
    """What goes out together once the encoder gives the picture's packet: gap, then packet, then luma."""

    gap: Gap | None
    time_ns: int
    duration_ns: int
    luma: LumaFrame | None


class Transcoder:
    """The items of the `packets` of one opened file or camera, of any codec that can be decoded here.

    `live`: nothing is held back. `orientation`: what is done with every picture first. `masks` are painted into it
    (where they are once it is upright) before anything else sees it.
    """

    def __init__(
        self,
        packets: Iterable[Packet[VideoStream]],
        track: VideoTrack,
        clock: PacketClock,
        sampler: LumaSampler,
        *,
        live: bool = False,
        orientation: Orientation = AS_STORED,
        masks: tuple[Mask, ...] = (),
        encoding: Encoding | None = None,
    ) -> None:
        self._packets = packets
        self._live = live
        self._encoding = encoding or Encoding()
        self._orientation = orientation
        self._masks = masks
        self._painter: tuple[tuple[int, int], MaskPainter] | None = None
        self._track = track
        self._clock = clock
        self._sampler = sampler
        self._rate = track.average_rate or track.guessed_rate or Fraction(25)
        self._encoder: _Encoder | None = None
        self._in_flight: deque[_InFlight] = deque()
        self._last_ticks: int | None = None
        self._lost = False

    def items(self) -> Iterator[SourceItem]:
        """Formats, packets, brightness planes and gaps, in the order a recorder needs them."""
        for packet in self._packets:
            yield from self._take(packet)
        yield from self._take(None)
        yield from self._finish()

    def _take(self, packet: Packet[VideoStream] | None) -> Iterator[SourceItem]:
        try:
            frames = self._track.codec_context.decode(packet)
        except av.error.FFmpegError:
            self._lost = True
            return
        for frame in frames:
            size = (max(2, frame.width & ~1), max(2, frame.height & ~1))
            if (frame.width, frame.height, frame.format.name) != (*size, _PIXELS):
                frame = _with_time_of(frame, frame.reformat(*size, format=_PIXELS))
            if self._orientation != AS_STORED or self._masks:
                frame = self._changed(frame)
            if self._encoder is None or not self._encoder.takes(frame):
                yield from self._finish()
                self._encoder = _Encoder(frame, self._clock.timescale, self._rate, self._aspect(), self._settings())
            yield from self._encode(self._encoder, frame)

    def _aspect(self) -> Fraction | None:
        """How much wider than high a pixel is to be shown, where it is no square."""
        said = self._track.codec_context.sample_aspect_ratio
        if not said:
            return None
        return 1 / said if self._orientation.quarter_turns % 2 else said

    def _settings(self) -> tuple[dict[str, str], int]:
        """x264's options, and on how many threads."""
        options = self._encoding.options() | ({"tune": "zerolatency"} if self._live else {})
        return options, self._encoding.threads or self._track.codec_context.thread_count

    def _changed(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Made upright and painted, as a copy: the decoder still looks at its own pictures."""
        pixels = np.asarray(frame.to_ndarray(), dtype=np.uint8)
        height, width = frame.height, frame.width
        if self._orientation != AS_STORED:
            colour = pixels[height:].reshape(2, height // 2, width // 2)
            turned = [self._orientation.upright(plane) for plane in (pixels[:height], *colour)]
            height, width = turned[0].shape
            pixels = np.concatenate([plane.reshape(-1) for plane in turned]).reshape(-1, width)
        if self._masks:
            if self._painter is None or self._painter[0] != (width, height):
                self._painter = ((width, height), MaskPainter(self._masks, width, height))
            colour = pixels[height:].reshape(2, height // 2, width // 2)
            self._painter[1].paint(pixels[:height], colour[0], colour[1])
        painted = av.VideoFrame.from_ndarray(pixels, format=_PIXELS)
        painted.color_range, painted.colorspace = frame.color_range, frame.colorspace
        return _with_time_of(frame, painted)

    def _encode(self, encoder: _Encoder, frame: av.VideoFrame) -> Iterator[SourceItem]:
        before_ns = self._clock.end_ns
        ticks = self._ticks(frame)
        times = self._clock.stamp(ticks, ticks, lasting_ticks(frame.duration, self._clock))
        # Of the two times only that of decoding always rises, and here they are one.
        time_ns = times.dts_ns
        gap = None
        if self._lost and time_ns > before_ns:
            gap = Gap(before_ns, time_ns, "a damaged stretch of the video cannot be decoded")
        self._lost = False
        self._in_flight.append(_InFlight(gap, time_ns, times.duration_ns, self._sampler.take(frame, time_ns)))
        yield from self._out(encoder, encoder.encode(frame, time_ns))

    def _finish(self) -> Iterator[SourceItem]:
        if self._encoder is not None:
            yield from self._out(self._encoder, self._encoder.finish())
            self._encoder = None

    def _out(self, encoder: _Encoder, packets: list[Packet[VideoStream]]) -> Iterator[SourceItem]:
        """Without B-frames packets come out in the order the pictures went in."""
        for packet in packets:
            sent = self._in_flight.popleft()
            if sent.gap is not None:
                yield sent.gap
            raw = bytes(packet)
            units = encoder.packing.split(raw)
            fmt = encoder.packing.format_at(units) if packet.is_keyframe else None
            if fmt is not None:
                yield fmt
            data = encoder.packing.joined(raw, units)
            yield EncodedPacket(data, sent.time_ns, sent.time_ns, sent.duration_ns, packet.is_keyframe)
            if sent.luma is not None:
                yield sent.luma

    def _ticks(self, frame: av.VideoFrame) -> int:
        """When the picture is shown, in the track's ticks, always later than the one before."""
        ticks = frame.pts if frame.pts is not None else frame.dts
        if ticks is None:
            step = lasting_ticks(frame.duration, self._clock)
            ticks = 0 if self._last_ticks is None else self._last_ticks + step
        self._last_ticks = ticks
        return ticks


def _with_time_of(original: av.VideoFrame, frame: av.VideoFrame) -> av.VideoFrame:
    frame.pts, frame.dts, frame.duration = original.pts, original.dts, original.duration
    return frame


class _Encoder:
    """libx264 for pictures like `first`: their size, and whether black is 0 or 16."""

    def __init__(
        self,
        first: av.VideoFrame,
        timescale: int,
        rate: Fraction,
        aspect: Fraction | None,
        settings: tuple[dict[str, str], int],
    ) -> None:
        self._shape = (first.width, first.height, first.color_range)
        try:
            context = av.CodecContext.create("libx264", "w")
        except av.codec.codec.UnknownCodecError as error:
            raise Unavailable(
                "This video is not H.264 and the H.264 encoder (libx264) is missing here; convert it elsewhere."
            ) from error
        context.width, context.height, context.color_range = self._shape
        context.pix_fmt = _PIXELS
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        context.time_base = Fraction(1, SECOND_NS)
        context.framerate = rate
        context.max_b_frames = 0
        context.options, context.thread_count = settings
        context.flags |= Flags.global_header
        context.open()
        self._context = context
        self._key_ns: int | None = None
        self.packing = Packing(context.extradata or b"", timescale)

    def takes(self, frame: av.VideoFrame) -> bool:
        """Whether the picture can follow the first."""
        return (frame.width, frame.height, frame.color_range) == self._shape

    def encode(self, frame: av.VideoFrame, time_ns: int) -> list[Packet[VideoStream]]:
        """Packets that are ready; `frame` may come out in one of them or later."""
        frame.pts = time_ns
        frame.time_base = Fraction(1, SECOND_NS)
        # A decoded picture still says which kind it was in the old film, and the encoder would obey.
        frame.pict_type = PictureType.NONE
        if self._key_ns is None or time_ns - self._key_ns >= SECOND_NS:
            frame.pict_type = PictureType.I
            self._key_ns = time_ns
        return self._context.encode(frame)

    def finish(self) -> list[Packet[VideoStream]]:
        """The packets still inside."""
        return self._context.encode(None)
