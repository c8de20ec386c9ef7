"""Opens a film file as untrusted input: is it there, is it a film, what does it say of itself.

Owns the wording of everything that can be wrong with a file given on the command line. Never reads beyond local files,
whatever a playlist inside one asks for. Decoding and passing on are `passthrough`'s and `transcode`'s.
"""

from __future__ import annotations

import errno
import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import av.container
import av.error
import av.stream
import av.video
from av.sidedata.sidedata import SideData

from agent.core.errors import BadInput, Unavailable
from agent.core.orientation import AS_STORED, Orientation, from_display_matrix

SECOND_NS: Final = 1_000_000_000
# libav opens text as "ansi art" and pictures as one-picture films; neither is footage.
_NOT_FILMS: Final = ("tty", "image2", "_pipe", "concat", "hls", "dash", "lavfi")
# Containers whose header says how long the film is, so that an early end is seen as such.
_TELL_THEIR_LENGTH: Final = ("mov", "matroska", "avi")
# Containers in which phones say how their films are to be held.
_TELL_WHICH_WAY_IS_UP: Final = ("mov", "matroska")
_PIXELS_THAT_PLAY: Final = ("yuv420p", "yuvj420p")
_FIRST_PACKETS: Final = 60  # a decoder gives its first picture after fewer
_MAX_SIDE: Final = 16384


@dataclass(frozen=True, slots=True)
class FootageFacts:
    """What a film file says of itself. `fps` is the average; 0.0 where the file does not say.

    `orientation`: what makes its pictures upright: a phone lays down what it films upright, and mirrors some of what it
    films of its owner. The size is that of the pictures as they are stored. `plays`: of the H.264 that phones and
    browsers show (4:2:0, 8 bit). `trimmed`: it holds pictures that it says are not to be shown.
    """

    duration_ns: int
    width: int
    height: int
    fps: float
    codec: str
    orientation: Orientation = AS_STORED
    plays: bool = False
    trimmed: bool = False

    @property
    def untouched(self) -> bool:
        """Whether it can be recorded without being encoded anew."""
        return self.plays and self.orientation == AS_STORED and not self.trimmed

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height of its pictures once they are upright."""
        return self.orientation.size(self.width, self.height)


def disk_fails(path: Path) -> bool:
    """Whether the file itself cannot be read to its end: libav says EIO of damaged films too. Reads all of it."""
    try:
        with path.open("rb") as file:
            while file.read(1024 * 1024):
                pass
    except OSError:
        return True
    return False


@contextmanager
def open_footage(path: Path) -> Iterator[tuple[av.container.InputContainer, av.video.VideoStream]]:
    """The opened file and its film track. BadInput where there is none, Unavailable on a failing disk."""
    try:
        if not path.exists():
            raise BadInput(_why_missing(path))
        if path.is_dir():
            raise BadInput(f"{path} is a folder; name the film files in it.")
        if not path.is_file():
            raise BadInput(f"{path} is a pipe or a device, not a file; save the film to a file and name that.")
        size = path.stat().st_size
        container = av.open(f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except PermissionError as error:
        raise BadInput(f"{path} may not be read by this user; change its permissions.") from error
    except av.error.InvalidDataError as error:
        raise BadInput(_why_unreadable(path, size)) from error
    except av.error.FFmpegError as error:
        if error.errno == errno.EIO and disk_fails(path):
            raise Unavailable(f"{path} cannot be read from its disk; check the disk.") from error
        raise BadInput(f"{path} cannot be opened as a film ({error.strerror}); convert it to MP4.") from error
    with container:
        yield container, _film_track(path, container)


def _why_missing(path: Path) -> str:
    """A path has lost one slash of an address by now. An address may hold a password, so it is not repeated."""
    if str(path) == "-":
        return "Films are not read from standard input; save the film to a file and name that."
    if re.match(r"[a-z][a-z0-9+.-]+:/", str(path), re.IGNORECASE):
        return (
            "Films are read from files, not from addresses; download the film first (the address of a camera belongs "
            "into the settings, as camera.url)."
        )
    return f"There is no file {path}; check the path."


def _why_unreadable(path: Path, size: int) -> str:
    if size == 0:
        return f"{path} is empty; name a film file."
    with path.open("rb") as file:
        is_mp4 = file.read(12)[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
    if is_mp4:
        return f"{path} has no readable index, probably because it was cut off; copy it again from where it came."
    return f"{path} is not a film that can be read; name an MP4, MKV, AVI, TS or H.264 file."


def _film_track(path: Path, container: av.container.InputContainer) -> av.video.VideoStream:
    if any(name in container.format.name for name in _NOT_FILMS):
        raise BadInput(f"{path} is not a film that can be read; name an MP4, MKV, AVI, TS or H.264 file.")
    tracks = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not tracks:
        raise BadInput(f"{path} has no film track; name a file with video.")
    track = tracks[0]
    if track.codec_context is None:
        raise BadInput(f"{path} holds video of a kind that cannot be decoded here; convert it to H.264.")
    width, height = track.codec_context.width, track.codec_context.height
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
        raise BadInput(
            f"The film track of {path} cannot be read (its pictures are {width}×{height}); convert the file."
        )
    return track


def probe(path: Path) -> FootageFacts:
    """What the file says of itself, one picture decoded at most; the errors are those of `open_footage`."""
    with open_footage(path) as (container, track):
        duration_ns = declared_duration_ns(container, track)
        if duration_ns is None and container.duration is not None:
            duration_ns = container.duration * 1000
        rate = track.average_rate or track.guessed_rate
        context = track.codec_context
        said = (duration_ns or 0, context.width, context.height, float(rate or 0), context.name)
        # What libav has not found out yet shows when it is played; damage is told then.
        plays = context.name == "h264" and context.pix_fmt in (*_PIXELS_THAT_PLAY, None)
        # A phone that cuts a film shorter leaves what comes before in the file, back to a key frame.
        trimmed = any(entry.is_discard for entry in track.index_entries)
        return FootageFacts(*said, _orientation(container, track), plays, trimmed)


def _orientation(container: av.container.InputContainer, track: av.video.VideoStream) -> Orientation:
    """What its first picture says; libav tells it only with one. As stored where none can be decoded: found later."""
    if not any(name in container.format.name for name in _TELL_WHICH_WAY_IS_UP):
        return AS_STORED
    try:
        for packet in itertools.islice(container.demux(track), _FIRST_PACKETS):
            for frame in packet.decode():
                matrix = frame.side_data.get("DISPLAYMATRIX")
                return from_display_matrix(bytes(matrix)) if isinstance(matrix, SideData) else AS_STORED
    except av.error.FFmpegError:
        return AS_STORED
    return AS_STORED


def declared_duration_ns(container: av.container.InputContainer, track: av.video.VideoStream) -> int | None:
    """How long the header says the film is; None where the container has no such header."""
    if not any(name in container.format.name for name in _TELL_THEIR_LENGTH):
        return None
    said = []
    if "avi" in container.format.name and track.frames and track.time_base is not None:
        # libav shortens the duration of an AVI that was cut off, but not the number of pictures its header gives.
        return int(track.frames * track.time_base * SECOND_NS)
    if track.duration is not None and track.time_base is not None:
        said.append(int(track.duration * track.time_base * SECOND_NS))
    # The container's own length counts sound too: it bounds the film's only where the film is all there is, or
    # where the film's own is known to compare with.
    if container.duration is not None and (said or len(container.streams) == 1):
        # Matroska's counts from zero, also where the film begins later.
        begin = max(0, container.start_time or 0) if "matroska" in container.format.name else 0
        said.append(max(0, container.duration - begin) * 1000)
    return min(said, default=None)
