"""The kernel's virtual camera (vivid): its controls by name, plugged in and pulled out. For scripts/camera_machine."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

DEVICE = "/dev/video0"
_DRIVER = Path("/sys/bus/platform/drivers/vivid")
_QUERYCTRL = 0xC0445624
_S_CTRL = 0xC008561C
_NEXT = 0x80000000
_known: dict[str, int] = {}  # looking them up takes longer than a picture


def plug(*, into: bool) -> None:
    """Put the camera in, or pull it out whatever it is doing."""
    (_DRIVER / ("bind" if into else "unbind")).write_text("vivid.0")


def tune(**values: int) -> None:
    """Set controls: their names in small letters, with underscores."""
    fd = os.open(DEVICE, os.O_RDWR)
    try:
        if not _known:
            _known.update(_controls(fd))
        for name, value in values.items():
            fcntl.ioctl(fd, _S_CTRL, struct.pack("@Ii", _known[name], value))
    finally:
        os.close(fd)


def _controls(fd: int) -> dict[str, int]:
    found: dict[str, int] = {}
    number = 0
    while True:
        asked = bytearray(68)
        struct.pack_into("@I", asked, 0, number | _NEXT)
        try:
            fcntl.ioctl(fd, _QUERYCTRL, asked)
        except OSError:
            return found
        (number,) = struct.unpack_from("@I", asked)
        name = asked[8:40].rstrip(b"\0").decode()
        found[name.lower().replace(" ", "_")] = number
