"""Which of this machine's microphones is listened to where the owner names none: the camera's own, or the first.

Reads what the kernel lists and opens nothing. A camera and a sound card are one device where their interfaces belong to
one USB device. Source: Documentation/ABI/testing/sysfs-bus-usb of Linux; /proc/asound/pcm (ALSA).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from agent.core.errors import Unavailable

LIST: Final = "'arecord -l' says which microphones there are"
_CARDS: Final = Path("/proc/asound/pcm")
_CLASSES: Final = Path("/sys/class")


def first_microphone(cards: Path = _CARDS) -> str:
    """ALSA's name of the first sound card that can record. Unavailable where there is none."""
    return _name(_microphones(cards)[0])


def microphone_of(camera: Path, cards: Path = _CARDS, classes: Path = _CLASSES) -> str:
    """The microphone in the USB camera with this device file; where it has none, the first there is. Unavailable where
    there is none at all."""
    found = _microphones(cards)
    device = _usb_device(classes / "video4linux" / camera.resolve().name)
    own = [one for one in found if device is not None and _usb_device(classes / "sound" / f"card{one[0]}") == device]
    return _name((own or found)[0])


def _microphones(cards: Path) -> list[tuple[int, int]]:
    """Card and device of each that can record, in the kernel's order; never none."""
    try:
        lines = cards.read_text().splitlines()
    except OSError:
        lines = []  # without a single sound card there is no list
    found = [re.match(r"(\d+)-(\d+): .*: capture \d", line) for line in lines]
    microphones = [(int(one[1]), int(one[2])) for one in found if one]
    if not microphones:
        raise Unavailable(f"There is no microphone; see whether its plug sits; {LIST}.")
    return microphones


def _name(microphone: tuple[int, int]) -> str:
    return f"plughw:{microphone[0]},{microphone[1]}"


def _usb_device(entry: Path) -> Path | None:
    """The USB device one of whose interfaces this is; None for what is not on USB or not there."""
    device = (entry / "device").resolve().parent
    return device if (device / "idVendor").is_file() else None
