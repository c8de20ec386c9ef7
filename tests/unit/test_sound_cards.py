"""Which microphone is listened to where the owner names none; the kernel's trees are written out in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.adapters.sound_cards import first_microphone, microphone_of
from agent.core.errors import Unavailable

CAMERA, CARD = "video4linux/video{}", "sound/card{}"


class Machine:
    """Its /dev, /sys and /proc/asound/pcm, with no device yet."""

    def __init__(self, root: Path) -> None:
        self.dev, self.classes, self.cards = root / "dev", root / "sys" / "class", root / "pcm"
        self._devices = root / "sys" / "devices"
        self.dev.mkdir()
        self.cards.write_text("")

    def usb(self, socket: str, *names: str) -> None:
        """One device in this socket, with an interface for each camera or sound card."""
        device = self._devices / "usb1" / socket
        device.mkdir(parents=True)
        (device / "idVendor").write_text("046d\n")
        self._interfaces(device, names)

    def on_board(self, *names: str) -> None:
        """What is soldered on: beside each other as well, but not one device."""
        self._interfaces(self._devices / "platform" / "soc", names)

    def _interfaces(self, parent: Path, names: tuple[str, ...]) -> None:
        for number, name in enumerate(names):
            interface = parent / f"{parent.name}:1.{number}"
            entry = interface / name
            entry.mkdir(parents=True)
            (entry / "device").symlink_to(interface)
            (self.classes / name).parent.mkdir(parents=True, exist_ok=True)
            (self.classes / name).symlink_to(entry)
            (self.dev / entry.name).touch()

    def chosen(self, camera: str = "video0") -> str:
        """The microphone for the camera with this device file."""
        return microphone_of(self.dev / camera, self.cards, self.classes)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    found = Machine(tmp_path)
    found.cards.write_text(
        "00-00: bcm2835 Headphones : bcm2835 Headphones : playback 8\n"
        "01-00: USB Audio : USB Audio : playback 1 : capture 1\n"
        "02-00: USB Audio : USB Audio : playback 1\n02-01: USB Audio : USB Audio : capture 1\n"
        "02-02: USB Audio : USB Audio : capture 1\n"
    )
    return found


def test_the_cameras_own_microphone_goes_before_the_first(machine: Machine) -> None:
    machine.usb("1-1", CARD.format(1))
    machine.usb("1-2", CAMERA.format(0), CAMERA.format(1), CARD.format(2))
    assert first_microphone(machine.cards) == "plughw:1,0"
    assert machine.chosen() == "plughw:2,1"
    lasting = machine.dev / "v4l" / "by-id" / "usb-Maker_Camera-video-index0"
    lasting.parent.mkdir(parents=True)
    lasting.symlink_to("../../video0")
    assert machine.chosen("v4l/by-id/usb-Maker_Camera-video-index0") == "plughw:2,1"


def test_of_two_cameras_each_has_its_own(machine: Machine) -> None:
    machine.usb("1-1", CAMERA.format(0), CARD.format(1))
    machine.usb("1-1.4", CAMERA.format(2), CARD.format(2))
    assert [machine.chosen("video0"), machine.chosen("video2")] == ["plughw:1,0", "plughw:2,1"]


def test_a_camera_without_one_takes_the_first(machine: Machine) -> None:
    machine.usb("1-1", CAMERA.format(0))
    machine.usb("1-1.1", CARD.format(2))  # another device, on the camera's hub
    machine.usb("1-3", CARD.format(1))
    assert machine.chosen() == "plughw:1,0"


def test_a_camera_that_only_plays_sound_takes_the_first_that_records(machine: Machine) -> None:
    machine.usb("1-1", CAMERA.format(0), CARD.format(0))
    machine.usb("1-2", CARD.format(1))
    assert machine.chosen() == "plughw:1,0"


def test_what_is_not_on_usb_is_nobodys_own(machine: Machine) -> None:
    machine.on_board(CAMERA.format(0), CARD.format(2))
    machine.usb("1-1", CARD.format(1))
    assert machine.chosen() == "plughw:1,0"
    assert machine.chosen("video9") == "plughw:1,0", "the kernel says nothing of it"


def test_the_first_card_that_can_record_is_the_microphone(tmp_path: Path) -> None:
    cards = tmp_path / "pcm"
    cards.write_text(
        "00-00: MAI PCM i2s-hifi-0 : MAI PCM i2s-hifi-0 : playback 1\n"
        "02-00: USB Audio : USB Audio : capture 1\n03-01: USB Audio : USB Audio : playback 1 : capture 1\n"
    )
    assert first_microphone(cards) == "plughw:2,0"
    for nothing in ("", "00-00: HDMI : HDMI : playback 1\n"):
        cards.write_text(nothing)
        for choose in (lambda: first_microphone(cards), lambda: microphone_of(tmp_path / "video0", cards)):
            with pytest.raises(Unavailable, match="There is no microphone; see whether its plug sits"):
                choose()
    with pytest.raises(Unavailable, match="There is no microphone"):
        first_microphone(tmp_path / "none")
