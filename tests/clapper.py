"""Films that flash and beep at the same moments, and what measures in any film how far the two are apart."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from agent.adapters.luma import luma_plane

FPS = 25
SIZE = (320, 180)
FLASH_S = 0.2
# The last moments of seconds and the first, on a picture and between pictures: (k + 0.4) s.
MOMENTS = [round(k + 0.4, 3) for k in range(1, 60, 3)]


def make_clapper(
    path: Path,
    seconds: int,
    codec: str = "aac",
    rate: int = 48_000,
    layout: str = "mono",
    moves: tuple[int, int] = (8, 14),
    b_frames: int = 2,
) -> Path:
    """Encodes a film that flashes and beeps at MOMENTS; a square walks about between `moves` (seconds)."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS)
        video.width, video.height = SIZE
        video.pix_fmt = "yuv420p"
        video.codec_context.gop_size = FPS
        video.codec_context.max_b_frames = b_frames
        video.codec_context.thread_count = 1
        video.codec_context.options = {"preset": "veryfast", "sc_threshold": "0"}
        audio = container.add_stream(codec, rate=rate, layout=layout)
        sound = _beeps(seconds, rate)
        fmt = "s16" if codec.startswith("pcm_s16") or codec == "libopus" else "fltp"
        done = 0
        size = 960 if codec == "libopus" else 1024
        for n in range(seconds * FPS):
            frame = av.VideoFrame.from_ndarray(_picture(n, moves), format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = n, Fraction(1, FPS)
            container.mux(video.encode(frame))
            while done < min(len(sound), (n + 1) * rate // FPS):
                piece = sound[done : done + size]
                block = av.AudioFrame(format=fmt, layout=layout, samples=len(piece))
                for plane in block.planes:
                    plane.update((piece * 32767).astype(np.int16) if fmt == "s16" else piece.astype(np.float32))
                block.sample_rate, block.pts, block.time_base = rate, done, Fraction(1, rate)
                container.mux(audio.encode(block))
                done += len(piece)
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


def _picture(n: int, moves: tuple[int, int]) -> np.ndarray:
    rows, columns = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    picture = (60 + (rows * 3 + columns * 7) % 41).astype(np.uint8)
    if moves[0] <= n / FPS < moves[1]:
        x = 20 + (n * 4) % 200
        picture[60:160, x : x + 40] = 20
    if any(moment <= n / FPS < moment + FLASH_S for moment in MOMENTS):
        picture[:40, 240:] = 255  # a lamp in a corner, not a flash that blinds the detector
    return picture


def _beeps(seconds: int, rate: int) -> np.ndarray:
    times = np.arange(seconds * rate) / rate
    on = np.zeros(len(times), bool)
    for moment in MOMENTS:
        on |= (times >= moment) & (times < moment + FLASH_S)
    return np.where(on, 0.5 * np.sin(2 * np.pi * 1000 * times), 0.0)


def flashes(path: Path) -> list[float]:
    """When the lamp goes on in a film, seconds."""
    found, lit = [], True
    with av.open(str(path)) as container:
        track = container.streams.video[0]
        for frame in container.decode(track):
            now = bool(luma_plane(frame)[5:35, 250:310].mean() > 180)
            if now and not lit:
                found.append(float(frame.pts * track.time_base))
            lit = now
    return found


def beeps(path: Path) -> list[float]:
    """When a beep begins in a film, seconds."""
    found, loud_until = [], 0.0
    with av.open(str(path)) as container:
        track = container.streams.audio[0]
        for frame in container.decode(track):
            samples = frame.to_ndarray().astype(np.float64)
            samples = samples[0] if frame.format.is_planar else samples[0, :: frame.layout.nb_channels]
            begin = float(frame.pts * track.time_base)
            for at in np.flatnonzero(np.abs(samples) > 0.1):
                time = begin + at / frame.sample_rate
                if time > loud_until:
                    found.append(time)
                loud_until = time + 0.1
    return found


def apart(path: Path) -> list[float]:
    """For each flash in a film, how much later than it the nearest beep begins, seconds."""
    heard = beeps(path)
    return [min((beep - flash for beep in heard), key=abs) for flash in flashes(path)]
