"""A USB camera as a source: what it sends becomes recorded video, and silence is noticed.

Owns one opening of the camera: times, decoding and encoding (`transcode`), or passing on where the camera encodes H.264
itself (`passthrough`). The device is `v4l2`'s; starting anew is `patience`'s. Runs in the thread that iterates it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Protocol, cast

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from agent.adapters import clock
from agent.adapters.luma import LumaSampler
from agent.adapters.passthrough import PassThrough
from agent.adapters.times import Times
from agent.adapters.transcode import Transcoder
from agent.adapters.v4l2 import CameraMode, RawPicture, Webcam
from agent.core import h264
from agent.core.errors import BadInput, Unavailable
from agent.core.fmp4 import MAX_RUN_BYTES, SECOND_NS
from agent.core.frame import SourceItem
from agent.core.masks import Mask

_SILENCE_S: Final = 5.0
_LOOK_S: Final = 0.5  # how long `stopped` may go unnoticed
_MICROSECONDS: Final = 1_000_000
_LUMA_WIDTH: Final = 320
_LUMA_RATE_HZ: Final = 10.0


@dataclass(frozen=True, slots=True)
class UsbSettings:
    """Which camera ("usb" or a device file), and pictures of which size, how many a second, and what is masked."""

    address: str
    width: int
    height: int
    fps: int
    masks: tuple[Mask, ...] = ()


class Camera(Protocol):
    """A camera that sends."""

    mode: CameraMode

    def read(self, timeout_s: float) -> RawPicture | None:
        """The next picture, or None where none came in time."""

    def close(self) -> None:
        """Let it go."""


def open_webcam(settings: UsbSettings) -> Camera:
    """The camera of `settings`. With masks all is encoded anew, so that H.264 from the camera would be for nothing."""
    size = (settings.width, settings.height, settings.fps)
    return Webcam(settings.address, size, prefer_encoded=not settings.masks)


class UsbSource:
    """The items of a USB camera from one start until `stopped`.

    Unavailable, saying why, when it cannot be had, goes away, or sends nothing for `silence_s`; then it is closed.
    Iterated again it starts anew; times go on rising.
    """

    def __init__(
        self,
        settings: UsbSettings,
        stopped: Callable[[], bool],
        *,
        open_camera: Callable[[UsbSettings], Camera] = open_webcam,
        silence_s: float = _SILENCE_S,
    ) -> None:
        self._settings = settings
        self._stopped = stopped
        self._open = open_camera
        self._silence_s = silence_s
        self._last_ns: int | None = None

    def __iter__(self) -> Iterator[SourceItem]:
        with contextlib.closing(self._open(self._settings)) as camera:
            track = _Track(camera.mode)
            times = _PictureClock(camera.mode.fps, self._last_ns)
            sampler = LumaSampler(_LUMA_WIDTH, _LUMA_RATE_HZ)
            packets = self._packets(camera)
            try:
                if camera.mode.kind == "h264" and not self._settings.masks:
                    yield from PassThrough(packets, track, times, sampler).items()
                else:
                    masks = self._settings.masks
                    yield from Transcoder(packets, track, times, sampler, live=True, masks=masks).items()
            finally:
                self._last_ns = times.last_dts_ns

    def _packets(self, camera: Camera) -> Iterator[Packet[VideoStream]]:
        arrived_ns = clock.boot_ns()
        while not self._stopped():
            picture = camera.read(_LOOK_S)
            if picture is None:
                age_s = (clock.boot_ns() - arrived_ns) / SECOND_NS
                if age_s > self._silence_s:
                    raise Unavailable(
                        f"The USB camera has sent nothing for {age_s:.0f} seconds; if that goes on, pull its plug and "
                        "put it back."
                    )
                continue
            arrived_ns = clock.boot_ns()
            yield _packet(picture, camera.mode.kind)


def _packet(picture: RawPicture, kind: str) -> Packet[VideoStream]:
    if kind == "h264" and len(picture.data) > MAX_RUN_BYTES:
        raise Unavailable(f"The USB camera sent a picture of {len(picture.data)} bytes; lower camera.width.")
    packet = cast("Packet[VideoStream]", Packet(picture.data))
    packet.pts = packet.dts = picture.time_ns // 1000
    packet.time_base = Fraction(1, _MICROSECONDS)
    packet.is_keyframe = kind != "h264" or _is_key(picture.data)
    return packet


def _is_key(data: bytes) -> bool:
    try:
        return any(h264.unit_type(unit) == h264.SLICE_IDR for unit in h264.split_annexb(data))
    except BadInput:
        return False  # damaged: whoever reads it on says so


class _Track:
    """What is known of the camera's pictures (packets.VideoTrack)."""

    def __init__(self, mode: CameraMode) -> None:
        self.average_rate: Fraction | None = Fraction(mode.fps).limit_denominator(1001)
        self.guessed_rate = self.average_rate
        context = av.CodecContext.create("rawvideo" if mode.kind == "yuyv422" else mode.kind, "r")
        assert isinstance(context, VideoCodecContext), "these three are codecs of pictures"
        context.width, context.height = mode.width, mode.height
        if mode.kind == "yuyv422":
            context.pix_fmt = mode.kind
        context.time_base = Fraction(1, _MICROSECONDS)
        context.thread_count = 1
        self.codec_context = context


class _PictureClock:
    """The camera's pictures bear this machine's boot clock already: only that times rise is left to see to."""

    timescale = _MICROSECONDS

    def __init__(self, fps: float, after_dts_ns: int | None) -> None:
        self.frame_ticks = max(1, round(_MICROSECONDS / fps))
        self.end_ns = 0
        self.last_dts_ns = after_dts_ns

    def stamp(self, pts: int | None, dts: int, duration: int) -> Times:
        """`pts` is not looked at: a webcam has no pictures that are shown in another order."""
        at_ns = dts * 1000
        if self.last_dts_ns is not None:
            at_ns = max(at_ns, self.last_dts_ns + 1000)
        self.last_dts_ns = at_ns
        lasting_ns = self.frame_ticks * 1000
        self.end_ns = at_ns + lasting_ns
        return Times(at_ns, at_ns, lasting_ns, False)
