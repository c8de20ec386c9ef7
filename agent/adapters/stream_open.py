"""Reaches a camera on the network by its address: RTSP over TCP.

Owns what an address may be, how long opening and reading may take, and the wording of everything that can be wrong
with a camera. Never says a password: errors of libav name the whole address, so none of them is passed on.
Source: RFC 2326; libavformat/rtsp.c for what its options mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import av
import av.container
import av.error
import av.video

from agent.core.errors import BadInput, Unavailable

# A camera that says nothing for so long is lost: libav then gives up a blocked open or read.
SILENCE_S: Final = 5.0
_MAX_ADDRESS: Final = 2048
_MAX_SIDE: Final = 16384
_RTSP_OPTIONS: Final = {
    "rtsp_transport": "tcp",
    "allowed_media_types": "video",
    "protocol_whitelist": "tcp,udp,rtp",  # wherever a camera redirects to, never a file
    # The parameter sets come with the description of the session: no pictures need to be held back for a look at them.
    "fpsprobesize": "0",
}


@dataclass(frozen=True, slots=True)
class CameraAddress:
    """Where a camera is. `shown` may be logged: it has no user and no password."""

    target: str = field(repr=False)
    shown: str

    @classmethod
    def parse(cls, url: str) -> CameraAddress:
        """From `rtsp://user:password@host:port/path`; BadInput for anything else."""
        wanted = 'write it like rtsp://user:password@host/path, or "pi", or "usb"'
        if len(url) > _MAX_ADDRESS or re.search(r"[\x00-\x20\x7f]", url):
            raise BadInput(f"The camera's address is too long or has spaces in it; {wanted}.")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if not host or not url.lower().startswith("rtsp://"):
            raise BadInput(f"The camera's address is not one Doorward knows; {wanted}.")
        at = f"[{host}]" if ":" in host else host
        # What follows a '?' is often a password too.
        return cls(url, f"rtsp://{at}{f':{port}' if port else ''}{parts.path}")


@contextmanager
def open_camera(
    address: CameraAddress, *, sound: bool = False
) -> Iterator[tuple[av.container.InputContainer, av.video.VideoStream]]:
    """The opened camera and its film track. BadInput: the address is wrong; Unavailable: the camera is not there now.

    Without `sound` the camera is not even asked for its own. Takes `SILENCE_S` at the most, and so does each read.
    """
    try:
        container = av.open(
            address.target,
            format="rtsp",
            options=_RTSP_OPTIONS | ({"allowed_media_types": "video+audio"} if sound else {}),
            timeout=(SILENCE_S, SILENCE_S),
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        # `from None`: a traceback would show the address with its password.
        raise _explained(address, error) from None
    with container:
        yield container, _film_track(address, container)


def _film_track(address: CameraAddress, container: av.container.InputContainer) -> av.video.VideoStream:
    if not container.streams.video:
        raise BadInput(f"{address.shown} sends no video; name the address of the camera's video stream.")
    track = container.streams.video[0]
    if track.codec_context is None:
        raise BadInput(f"{address.shown} sends video that cannot be decoded here; set the camera to H.264.")
    # A network camera need not say its size before its first picture.
    if not (0 <= track.codec_context.width <= _MAX_SIDE and 0 <= track.codec_context.height <= _MAX_SIDE):
        raise BadInput(f"The pictures of {address.shown} make no sense in size; set the camera to H.264.")
    return track


def _explained(address: CameraAddress, error: Exception) -> BadInput | Unavailable:
    """libav's error in a sentence without the address it names."""
    shown = address.shown
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return BadInput(f"The camera at {shown} refuses this user and password; correct them in camera.url.")
    if isinstance(error, av.error.HTTPNotFoundError):
        return BadInput(f"The camera at {shown} has nothing at this path; look up the path in its manual.")
    if isinstance(error, av.error.HTTPOtherClientError | av.error.HTTPBadRequestError):
        return BadInput(f"The camera at {shown} gives no video at this address; look up the address in its manual.")
    if isinstance(error, av.error.ExitError | av.error.InvalidDataError):
        # libav says "invalid data" of an answer that never came, too.
        return Unavailable(f"The camera at {shown} does not answer with video; check that it is on, and its address.")
    why = error.strerror if isinstance(error, av.error.FFmpegError | OSError) else None
    return Unavailable(
        f"The camera at {shown} cannot be reached ({why or 'no reason given'}); check its address and its network."
    )
