"""Recording from USB cameras: `doorward run`, unmodified, on a kernel that has them (scripts/camera_machine).

The stories in tests/usb_camera/ are told inside the machine; what they leave behind is judged here.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import re
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from agent.adapters.microphone import Microphone
from agent.core import h264
from agent.core.frame import Mute
from tests.clapper import beeps
from tests.slow.conftest import needed
from tests.slow.doorbells import until
from tests.usb_camera.usb_story import PICTURES, TINTS
from tests.usb_camera.webcam import HEIGHT, WIDTH

pytestmark = pytest.mark.slow

MACHINE = Path(__file__).parents[2] / "scripts" / "camera_machine"
PYTHON = "/usr/local/doorward/bin/python"
SIZE = (320, 180)  # what the virtual camera has that comes nearest


def without_other_cache() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}


def told(story: str, factory: pytest.TempPathFactory) -> Told:
    """The story told in the machine, one at a time and once for all workers; where it cannot be, skipped but in CI."""
    shared = factory.getbasetemp().parent if os.environ.get("PYTEST_XDIST_WORKER") else factory.getbasetemp()
    folder = shared / story
    with (shared / "camera_machine.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "check.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            tell(story, folder)
    return Told(folder)


def tell(story: str, folder: Path) -> None:
    """The machine is made if need be, boots, and the story is told."""
    made = subprocess.run([MACHINE], capture_output=True, text=True, env=without_other_cache())
    if made.returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(made.stderr.strip().splitlines()[-1])
    command = [MACHINE, "run", folder, PYTHON, "-m", f"tests.usb_camera.{story}", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=without_other_cache())
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:] + Told(folder).log[-4000:]


class Told:
    """What a story left behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def log(self) -> str:
        return (self.folder / "doorbell.log").read_text()

    @property
    def clips(self) -> list[dict[str, Any]]:
        """The oldest first."""
        found: list[dict[str, Any]] = json.loads((self.folder / "clips.json").read_text())
        return sorted(found, key=lambda clip: str(clip["start"]))

    def film(self, clip: dict[str, Any], size: tuple[int, int] = SIZE) -> list[av.VideoFrame]:
        """The pictures of a clip as its owner sees them."""
        with av.open(str(self.folder / f"{clip['id']}.mp4")) as container:
            track = container.streams.video[0]
            assert (track.codec_context.name, track.width, track.height) == ("h264", *size)
            return list(container.decode(track))

    def taken(self) -> np.ndarray:
        """When each picture of all films was taken, in seconds; where two clips have the same one, once."""
        found: set[float] = set()
        for clip in self.clips:
            start_s = datetime.fromisoformat(clip["start"]).timestamp()
            found |= {round(start_s + frame.time, 2) for frame in self.film(clip)}
        return np.array(sorted(found))

    def is_whole(self) -> None:
        assert json.loads((self.folder / "check.json").read_text())["ok"] is True
        assert "Traceback" not in self.log

    def flashes(self, clip: dict[str, Any]) -> list[tuple[float, float]]:
        """The last picture before each that turns white, but for its mask, and that one, in seconds of the film."""
        white = [(frame.time, frame.to_ndarray(format="gray")[:, 90:].min() > 180) for frame in self.film(clip)]
        return [(before[0], now[0]) for before, now in itertools.pairwise(white) if now[1] and not before[1]]


@pytest.fixture(scope="module")
def vivid(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return told("vivid_story", tmp_path_factory)


@pytest.fixture(scope="module")
def webcams(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return told("usb_story", tmp_path_factory)


def test_it_records_and_lives_through_everything(vivid: Told) -> None:
    vivid.is_whole()
    assert len(vivid.clips) >= 2
    for clip in vivid.clips:
        frames = vivid.film(clip)
        # How many there are in a clip, a busy machine decides: what it starves of pictures is cut at the gap.
        assert len(frames) > 5
        assert np.diff([frame.time for frame in frames]).min() > 0
        seen = [frame.to_ndarray(format="gray").astype(int)[:, 160:] for frame in frames]
        assert max(np.abs(a - b).max() for a, b in zip(seen, seen[5:], strict=False)) > 25, "the bars move"
    assert sum(len(vivid.film(clip)) for clip in vivid.clips) > 60


def test_what_is_missing_is_said_once_each_and_in_words(vivid: Told) -> None:
    said = [
        found.strip() for found in re.findall("no camera: ([^;\n]*)", re.sub(r"\d+ seconds", "… seconds", vivid.log))
    ]
    assert said == [
        "There is no camera /dev/video0",
        "The USB camera has sent no picture for … seconds",
        "There is no camera /dev/video0",
        "The camera /dev/video0 is used by another program",
    ]


def test_each_loss_is_a_gap_and_a_pause_in_the_films(vivid: Told) -> None:
    gaps = [line for line in vivid.log.splitlines() if "no video from" in line]
    # A busy machine may starve the camera, too; that is told as well.
    starved = sum("gave no pictures for a while" in line for line in gaps)
    lost = [line for line in gaps if "gave no pictures" not in line]
    assert [("sent no picture" in line, "no camera" in line) for line in lost] == [(True, False), (False, True)]
    pauses = np.diff(vivid.taken())
    assert sorted(pauses)[-2] > 1, "silent, and pulled out"
    assert 5 < pauses.max() < 30, "as long as it was"
    # A busy machine drops pictures before they are touched (docs/design/camera.md), more of them the slower it is.
    assert 0.07 < np.median(pauses) < 0.7, "ten pictures a second, and fewer on a busy machine"
    assert (pauses > 1.2).sum() <= 2 + starved, "and nothing is missing that is not told of"


def test_masks_are_black_in_every_picture(vivid: Told) -> None:
    for clip in vivid.clips:
        for frame in vivid.film(clip):
            grey = frame.to_ndarray(format="gray")
            assert grey[:88, :78].max() < 28
            assert grey[:, 90:].max() > 100


def test_webcams_of_each_kind_are_found_on_their_bus_and_filmed(webcams: Told) -> None:
    """MJPEG, H.264 and YUYV, plugged in one after the other, by the kernel's own driver for USB cameras."""
    webcams.is_whole()
    assert len(webcams.clips) == len(TINTS)
    for clip, (blue, green, red) in zip(webcams.clips, TINTS.values(), strict=True):
        frames = webcams.film(clip, (WIDTH, HEIGHT))
        assert len(frames) > 20
        assert np.median(np.diff([frame.time for frame in frames])) == pytest.approx(0.2, abs=0.03)
        wall = frames[-1].to_ndarray(format="rgb24")[:70].mean((0, 1))
        assert np.abs(wall - (red, green, blue)).max() < 30, "the wall has its colour"
        seen = [frame.to_ndarray(format="gray").astype(int) for frame in frames]
        assert max(np.abs(a - b).max() for a, b in itertools.pairwise(seen)) > 20, "the box walks"
    assert webcams.log.count("no video from") == len(TINTS) - 1


def test_a_webcams_own_h264_goes_into_the_film_untouched(webcams: Told) -> None:
    sent = h264.split_annexb((webcams.folder / "sent.h264").read_bytes())
    slices = [unit for unit in sent if h264.unit_type(unit) in (1, h264.SLICE_IDR)]
    films = [(webcams.folder / f"{clip['id']}.mp4").read_bytes() for clip in webcams.clips]
    assert len(slices) >= PICTURES
    assert [all(unit in film for unit in slices) for film in films] == [False, True, False]


def test_a_microphones_sound_stays_with_the_pictures(vivid: Told) -> None:
    """Lamp and beep go on at once, so that the beep falls between the last dark picture and the first bright one."""
    apart: list[float] = []
    for clip in vivid.clips:
        heard = beeps(vivid.folder / f"{clip['id']}.mp4")
        for dark, bright in vivid.flashes(clip):
            apart.append(min((max(dark - beep, beep - bright, 0) for beep in heard), default=9))
    assert len(apart) >= 3
    assert np.median(apart) < 0.1, apart
    assert "no sound" not in vivid.log


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        ("nosuch", "There is no microphone nosuch; see whether its plug sits"),
        ("plughw:77,0", "There is no microphone plughw:77,0; see whether its plug sits"),
        ("null", "The microphone sends faster than can be heard"),
    ],
)
def test_what_is_wrong_with_a_real_microphone_is_said(device: str, sentence: str) -> None:
    over = False
    microphone = Microphone(lambda: device, lambda: over, program=needed("arecord"))
    microphone.camera_there.set()
    microphone.start()
    try:
        told = until(lambda: [item.reason for item in microphone.items() if isinstance(item, Mute)], bool)
    finally:
        over = True
    assert told[0].startswith(sentence)
