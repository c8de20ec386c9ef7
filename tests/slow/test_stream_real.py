"""Recording from a camera on the network: GStreamer's RTSP server on loopback, killed, stalled, locked and absent."""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.adapters.stream import StreamSource
from agent.core import h264
from agent.core.frame import EncodedPacket, Gap, LumaFrame, VideoFormat
from agent.setup import open_state
from agent.store.state import StateDirectory
from tests.films import FilmKind, demuxed, make_film
from tests.slow.conftest import doorward, free_port, needed, wait_for_port
from tests.slow.doorbells import Neighbourhood, until

pytestmark = pytest.mark.slow

SERVER = Path(__file__).parents[1] / "rtsp_server.py"
PYTHON = "/usr/bin/python3"  # Debian's, which has the bindings
BINDINGS = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


@pytest.fixture(scope="module")
def gstreamer() -> None:
    """The server's parts; the tests are skipped where they are absent, and fail in CI."""
    there = Path(PYTHON).exists() and subprocess.run([PYTHON, "-c", BINDINGS], capture_output=True).returncode == 0
    if not there and os.environ.get("CI"):
        pytest.fail("gir1.2-gst-rtsp-server-1.0 is not installed, but CI must have it")
    if not there:
        pytest.skip("gir1.2-gst-rtsp-server-1.0 is not installed")


class Camera:
    """A camera on the network that can be switched off and on."""

    def __init__(self, pipeline: str, *credentials: str) -> None:
        self.port = free_port()
        self.url = f"rtsp://127.0.0.1:{self.port}/door"
        self._arguments = [pipeline, *credentials]
        self.process: subprocess.Popen[bytes] | None = None

    def on(self) -> None:
        self.process = subprocess.Popen([PYTHON, str(SERVER), str(self.port), *self._arguments])
        wait_for_port(self.port, self.process)

    def off(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None


def of_film(film: Path) -> str:
    """Each client is shown the film from its beginning, at the pace of life."""
    return f"filesrc location={film} ! qtdemux ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1"


@pytest.fixture
def cameras(gstreamer: None) -> Iterator[list[Camera]]:
    """Cameras put in here are switched off in the end."""
    found: list[Camera] = []
    yield found
    for camera in found:
        camera.off()


@pytest.fixture(scope="module")
def visit(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The doorstep from shortly before the first visitor comes."""
    film = tmp_path_factory.mktemp("visit") / "visit.mp4"
    command = [needed("ffmpeg"), "-v", "error", "-ss", "6", "-i", str(scene), "-c", "copy", str(film)]
    subprocess.run(command, check=True)
    return film


def household(root: Path, url: str) -> Neighbourhood:
    """A paired doorbell whose camera is at `url`."""
    home = Neighbourhood(root, "", root / "none.mp4")
    text = re.sub(r"\[camera\]\n.*\n.*\n", f'[camera]\nurl = "{url}"\n', home.config.read_text())
    home.config.write_text(text)
    return home


def test_a_camera_is_recorded_across_its_losses(tmp_path: Path, cameras: list[Camera], visit: Path) -> None:
    camera = Camera(of_film(visit), "owner", "s3cret")
    cameras.append(camera)
    camera.on()
    home = household(tmp_path, camera.url.replace("//", "//owner:s3cret@"))
    log = home.root / "doorbell.log"
    with home.running():
        home.pair()
        until(lambda: home.command("clips"), lambda clips: len(clips) > 0, 40)
        time.sleep(2)
        camera.off()
        time.sleep(1)
        camera.on()
        until(lambda: log.read_text(), lambda text: "no video from" in text)
        back = datetime.now(UTC)
        until(
            lambda: home.command("clips"),
            lambda clips: any(datetime.fromisoformat(c["end"]) > back + timedelta(seconds=2) for c in clips),
            40,
        )
    text = log.read_text()
    assert re.findall(r"no video from .*", text), text
    assert "s3cret" not in text
    assert "Traceback" not in text
    checked = doorward("--config", home.config, "--state", home.state, "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_packets_arrive_untouched_and_on_time(tmp_path: Path, cameras: list[Camera]) -> None:
    film = make_film(tmp_path / "film.mp4", FilmKind(size=(160, 120), pictures=75))
    camera = Camera(of_film(film))
    cameras.append(camera)
    camera.on()
    packets: list[EncodedPacket] = []
    begun = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    late = []
    lumas = 0
    for item in StreamSource(camera.url, lambda: len(packets) >= 70):
        if isinstance(item, EncodedPacket):
            packets.append(item)
            late.append(time.clock_gettime_ns(time.CLOCK_BOOTTIME) - item.pts_ns)
        lumas += isinstance(item, LumaFrame)
        assert not isinstance(item, Gap)
    assert packets[0].pts_ns - begun < 2_000_000_000
    assert all(abs(ns) < 1_500_000_000 for ns in late)
    assert 22 <= lumas <= 32
    extra = (h264.SPS, h264.PPS, 6, 9)
    ours = [[unit for unit in h264.split_lengths(p.data) if h264.unit_type(unit) not in extra] for p in packets]
    theirs = [[unit for unit in h264.split_lengths(p.data) if h264.unit_type(unit) not in extra] for p in demuxed(film)]
    assert ours == theirs[: len(ours)]


def test_what_is_not_h264_is_encoded_once(cameras: list[Camera]) -> None:
    source = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=160,height=120,framerate=25/1"
    camera = Camera(f"{source} ! vp8enc deadline=1 keyframe-max-dist=25 ! rtpvp8pay name=pay0 pt=96")
    cameras.append(camera)
    camera.on()
    packets: list[EncodedPacket] = []
    formats = []
    for item in StreamSource(camera.url, lambda: len(packets) >= 60):
        if isinstance(item, EncodedPacket):
            packets.append(item)
        elif isinstance(item, VideoFormat):
            formats.append(item)
    assert [(f.width, f.height) for f in formats] == [(160, 120)]
    assert sum(p.key for p in packets) == 3
    assert h264.unit_type(h264.split_lengths(packets[0].data)[-1]) == h264.SLICE_IDR


def test_a_camera_that_stalls_is_lost_after_five_seconds_and_found_again(tmp_path: Path, cameras: list[Camera]) -> None:
    film = make_film(tmp_path / "film.mp4", FilmKind(size=(160, 120), pictures=500))
    camera = Camera(of_film(film))
    cameras.append(camera)
    camera.on()
    assert camera.process is not None
    packets: list[EncodedPacket] = []
    gaps: list[Gap] = []
    stalled_at = 0.0
    for item in StreamSource(camera.url, lambda: bool(gaps) and len(packets) >= 60):
        if isinstance(item, Gap):
            gaps.append(item)
            assert time.monotonic() - stalled_at < 12
        if isinstance(item, EncodedPacket):
            packets.append(item)
            if len(packets) == 30:
                stalled_at = time.monotonic()
                camera.process.send_signal(signal.SIGSTOP)
                subprocess.Popen(["sh", "-c", f"sleep 6.5; kill -CONT {camera.process.pid}"])
    assert [gap.reason for gap in gaps] == ["the camera sent nothing for 5 seconds"]
    assert gaps[0].end_ns - gaps[0].start_ns > 5_000_000_000
    assert all(a.dts_ns < b.dts_ns for a, b in itertools.pairwise(packets))


def test_a_camera_that_cannot_be_used_is_told_and_waited_for(tmp_path: Path, cameras: list[Camera]) -> None:
    camera = Camera("videotestsrc is-live=true ! vp8enc ! rtpvp8pay name=pay0 pt=96", "owner", "right")
    cameras.append(camera)
    camera.on()
    audio = Camera("audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay0 pt=8")
    cameras.append(audio)
    audio.on()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        told = {
            camera.url.replace("//", "//owner:wr0ng@"): "refuses this user and password",
            f"rtsp://127.0.0.1:{free_port()}/door": "cannot be reached (Connection refused)",
            f"rtsp://owner:wr0ng@127.0.0.1:{silent.getsockname()[1]}/door": "does not answer",
            audio.url.replace("/door", "/garden"): "has nothing at this path",
            audio.url: "no video",
        }
        running = [(*waiting_for(tmp_path / str(n), url), words) for n, (url, words) in enumerate(told.items())]
        try:
            for process, log, words in running:
                until(lambda log=log: " ".join(log.read_text().split()), lambda said, words=words: words in said)
                assert process.poll() is None, "it goes on: the camera may come, and the page is there"
        finally:
            for process, _, _ in running:
                process.terminate()
        for process, log, _ in running:
            assert process.wait(20) == 0, log.read_text()
            assert "wr0ng" not in log.read_text()
            assert "Traceback" not in log.read_text()


def waiting_for(root: Path, url: str) -> tuple[subprocess.Popen[bytes], Path]:
    """A doorbell that would record from `url`, and its log."""
    opened = open_state(StateDirectory(root, create=True), time.time_ns(), os.urandom, make_recovery=True)
    opened.db.close()
    config, log = root / "doorward.toml", root / "log"
    config.write_text(f'[camera]\nurl = "{url}"\n[http]\nport = {free_port()}\n')
    command = [sys.executable, "-m", "agent", "--config", str(config), "--state", str(root), "run"]
    with log.open("wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=file), log
