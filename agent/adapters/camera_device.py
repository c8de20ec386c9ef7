"""The Raspberry Pi's own camera through Picamera2: opened, set up, painted over, encoded, closed.

The only module that imports picamera2 and libcamera, and only when a camera is asked for: without them everything else
works. Runs in the camera's threads, where nothing may wait; what comes of it goes into an Inbox. When to give up on a
camera is `camera`'s. Source: the Picamera2 manual (encoders, outputs, callbacks), libcamera's SensorTimestamp.
"""

from __future__ import annotations

import atexit
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from agent.adapters import clock
from agent.adapters.camera_inbox import CameraPacket, Inbox
from agent.core.errors import BadInput, DoorwardError, Unavailable
from agent.core.frame import LumaFrame
from agent.core.masks import Mask, MaskPainter
from agent.core.planes import Layout

ADDRESS: Final = "pi"
_LUMA_WIDTH: Final = 320
_LUMA_RATE_HZ: Final = 10
_CODEC: Final = Path("/dev/video11")  # the H.264 encoder of a Pi 4 and older; a Pi 5 has none
_NOT_INSTALLED: Final = (
    "The Pi camera needs Picamera2, which cannot be used here ({}); run 'sudo apt install python3-picamera2', and then "
    "'sudo scripts/install' in Doorward's folder."
)
_NO_CAMERA: Final = (
    "There is no Pi camera number {}; switch the Pi off, seat the ribbon cable again, and see whether "
    "'rpicam-hello --list-cameras' finds it."
)


@dataclass(frozen=True, slots=True)
class PiCameraSettings:
    """Which camera (0 is the first), pictures of which size, how many a second, how many bits, what is masked, and
    whether the camera hangs upside down."""

    number: int
    width: int
    height: int
    fps: int
    bitrate_bps: int
    masks: tuple[Mask, ...] = ()
    upside_down: bool = False


def parse_pi_address(url: str) -> int | None:
    """The camera's number for "pi" or "pi:1"; None where `url` names another kind of camera."""
    name, colon, number = url.partition(":")
    if name != ADDRESS:
        return None
    if colon and not (number.isascii() and number.isdigit() and len(number) < 3):
        raise BadInput(f'camera.url = "{url}" names no Pi camera; write "pi", or "pi:1" for the second one.')
    return int(number or 0)


def check_pi_camera(number: int) -> None:
    """Unavailable, with what to do, where Picamera2 or the camera is missing."""
    if number not in {camera["Num"] for camera in _cameras()}:
        raise Unavailable(_NO_CAMERA.format(number))


def pi_cameras() -> list[tuple[int, str]]:
    """The number and the sensor's name of each camera on a ribbon cable. Unavailable where Picamera2 is missing."""
    # libcamera lists webcams as well, by the USB socket they are in.
    return [(camera["Num"], camera.get("Model", "")) for camera in _cameras() if "/usb" not in camera["Id"]]


def _cameras() -> list[dict[str, Any]]:
    try:
        from picamera2 import Picamera2
    except (ImportError, ValueError) as error:  # ValueError: a part of it was built for another numpy
        raise Unavailable(_NOT_INSTALLED.format(error)) from error
    found: list[dict[str, Any]] = Picamera2.global_camera_info()
    return found


def encodes_in_hardware() -> bool:
    """Whether this machine has the encoder of a Pi 4 and older; without it, x264 encodes for the Pi's camera."""
    return _CODEC.exists()


class PiCamera:
    """One camera from opening to closing; its pictures arrive in `inbox` until then.

    Unavailable where it cannot be opened or set up. Every method may hang when the hardware does.
    """

    def __init__(self, settings: PiCameraSettings, inbox: Inbox) -> None:
        check_pi_camera(settings.number)
        from picamera2 import Picamera2, Preview

        try:
            self._camera: Any = Picamera2(settings.number)
        except (RuntimeError, OSError, IndexError) as error:
            raise Unavailable(f"The Pi camera cannot be opened ({error}); does another program use it?") from error
        try:
            self._configure(settings)
            self._pictures = _Pictures(self._camera, settings.masks, inbox)
            self._camera.pre_callback = self._pictures.on_request
            self._encoder = _encoder(settings)
            output = _output(self._encoder, self._pictures, inbox)
            self._camera.start_encoder(self._encoder, output, name="main")
            # Picamera2 gives no buffer back to a camera that does not count as started yet, and never again: where a
            # busy machine is late with that, none are left. So its pictures are handed round only afterwards.
            self._camera.start(show_preview=None)
            self._camera.start_preview(Preview.NULL)
        except (RuntimeError, OSError, BadInput) as error:
            self._camera.close()
            raise Unavailable(f"The Pi camera cannot be started ({error}).") from error

    def close(self) -> None:
        """Stop and let go; may be called once. Unavailable where the camera refuses."""
        try:
            self._camera.stop()
            self._camera.stop_encoder()
            self._camera.close()
        except (RuntimeError, OSError) as error:
            raise Unavailable(f"The Pi camera cannot be closed ({error}).") from error

    def abandon(self) -> None:
        """Closing hangs: do not try once more when the process ends."""
        atexit.unregister(self._camera.close)

    def _configure(self, settings: PiCameraSettings) -> None:
        from libcamera import Transform

        rows = max(2, 2 * round(settings.height * _LUMA_WIDTH / settings.width / 2))
        paced = "FrameDurationLimits" in self._camera.camera_controls
        self._camera.configure(
            self._camera.create_video_configuration(
                main={"size": (settings.width, settings.height), "format": "YUV420"},
                lores={"size": (_LUMA_WIDTH, rows), "format": "YUV420"},
                transform=Transform(hflip=settings.upside_down, vflip=settings.upside_down),
                controls={"FrameRate": settings.fps} if paced else {},
                display=None,
                queue=False,  # a picture kept for later would be a buffer the camera lacks
            )
        )
        given = self._camera.camera_configuration()["transform"]
        if (bool(given.hflip), bool(given.vflip)) != (settings.upside_down, settings.upside_down):
            raise BadInput("it cannot turn its pictures: leave camera.rotate at 0")


class _Pictures:
    """Each picture before it is encoded: masks painted in, brightness copied out, time brought to the boot clock."""

    def __init__(self, camera: Any, masks: tuple[Mask, ...], inbox: Inbox) -> None:
        self._inbox = inbox
        self._lores = _layout(camera, "lores")
        self._painters = (
            [
                (name, layout, MaskPainter(masks, layout.width, layout.height))
                for name, layout in (("main", _layout(camera, "main")), ("lores", self._lores))
            ]
            if masks
            else []
        )
        self._slot: int | None = None
        self._shift_ns: int | None = None

    def on_request(self, request: Any) -> None:
        """Called by Picamera2 for every picture. What it raises keeps the picture from being encoded."""
        try:
            self._take(request)
        except DoorwardError as error:
            self._inbox.fail(str(error))
            raise

    def boot_ns(self, sensor_us: int) -> int:
        """The boot clock's time for a sensor's timestamp in whole microseconds, which is what the encoder passes on."""
        if self._shift_ns is None:
            # libcamera promises the boot clock; drivers stamp with the monotonic one, which stands still in suspend.
            boot_ns, monotonic_ns = clock.boot_ns(), time.monotonic_ns()
            nearer_boot = abs(boot_ns - sensor_us * 1000) <= abs(monotonic_ns - sensor_us * 1000)
            self._shift_ns = 0 if nearer_boot else boot_ns - monotonic_ns
        return sensor_us * 1000 + self._shift_ns

    def _take(self, request: Any) -> None:
        from picamera2 import MappedArray

        for name, layout, painter in self._painters:
            with MappedArray(request, name, reshape=False) as mapped:
                painter.paint(*layout.planes(mapped.array))
        time_ns = self.boot_ns(request.get_metadata()["SensorTimestamp"] // 1000)
        slot = time_ns * _LUMA_RATE_HZ // 1_000_000_000
        if slot != self._slot:
            self._slot = slot
            with MappedArray(request, "lores", reshape=False, write=False) as mapped:
                self._inbox.put_luma(LumaFrame(time_ns, np.array(self._lores.brightness(mapped.array))))


def _layout(camera: Any, name: str) -> Layout:
    """As the camera gives it, which need not be what it was asked for."""
    given = camera.stream_configuration(name)
    width, height = given["size"]
    return Layout(given["format"], width, height, given["stride"])


def _encoder(settings: PiCameraSettings) -> Any:
    from picamera2.encoders import H264Encoder, LibavH264Encoder

    # Picamera2's H264Encoder is the software one by another name on a Pi 5.
    kind = H264Encoder if encodes_in_hardware() else LibavH264Encoder
    return kind(bitrate=settings.bitrate_bps, repeat=True, iperiod=settings.fps, framerate=settings.fps)


def _output(encoder: Any, pictures: _Pictures, inbox: Inbox) -> Any:
    """What Picamera2 hands packets to; its base class is only there once picamera2 is."""
    from picamera2.outputs import Output

    class InboxOutput(Output):  # type: ignore[misc]
        """Packets into the inbox, each with its picture's time on the boot clock."""

        def outputframe(
            self, frame: bytes, keyframe: bool = True, timestamp: int = 0, packet: object = None, audio: bool = False
        ) -> None:
            """`timestamp`: microseconds since the encoder's first picture."""
            time_ns = pictures.boot_ns(encoder.firsttimestamp + timestamp)
            inbox.put_packet(CameraPacket(bytes(frame), time_ns, keyframe))

    return InboxOutput()
