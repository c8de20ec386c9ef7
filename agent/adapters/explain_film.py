"""Writes the explain view as a film, so that one can look through why motion was seen or not.

Owns the encoding only; what is drawn is core.motion_explain's. The film runs as the footage did.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import av.container
import av.video.stream
import numpy as np
import numpy.typing as npt

from agent.core.errors import Unavailable

_TICKS_A_SECOND = 1000


class ExplainFilm:
    """A film at `path` of pictures (BGR, uint8, height × width × 3, all of one size). Unavailable if it cannot be."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._container: av.container.OutputContainer | None = None
        self._stream: av.video.stream.VideoStream | None = None
        self._last_tick = -1
        self._failed = False

    def __enter__(self) -> Self:
        with self._writing():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(str(self._path), "w", format="mp4")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._container is not None, "entered before use"
        if self._failed:
            return  # that is told; libav can crash when it is to end what it could not begin
        try:
            with self._writing():
                if self._stream is not None:
                    self._container.mux(self._stream.encode(None))
                self._container.close()
        except Unavailable:
            if error is None:  # else that is what is to be told, not that the film has no end then
                raise

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            self._failed = True
            raise Unavailable(f"the explain film {self._path} cannot be written: {e.strerror}") from e

    def add(self, picture: npt.NDArray[np.uint8], time_ns: int) -> None:
        """The next picture, shown from `time_ns` on. One of another size than the first is left out."""
        assert self._container is not None, "entered before use"
        height, width = picture.shape[0] & ~1, picture.shape[1] & ~1
        if self._stream is None:
            self._stream = self._container.add_stream("libx264", rate=10, options={"preset": "veryfast", "crf": "20"})
            self._stream.width, self._stream.height = width, height
            self._stream.pix_fmt = "yuv420p"
            self._stream.codec_context.time_base = Fraction(1, _TICKS_A_SECOND)
        if (width, height) != (self._stream.width, self._stream.height):
            return
        tick = max(self._last_tick + 1, time_ns * _TICKS_A_SECOND // 1_000_000_000)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:height, :width]), format="bgr24")
        frame.pts, frame.time_base, self._last_tick = tick, Fraction(1, _TICKS_A_SECOND), tick
        with self._writing():
            self._container.mux(self._stream.encode(frame))
