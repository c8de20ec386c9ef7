"""A webcam by the kernel's own interface (V4L2): opened, set up, read picture by picture, closed.

Owns the ioctls and the wording of what can be wrong with a device. Never waits longer than it is told to, because
`poll` waits and the reading itself never does; that is why libavdevice, whose reading waits for ever, is not used.
Never decodes. Source: the Linux media API, "Streaming I/O (Memory Mapping)"; linux/videodev2.h on 64 bits.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import select
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.adapters import clock
from agent.core.errors import BadInput, Unavailable

ADDRESS: Final = "usb"
_DEVICES: Final = Path("/dev")
# ioctl numbers: direction, size of the structure, 'V', number.
_QUERYCAP: Final = 0x80685600
_ENUM_FMT: Final = 0xC0405602
_S_FMT: Final = 0xC0D05605
_REQBUFS: Final = 0xC0145608
_QUERYBUF: Final = 0xC0585609
_QBUF: Final = 0xC058560F
_DQBUF: Final = 0xC0585611
_STREAMON: Final = 0x40045612
_STREAMOFF: Final = 0x40045613
_S_PARM: Final = 0xC0CC5616
_CAPTURE: Final = 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE, and V4L2_CAP_VIDEO_CAPTURE
_MMAP: Final = 1  # V4L2_MEMORY_MMAP
_CAN_STREAM: Final = 0x04000000
_HAS_DEVICE_CAPS: Final = 0x80000000
_DAMAGED: Final = 0x0040  # V4L2_BUF_FLAG_ERROR
_CLOCK_MASK: Final = 0xE000  # V4L2_BUF_FLAG_TIMESTAMP_MASK
_MONOTONIC: Final = 0x2000
_BUFFERS: Final = 4
_OLDEST_NS: Final = 20_000_000_000
_MOST_FORMATS: Final = 64
_MAX_SIDE: Final = 16384
_BUFFER: Final = struct.Struct("@IIIII4xqq16xIIQI12x")  # struct v4l2_buffer
# What a webcam may send, best first: encoded already, small enough for the cable, as it is.
_KINDS: Final = {b"H264": "h264", b"MJPG": "mjpeg", b"JPEG": "mjpeg", b"YUYV": "yuyv422"}


@dataclass(frozen=True, slots=True)
class CameraMode:
    """What the camera was set to: "h264", "mjpeg" or "yuyv422", its size in pixels, pictures a second."""

    kind: str
    width: int
    height: int
    fps: float


@dataclass(frozen=True, slots=True)
class RawPicture:
    """One picture as the camera sent it, and when it was taken (boot clock)."""

    data: bytes
    time_ns: int


def parse_usb_address(url: str) -> str | None:
    """`url` where it is "usb" or a device file; None where it names another kind of camera."""
    if url == ADDRESS or (url.startswith("/dev/") and "\0" not in url):
        return url
    return None


class Webcam:
    """An opened camera that sends pictures. `wanted`: size and rate as near as the camera can.

    Unavailable, saying what to do, where it is not there, refuses or goes away; BadInput where it is no camera.
    """

    def __init__(self, address: str, wanted: tuple[int, int, int], *, prefer_encoded: bool = True) -> None:
        self._path = camera_file(address)
        self._maps: list[mmap.mmap] = []
        with self._explained():
            self._fd = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        try:
            with self._explained():
                self.mode = self._set_up(wanted, prefer_encoded)
                self._start()
        except BaseException:
            self.close()
            raise

    def read(self, timeout_s: float) -> RawPicture | None:
        """The next picture; None where none came in time or the one that came was damaged."""
        with self._explained():
            if not self._poll.poll(timeout_s * 1000):
                return None
            wanted = bytearray(_BUFFER.pack(0, _CAPTURE, 0, 0, 0, 0, 0, 0, _MMAP, 0, 0))
            try:
                fcntl.ioctl(self._fd, _DQBUF, wanted)
            except BlockingIOError:
                return None
            index, _, used, flags, _, seconds, micros, *_ = _BUFFER.unpack(wanted)
            whole = not flags & _DAMAGED and 0 < used <= len(self._maps[index])
            data = self._maps[index][:used] if whole else b""
            fcntl.ioctl(self._fd, _QBUF, wanted)
        now_ns = clock.boot_ns()
        taken_ns = now_ns
        if flags & _CLOCK_MASK == _MONOTONIC:
            age_ns = time.monotonic_ns() - (seconds * 1_000_000 + micros) * 1000
            # Older than the disk may keep the recorder waiting it cannot be: then the camera's driver is wrong.
            taken_ns = now_ns - age_ns if 0 <= age_ns < _OLDEST_NS else now_ns
        return RawPicture(data, taken_ns) if data else None

    def close(self) -> None:
        """Stop and let go. A camera that is gone already is no error."""
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._fd, _STREAMOFF, struct.pack("@I", _CAPTURE))
        for mapped in self._maps:
            mapped.close()
        self._maps = []
        os.close(self._fd)

    def _set_up(self, wanted: tuple[int, int, int], prefer_encoded: bool) -> CameraMode:
        _, _, usable = _capabilities(self._fd)
        if not usable:
            raise BadInput(_NO_CAMERA.format(self._path))
        offered = _formats(self._fd)
        codes = [code for code in _KINDS if code in offered]
        if not prefer_encoded:
            codes.sort(key=lambda code: _KINDS[code] == "h264")
        if not codes:
            raise BadInput(f"{self._path} sends pictures in no way Doorward knows (H.264, MJPEG, YUYV); {_LIST}.")
        width, height, fps = wanted
        setting = bytearray(208)
        struct.pack_into("@IxxxxII4s", setting, 0, _CAPTURE, width, height, codes[0])
        fcntl.ioctl(self._fd, _S_FMT, setting)
        width, height, code, line_bytes = struct.unpack_from("@II4s4xI", setting, 8)
        padded = code == b"YUYV" and line_bytes not in (0, 2 * width)
        if code not in _KINDS or padded or not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
            raise BadInput(f"{self._path} cannot be set to pictures Doorward can use; {_LIST}.")
        return CameraMode(_KINDS[code], width, height, self._set_rate(fps))

    def _set_rate(self, fps: int) -> float:
        setting = bytearray(204)
        struct.pack_into("@IIIII", setting, 0, _CAPTURE, 0, 0, 1, fps)
        try:
            fcntl.ioctl(self._fd, _S_PARM, setting)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTTY):
                raise
            return float(fps)  # a camera with one rate of its own need not take the question
        seconds, pictures = struct.unpack_from("@II", setting, 12)
        rate = pictures / seconds if seconds else 0.0
        return rate if 1 <= rate <= 1000 else float(fps)

    def _start(self) -> None:
        asked = bytearray(struct.pack("@IIIII", _BUFFERS, _CAPTURE, _MMAP, 0, 0))
        fcntl.ioctl(self._fd, _REQBUFS, asked)
        for index in range(struct.unpack_from("@I", asked)[0]):
            buffer = bytearray(_BUFFER.pack(index, _CAPTURE, 0, 0, 0, 0, 0, 0, _MMAP, 0, 0))
            fcntl.ioctl(self._fd, _QUERYBUF, buffer)
            offset, length = _BUFFER.unpack(buffer)[-2:]
            self._maps.append(mmap.mmap(self._fd, length, prot=mmap.PROT_READ | mmap.PROT_WRITE, offset=offset))
            fcntl.ioctl(self._fd, _QBUF, buffer)
        fcntl.ioctl(self._fd, _STREAMON, struct.pack("@I", _CAPTURE))

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOTTY, errno.EISDIR):
                raise BadInput(_NO_CAMERA.format(self._path)) from error
            raise Unavailable(_WORDS.get(error.errno or 0, _OTHER).format(self._path, error.strerror)) from error


_LIST: Final = "'v4l2-ctl --list-devices' (package v4l-utils) says which cameras there are"
_OTHER: Final = "The camera {0} fails ({1}); pull its plug, put it back, and try another socket or cable."
_NO_CAMERA: Final = "{0} is no camera; " + _LIST + "."
_GONE: Final = "There is no camera {0}; see whether its plug sits; " + _LIST + "."
_WORDS: Final = {
    errno.ENOENT: _GONE,
    errno.ENODEV: _GONE,
    errno.ENXIO: _GONE,
    errno.EACCES: "The camera {0} may not be used by this user; put it into the group video "
    "('sudo usermod -aG video NAME') and log in anew.",
    errno.EBUSY: "The camera {0} is used by another program; end that one first.",
    errno.ENOSPC: "The USB bus has no room for the camera {0}; put it into another socket, or lower camera.width.",
}


def usb_cameras() -> Iterator[tuple[Path, str]]:
    """The device files of cameras on USB that send pictures we can use, lowest first, and what each calls itself.

    Unavailable at the end where none was found and one could not be looked at.
    """
    refused, found = None, False
    for path in sorted(_DEVICES.glob("video[0-9]*"), key=lambda path: (len(path.name), path.name)):
        try:
            fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except PermissionError:
            refused = refused or path
            continue
        except OSError:
            continue  # gone meanwhile, or another kind of device: named by its file it says why
        try:
            name, bus, usable = _capabilities(fd)
            known = usable and bus.startswith("usb-") and not _formats(fd).isdisjoint(_KINDS)
        except OSError:
            continue
        finally:
            os.close(fd)
        if known:
            found = True
            yield path, name
    if refused is not None and not found:
        raise Unavailable(_WORDS[errno.EACCES].format(refused))


def camera_file(address: str) -> str:
    """The device file of the camera that `address` names. Unavailable where it is not there."""
    if address != ADDRESS:
        if not os.path.exists(address):
            raise Unavailable(_GONE.format(address))
        return address
    for path, _ in usb_cameras():
        return str(path)
    raise Unavailable(f"No USB camera was found; see whether its plug sits; {_LIST}.")


def _capabilities(fd: int) -> tuple[str, str, bool]:
    """What the device calls itself, where it sits, and whether it is a camera that streams."""
    said = bytearray(104)
    fcntl.ioctl(fd, _QUERYCAP, said)
    all_caps, device_caps = struct.unpack_from("@II", said, 84)
    caps = device_caps if all_caps & _HAS_DEVICE_CAPS else all_caps
    name, bus = (bytes(part).partition(b"\0")[0].decode("utf-8", "replace") for part in (said[16:48], said[48:80]))
    return name, bus, bool(caps & _CAPTURE) and bool(caps & _CAN_STREAM)


def _formats(fd: int) -> set[bytes]:
    """The four letters of each way the camera can send pictures."""
    found = set()
    for index in range(_MOST_FORMATS):
        asked = bytearray(64)
        struct.pack_into("@II", asked, 0, index, _CAPTURE)
        try:
            fcntl.ioctl(fd, _ENUM_FMT, asked)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            break  # that was the last
        found.add(bytes(asked[44:48]))
    return found
