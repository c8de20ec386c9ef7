"""Which cameras this machine has: its own, and those on USB, each by what `camera.url` names it.

Looks and opens nothing for pictures. A camera on the network is not looked for: its address has a password in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.adapters.camera_device import ADDRESS as PI
from agent.adapters.camera_device import pi_cameras
from agent.adapters.v4l2 import ADDRESS as USB
from agent.adapters.v4l2 import usb_cameras
from agent.core.errors import Unavailable

_BOARD = Path("/proc/device-tree/model")
_LASTING_NAMES = Path("/dev/v4l/by-id")


@dataclass(frozen=True, slots=True)
class FoundCamera:
    """`url`: for `camera.url`; `name`: for people."""

    url: str
    name: str


@dataclass(frozen=True, slots=True)
class Search:
    """What was found, and a sentence for each kind of camera that could not be looked for."""

    cameras: tuple[FoundCamera, ...]
    hindrances: tuple[str, ...]


def search(board: Path = _BOARD, lasting_names: Path = _LASTING_NAMES) -> Search:
    """Takes some seconds on a Pi."""
    cameras: list[FoundCamera] = []
    hindrances: list[str] = []
    try:
        for number, sensor in pi_cameras():
            name = f"the Raspberry Pi's camera ({sensor})" if sensor else "the Raspberry Pi's camera"
            cameras.append(FoundCamera(f"{PI}:{number}" if number else PI, name))
    except Unavailable as error:
        if _is_pi(board):
            hindrances.append(str(error))
    try:
        webcams = list(usb_cameras())
    except Unavailable as error:
        hindrances.append(str(error))
    else:
        for path, name in webcams:
            url = USB if len(webcams) == 1 else _lasting(path, lasting_names)
            cameras.append(FoundCamera(url, f"USB camera {name}".rstrip()))
    return Search(tuple(cameras), tuple(hindrances))


def _is_pi(board: Path) -> bool:
    return board.exists() and board.read_bytes().startswith(b"Raspberry Pi")


def _lasting(device: Path, names: Path) -> str:
    """A name that stays the camera's when it is found in another order at the next start."""
    for name in sorted(names.glob("*")) if names.is_dir() else []:
        if name.resolve() == device.resolve():
            return str(name)
    return str(device)
