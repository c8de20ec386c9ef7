"""A USB camera as a source: what it sends becomes recorded video, and silence is noticed.

Owns one start of the camera: times, decoding and encoding (`transcode`), or passing on where the camera encodes H.264
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
from agent.adapters.transcode import Encoding, Transcoder
from agent.adapters.v4l2 import CameraMode, RawPicture, Webcam
from agent.core import h264
from agent.core.errors import BadInput, Unavailable
from agent.core.fmp4 import MAX_RUN_BYTES, SECOND_NS
from agent.core.frame import EncodedPacket, Gap, SourceItem
from agent.core.masks import Mask
from agent.core.orientation import AS_STORED, Orientation

_LOOK_S: Final = 0.5  # how long `stopped` may go unnoticed
_PAUSE_NS: Final = SECOND_NS  # no camera pauses for so long: pictures are missing
_MICROSECONDS: Final = 1_000_000
_LUMA_WIDTH: Final = 320
_LUMA_RATE_HZ: Final = 10.0
# Chosen for a Pi 4's cores, but not measured on one: a third less work than "veryfast" for the same bits.
_UPSIDE_DOWN: Final = Orientation(quarter_turns=2)
_PRESET: Final = "superfast"
_CRF: Final = 23
_THREADS: Final = 2
_MOST_TIMES_LARGER: Final = 4  # what a picture may be beyond what the camera promised, before memory is taken for it


@dataclass(frozen=True, slots=True)
class UsbSettings:
    """Which camera ("usb" or a device file), pictures of which size, how many a second, what is masked, and whether
    the camera hangs upside down.

    `most_kbps` limits what is encoded here; a camera that encodes itself has a limit of its own.
    """

    address: str
    width: int
    height: int
    fps: int
    most_kbps: int
    masks: tuple[Mask, ...] = ()
    upside_down: bool = False

    @property
    def as_sent(self) -> bool:
        """Whether H.264 from the camera can be recorded as it is."""
        return not (self.masks or self.upside_down)


@dataclass(frozen=True, slots=True)
class UsbPatience:
    """Seconds without a picture, and with pictures of which none can be recorded: H.264 may begin with its next key
    frame only, which some cameras send every ten seconds."""

    silent_s: float = 5.0
    useless_s: float = 30.0


class Camera(Protocol):
    """A camera that sends."""

    mode: CameraMode

    def read(self, timeout_s: float) -> RawPicture | None:
        """The next picture, or None where none came in time."""

    def close(self) -> None:
        """Let it go."""


def open_webcam(settings: UsbSettings) -> Camera:
    """The camera of `settings`. Where all is to be encoded anew, H.264 from the camera would be for nothing."""
    size = (settings.width, settings.height, settings.fps)
    return Webcam(settings.address, size, prefer_encoded=settings.as_sent)


class UsbSource:
    """The items of a USB camera from one start until `stopped`.

    Unavailable, saying why, when it cannot be had, goes away, or sends nothing for too long; BadInput where it is no
    camera. Then it is closed, and another source may be begun on it: times are those of the boot clock.
    """

    def __init__(
        self,
        settings: UsbSettings,
        stopped: Callable[[], bool],
        *,
        patience: UsbPatience | None = None,
        open_camera: Callable[[UsbSettings], Camera] = open_webcam,
    ) -> None:
        self._settings = settings
        self._stopped = stopped
        self._patience = patience or UsbPatience()
        self._open = open_camera
        self._recorded_ns = 0  # when the last packet was handed on

    def __iter__(self) -> Iterator[SourceItem]:
        with contextlib.closing(self._open(self._settings)) as camera:
            self._recorded_ns = clock.boot_ns()
            yield from self._without_holes(self._items(camera))

    def _items(self, camera: Camera) -> Iterator[SourceItem]:
        times = _PictureClock(camera.mode.fps)
        track, packets = _Track(camera.mode), self._packets(camera)
        sampler, settings = LumaSampler(_LUMA_WIDTH, _LUMA_RATE_HZ), self._settings
        if camera.mode.kind == "h264" and settings.as_sent:
            return PassThrough(packets, track, times, sampler).items()
        return Transcoder(
            packets,
            track,
            times,
            sampler,
            live=True,
            orientation=_UPSIDE_DOWN if settings.upside_down else AS_STORED,
            masks=settings.masks,
            encoding=Encoding(_PRESET, _CRF, settings.most_kbps, _THREADS),
        ).items()

    def _without_holes(self, items: Iterator[SourceItem]) -> Iterator[SourceItem]:
        """The same items, with a gap where pictures are missing and nobody has said so."""
        reached_ns: int | None = None
        for item in items:
            if isinstance(item, EncodedPacket):
                if reached_ns is not None and item.pts_ns - reached_ns > _PAUSE_NS:
                    yield Gap(reached_ns, item.pts_ns, "the USB camera gave no pictures for a while")
                reached_ns = item.pts_ns + item.duration_ns
            elif isinstance(item, Gap):
                reached_ns = max(reached_ns or 0, item.end_ns)
            yield item
            if isinstance(item, EncodedPacket):
                self._recorded_ns = clock.boot_ns()  # only now: whoever takes it may be slow

    def _packets(self, camera: Camera) -> Iterator[Packet[VideoStream]]:
        """Each picture the camera sends. A picture's items have been handed on when the next one is asked for."""
        pictured_ns = clock.boot_ns()
        while not self._stopped():
            picture = camera.read(_LOOK_S)
            if picture is not None:
                yield _packet(picture, camera.mode.kind)
                pictured_ns = clock.boot_ns()
            silent_s = (clock.boot_ns() - pictured_ns) / SECOND_NS
            if silent_s > self._patience.silent_s:
                raise Unavailable(
                    f"The USB camera has sent no picture for {silent_s:.0f} seconds; if that goes on, pull its plug "
                    "and put it back."
                )
            useless_s = (clock.boot_ns() - self._recorded_ns) / SECOND_NS
            if useless_s > self._patience.useless_s:
                raise Unavailable(
                    f"Nothing the USB camera has sent for {useless_s:.0f} seconds can be recorded; try a shorter cable "
                    "or another socket, or a smaller camera.width."
                )


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
        context.thread_count = 1
        context.options = {"max_pixels": str(_MOST_TIMES_LARGER * mode.width * mode.height)}
        self.codec_context = context


class _PictureClock:
    """The camera's pictures bear this machine's boot clock already: only that times rise is left to see to."""

    timescale = _MICROSECONDS

    def __init__(self, fps: float) -> None:
        self.frame_ticks = max(1, round(_MICROSECONDS / fps))
        self.end_ns = 0
        self.last_dts_ns: int | None = None

    def stamp(self, pts: int | None, dts: int, duration: int) -> Times:
        """`pts` is not looked at: a webcam has no pictures that are shown in another order."""
        at_ns = dts * 1000
        if self.last_dts_ns is not None:
            at_ns = max(at_ns, self.last_dts_ns + 1000)
        self.last_dts_ns = at_ns
        lasting_ns = self.frame_ticks * 1000
        self.end_ns = at_ns + lasting_ns
        return Times(at_ns, at_ns, lasting_ns, False)
