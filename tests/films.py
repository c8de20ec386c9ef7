"""Small films for tests, made by the same libav the product reads with, and readers that judge what came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import PictureType

from agent.adapters.luma import luma_plane
from agent.core.fmp4 import Fragmenter, Run, init_segment, render_fragment
from agent.core.frame import EncodedPacket, VideoFormat

SECOND = 1_000_000_000


@dataclass(frozen=True)
class FilmKind:
    """What film to make. `times`: presentation times in ticks of `time_base`; else one picture each 1/`fps`."""

    size: tuple[int, int] = (64, 48)
    pictures: int = 60
    fps: int = 25
    gop: int = 25
    b_frames: int = 0
    codec: str = "libx264"
    pixels: str = "yuv420p"
    time_base: Fraction = Fraction(1, 12800)
    times: Sequence[int] | None = None
    options: tuple[tuple[str, str], ...] = ()


def moving_picture(index: int, size: tuple[int, int]) -> np.ndarray:
    """A textured picture with a bright square that wanders; each is unlike every other. Shape (height, width, 3)."""
    width, height = size
    rows, columns = np.mgrid[0:height, 0:width]
    picture = np.stack([(rows * 3 + index) % 97, (columns * 2) % 89, (rows + columns) % 120], axis=2).astype(np.uint8)
    x, y = (index * 3) % max(1, width - 12), (index * 2) % max(1, height - 12)
    picture[y : y + 12, x : x + 12] = 235
    return picture


def make_film(path: Path, kind: FilmKind, container_format: str | None = None) -> Path:
    """Encodes a film to `path`."""
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(kind.codec, rate=kind.fps)
        stream.width, stream.height = kind.size
        stream.pix_fmt = kind.pixels
        context = stream.codec_context
        context.time_base = kind.time_base
        context.gop_size = kind.gop
        context.max_b_frames = kind.b_frames
        context.thread_count = 1
        options = dict(kind.options)
        if kind.codec == "libx264":
            options = {"preset": "veryfast", "sc_threshold": "0", "b_strategy": "0", **options}
        context.options = options
        step = Fraction(1, kind.fps) / kind.time_base
        for index in range(kind.pictures):
            frame = av.VideoFrame.from_ndarray(moving_picture(index, kind.size), format="bgr24")
            frame = frame.reformat(format=kind.pixels, threads=1)  # two encodings of one film must be the same
            frame.pts = int(index * step) if kind.times is None else kind.times[index]
            frame.time_base = kind.time_base
            frame.pict_type = PictureType.NONE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@dataclass(frozen=True)
class RawPacket:
    """A packet as libav demuxes it; times in seconds."""

    data: bytes
    pts: Fraction
    dts: Fraction
    key: bool


def demuxed(path: Path) -> list[RawPacket]:
    """Every packet of a film file."""
    with av.open(str(path)) as container:
        track = container.streams.video[0]
        base = track.time_base
        return [
            RawPacket(bytes(p), (p.pts or 0) * base, (p.dts if p.dts is not None else -1) * base, p.is_keyframe)
            for p in container.demux(track)
            if p.size
        ]


def decoded(path: Path) -> list[tuple[Fraction, bytes]]:
    """Every picture of a film file: when it is shown, and its brightness plane."""
    with av.open(str(path)) as container:
        track = container.streams.video[0]
        track.codec_context.thread_count = 1
        return [(frame.pts * track.time_base, luma_plane(frame).tobytes()) for frame in container.decode(track)]


def cut(packets: Sequence[EncodedPacket]) -> list[Run]:
    """All runs of a packet sequence."""
    fragmenter = Fragmenter()
    runs = [run for packet in packets for run in fragmenter.push(packet)]
    return runs + fragmenter.flush()


def film_bytes(fmt: VideoFormat, runs: Sequence[Run]) -> tuple[bytes, list[bytes]]:
    """Init segment and fragments of a film that begins with the first of `runs`."""
    origin = runs[0].origin
    return init_segment(fmt), [render_fragment(run, fmt, origin, n) for n, run in enumerate(runs, 1)]
