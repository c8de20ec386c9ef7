"""Some seconds of video to measure a machine with, as a camera of a given size, rate and bit rate would send it.

Draws nothing itself: pictures come from whoever paints them, or from a film file. Keeps what the stages behind the
camera need of it in memory, sparingly: one whole picture, no more. Knows no clock and judges nothing.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, takewhile
from pathlib import Path
from typing import Final

import av
import av.container
import cv2
import numpy as np
import numpy.typing as npt
from av.video.stream import VideoStream

from agent.adapters.footage import FootageFacts, open_footage
from agent.adapters.luma import LumaSampler
from agent.adapters.packets import read_packets
from agent.adapters.passthrough import PassThrough
from agent.adapters.times import TickClock
from agent.adapters.transcode import Transcoder
from agent.core.errors import BadInput
from agent.core.frame import EncodedPacket, LumaFrame, Picture, SourceItem, VideoFormat
from agent.core.masks import Mask
from agent.core.orientation import AS_STORED

PICTURES: Final = 60
LUMA_WIDTH: Final = 320
LUMA_RATE_HZ: Final = 10.0
_JPEG_QUALITY: Final = 85
_MOST_ITEMS: Final = 20 * PICTURES  # of a film with many pictures a second, or with none that can be used
_USUAL_TIME_BASE: Final = Fraction(1, 90_000)

Planes = npt.NDArray[np.uint8]
Paint = Callable[[int], Planes]
"""Picture number so-and-so, planar YUV 4:2:0 of shape (height * 3 / 2, width)."""
Film = bytes | Path
"""An MP4 in memory, or a film file."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A film's first pictures, taken apart: how to decode them, as encoded, as brightness, and one in colour."""

    film: Film
    format: VideoFormat
    packets: tuple[EncodedPacket, ...]
    lumas: tuple[Planes, ...]
    luma_period_s: float
    picture: Picture

    @property
    def seconds(self) -> float:
        """How long the packets last."""
        return (max(p.pts_ns + p.duration_ns for p in self.packets) - self.packets[0].pts_ns) / 1e9

    @property
    def kbps(self) -> int:
        """1,000 bits a second."""
        return round(sum(len(packet.data) for packet in self.packets) * 8 / 1000 / self.seconds)


def sized(planes: Planes, width: int, height: int) -> Planes:
    """The same picture in another size (even sides)."""
    columns = planes.shape[1]
    rows = planes.shape[0] * 2 // 3
    if (columns, rows) == (width, height):
        return planes
    half = (rows // 2, columns // 2)
    blue, red = planes[rows:].reshape(2, *half)
    parts = [_resized(planes[:rows], width, height), *(_resized(c, width // 2, height // 2) for c in (blue, red))]
    return np.concatenate([part.ravel() for part in parts]).reshape(height * 3 // 2, width)


def _resized(plane: Planes, width: int, height: int) -> Planes:
    return np.asarray(cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def draw_film(paint: Paint, width: int, height: int, fps: int, kbps: int, told: Callable[[float], None]) -> bytes:
    """An MP4 of H.264 as cameras make it: no B-frames, a key frame a second, the bit rate used up.

    `told` hears the share that is done.
    """
    written = io.BytesIO()
    with av.open(written, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.gop_size, context.max_b_frames, context.bit_rate = fps, 0, 1000 * kbps
        rate = f"{kbps}k"
        context.options = {
            "preset": "superfast", "tune": "zerolatency", "sc_threshold": "0", "maxrate": rate, "bufsize": rate,
        }  # fmt: skip
        for number in range(PICTURES):
            frame = av.VideoFrame.from_ndarray(sized(paint(number), width, height), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
            told((number + 1) / PICTURES)
        container.mux(stream.encode(None))
    return written.getvalue()


def draw_jpegs(paint: Paint, width: int, height: int, told: Callable[[float], None]) -> list[bytes]:
    """The same pictures as webcams send them."""
    found = []
    for number in range(PICTURES):
        picture = cv2.cvtColor(sized(paint(number), width, height), cv2.COLOR_YUV2BGR_I420)
        done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        assert done, "a picture in memory can always be encoded"
        found.append(data.tobytes())
        told((number + 1) / PICTURES)
    return found


@contextmanager
def opened(film: Film) -> Iterator[tuple[av.container.InputContainer, VideoStream, TickClock]]:
    """The film's track, decoded by one thread, and its clock. The errors for a file are those of `open_footage`."""
    if isinstance(film, Path):
        with open_footage(film) as (container, track):
            yield container, track, _clock(track)
    else:
        with av.open(io.BytesIO(film), "r") as container:
            yield container, container.streams.video[0], _clock(container.streams.video[0])


def _clock(track: VideoStream) -> TickClock:
    track.codec_context.thread_count = 1
    return TickClock(track.time_base or _USUAL_TIME_BASE, track.average_rate or track.guessed_rate, 0, None)


def items(
    container: av.container.InputContainer,
    track: VideoStream,
    clock: TickClock,
    going_on: Callable[[], bool],
    *,
    live: bool = False,
    masks: tuple[Mask, ...] = (),
    facts: FootageFacts | None = None,
) -> Iterator[SourceItem]:
    """What a network camera or a film gives, by the parts that read them; asked before each packet whether to go on.

    `facts`: what `probe` found, of a film file.
    """
    packets = takewhile(lambda _: going_on(), read_packets(container, track))
    sampler = LumaSampler(LUMA_WIDTH, LUMA_RATE_HZ)
    if not masks and (track.codec_context.name == "h264" if facts is None else facts.untouched):
        return PassThrough(packets, track, clock, sampler, container.format.name).items()
    orientation = AS_STORED if facts is None else facts.orientation
    return Transcoder(packets, track, clock, sampler, live=live, orientation=orientation, masks=masks).items()


def take_sample(film: Film, facts: FootageFacts | None = None) -> Sample:
    """The film's first pictures, as they are recorded. BadInput where it is none, or has too few for motion."""
    packets: list[EncodedPacket] = []
    lumas: list[LumaFrame] = []
    format_, picture = None, None
    with opened(film) as (container, track, clock):
        for item in islice(items(container, track, clock, lambda: True, facts=facts), _MOST_ITEMS):
            if isinstance(item, VideoFormat):
                format_ = item
            elif isinstance(item, EncodedPacket):
                packets.append(item)
            elif isinstance(item, LumaFrame):
                assert item.picture is not None, "whatever is decoded has its picture"
                picture = item.picture()
                lumas.append(LumaFrame(item.time_ns, item.pixels))
            if len(packets) >= PICTURES and len(lumas) > 1:
                break
    if format_ is None or picture is None or len(lumas) < 2:
        raise BadInput(
            f"{film if isinstance(film, Path) else 'the film'} is too short to measure with; name a longer one."
        )
    period_s = (lumas[-1].time_ns - lumas[0].time_ns) / (len(lumas) - 1) / 1e9
    return Sample(film, format_, tuple(packets), tuple(luma.pixels for luma in lumas), period_s, picture)
