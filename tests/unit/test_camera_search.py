"""Which cameras are offered, and by which names. The devices, and what the kernel says of them, are made up."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent import camera_search
from agent.camera_search import FoundCamera, search
from agent.core.errors import Unavailable

WEBCAM = "/base/axi/pcie@120000/rp1/usb@300000-1:1.0-046d:082d"


def libcamera(monkeypatch: pytest.MonkeyPatch, *cameras: dict[str, object]) -> None:
    found = SimpleNamespace(Picamera2=SimpleNamespace(global_camera_info=lambda: list(cameras)))
    monkeypatch.setitem(sys.modules, "picamera2", found)


def webcams(monkeypatch: pytest.MonkeyPatch, *found: tuple[Path, str], refused: str = "") -> None:
    def usb_cameras() -> Iterator[tuple[Path, str]]:
        yield from found
        if refused:
            raise Unavailable(refused)

    monkeypatch.setattr(camera_search, "usb_cameras", usb_cameras)


@pytest.fixture
def board(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    return path


def test_cameras_on_ribbons_and_one_on_usb(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    libcamera(
        monkeypatch,
        {"Model": "imx708", "Id": "/base/axi/pcie@120000/rp1/i2c@88000/imx708@1a", "Num": 0},
        {"Model": "HD Webcam", "Id": WEBCAM, "Num": 1},
        {"Id": "/base/axi/pcie@120000/rp1/i2c@80000/ov5647@36", "Num": 2},
    )
    webcams(monkeypatch, (Path("/dev/video8"), "HD Webcam"))
    assert search(board).cameras == (
        FoundCamera("pi", "the Raspberry Pi's camera (imx708)"),
        FoundCamera("pi:2", "the Raspberry Pi's camera"),
        FoundCamera("usb", "USB camera HD Webcam"),
    )


def test_several_on_usb_by_names_that_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "video0", tmp_path / "video2"
    names = tmp_path / "by-id"
    names.mkdir()
    (names / "usb-Maker_Eye-video-index0").symlink_to("../video2")
    webcams(monkeypatch, (first, "Old"), (second, "Eye"))
    found = search(tmp_path / "none", names)
    assert [camera.url for camera in found.cameras] == [str(first), str(names / "usb-Maker_Eye-video-index0")]


def test_what_keeps_from_looking_is_said(board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    webcams(monkeypatch, refused="not yours")
    missing, refused = search(board).hindrances
    assert "apt install python3-picamera2" in missing
    assert refused == "not yours"
    assert search(tmp_path / "a desk").hindrances == ("not yours",), "a desk has no ribbon"


def test_this_machine_can_be_searched() -> None:
    found = search()
    assert all(camera.url and camera.name for camera in found.cameras)
