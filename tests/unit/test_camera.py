"""A camera's source against a camera that stalls, hangs, fails or floods: gaps are told, and giving up has a sentence.

The peer is made up, the packets are x264's. The real Picamera2 is in tests/slow/test_camera.py.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from agent.adapters import camera_inbox, clock
from agent.adapters.camera import CameraSource, Patience
from agent.adapters.camera_device import PiCameraSettings, check_pi_camera, parse_pi_address
from agent.adapters.camera_inbox import CameraPacket, Failed, Inbox, Lost
from agent.adapters.patience import PatientSource, Surroundings
from agent.core.errors import BadInput, Stuck, Unavailable
from agent.core.frame import Away, EncodedPacket, Gap, LumaFrame, SourceItem, VideoFormat

FPS = 20
SETTINGS = PiCameraSettings(0, 64, 48, FPS, 100_000)
QUICK = Patience(first_s=0.6, next_s=0.4, answer_s=0.5)
NO_WAIT = Surroundings(sleep=lambda _: None, chance=lambda: 0.0)
Script = Callable[["FakeCamera"], None]


def encoded(count: int) -> list[tuple[bytes, bool]]:
    """So many access units with start codes, a key frame every ten, and whether each is one."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = SETTINGS.width, SETTINGS.height, "yuv420p"
    context.time_base, context.gop_size, context.max_b_frames = Fraction(1, FPS), 10, 0
    context.options = {"tune": "zerolatency", "preset": "ultrafast", "sc_threshold": "0"}
    packets = []
    for number in range(count):
        picture = np.full((SETTINGS.height, SETTINGS.width, 3), number % 250, np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = number
        packets += context.encode(frame)
    packets += context.encode(None)
    return [(bytes(packet), packet.is_keyframe) for packet in packets]


PACKETS = encoded(40)


class FakeCamera:
    """A camera that does what it is scripted to, in a thread of its own, as soon as it is opened."""

    def __init__(self, script: Script, inbox: Inbox) -> None:
        self.inbox = inbox
        self.closing: Callable[[], None] = lambda: None
        self.closed = self.abandoned = False
        threading.Thread(target=script, args=(self,), daemon=True).start()

    def send(self, numbers: range, *, luma: bool = False) -> None:
        """Packets, one each millisecond by their times."""
        for number in numbers:
            data, key = PACKETS[number]
            time_ns = clock.boot_ns() // 1000 * 1000
            if luma:
                self.inbox.put_luma(LumaFrame(time_ns, np.zeros((48, 64), np.uint8)))
            self.inbox.put_packet(CameraPacket(data, time_ns, key))
            time.sleep(0.001)

    def close(self) -> None:
        self.closing()
        self.closed = True

    def abandon(self) -> None:
        self.abandoned = True


class Bench:
    """A source whose camera does one script after the other, each opening the next; and what came of it."""

    def __init__(self, *scripts: Script | Exception) -> None:
        self.cameras: list[FakeCamera] = []
        self._scripts = list(scripts)
        self._over = False
        self.missed: list[str] = []
        self.source = PatientSource(self._begin, lambda: self._over, NO_WAIT)

    def _begin(self) -> CameraSource:
        return CameraSource(SETTINGS, lambda: self._over, patience=QUICK, open_camera=self._open)

    def _open(self, settings: PiCameraSettings, inbox: Inbox) -> FakeCamera:
        assert settings is SETTINGS
        script = self._scripts.pop(0)
        if isinstance(script, Exception):
            raise script
        self.cameras.append(FakeCamera(script, inbox))
        return self.cameras[-1]

    def until(self, packets: int) -> list[SourceItem]:
        """What came up to so many packets; then the source is stopped."""
        items = []
        for item in self.source:
            if isinstance(item, Away):
                self.missed.append(item.reason)
                continue
            items.append(item)
            self._over = sum(isinstance(each, EncodedPacket) for each in items) >= packets
        return items


def kinds(items: list[SourceItem]) -> list[type]:
    """The kinds of items, packets in a row counted as one."""
    found: list[type] = []
    for item in items:
        if not found or found[-1] is not type(item) or type(item) is not EncodedPacket:
            found.append(type(item))
    return found


def test_packets_come_as_they_are_with_their_format_and_times() -> None:
    bench = Bench(lambda camera: camera.send(range(40)))
    items = bench.until(40)
    assert isinstance(items[0], VideoFormat)
    assert (items[0].width, items[0].height) == (64, 48)
    packets = [item for item in items if isinstance(item, EncodedPacket)]
    assert [packet.key for packet in packets] == [key for _, key in PACKETS]
    assert all(a.pts_ns < b.pts_ns for a, b in itertools.pairwise(packets))
    assert kinds(items) == [VideoFormat, EncodedPacket]
    assert bench.cameras[0].closed


def test_brightness_follows_its_packet() -> None:
    items = Bench(lambda camera: camera.send(range(20), luma=True)).until(20)
    last = 0
    for item in items:
        if isinstance(item, EncodedPacket):
            last = item.pts_ns
        if isinstance(item, LumaFrame):
            assert item.time_ns <= last
    assert any(isinstance(item, LumaFrame) for item in items)


def test_a_stall_is_one_gap_and_the_camera_is_started_anew() -> None:
    bench = Bench(lambda camera: camera.send(range(10)), lambda camera: camera.send(range(10)))
    items = bench.until(20)
    assert kinds(items) == [VideoFormat, EncodedPacket, Gap, EncodedPacket]
    gap = next(item for item in items if isinstance(item, Gap))
    assert "camera has sent nothing" in gap.reason
    before, after = items[items.index(gap) - 1], items[items.index(gap) + 1]
    assert isinstance(before, EncodedPacket)
    assert isinstance(after, EncodedPacket)
    assert after.key
    assert (gap.start_ns, gap.end_ns) == (before.pts_ns + before.duration_ns, after.pts_ns)
    assert [camera.closed for camera in bench.cameras] == [True, True]


def test_an_encoder_that_stalls_while_pictures_come_is_told_apart() -> None:
    def stall(camera: FakeCamera) -> None:
        camera.send(range(3))
        for _ in range(60):
            camera.inbox.put_luma(LumaFrame(clock.boot_ns(), np.zeros((48, 64), np.uint8)))
            time.sleep(0.02)

    gap = next(item for item in Bench(stall, lambda camera: camera.send(range(3))).until(6) if isinstance(item, Gap))
    assert "encoder has sent nothing" in gap.reason


def test_a_camera_that_never_sends_or_went_away_is_tried_again_and_said() -> None:
    gone = Unavailable("There is no Pi camera number 0.")
    bench = Bench(lambda camera: None, gone, gone, lambda camera: camera.send(range(3)))
    assert kinds(bench.until(3)) == [VideoFormat, EncodedPacket]
    assert "camera has sent nothing for" in bench.missed[0]
    assert bench.missed[-1] == "There is no Pi camera number 0."


def test_a_camera_that_hangs_while_it_is_closed_ends_it_at_once() -> None:
    def hang(camera: FakeCamera) -> None:
        camera.closing = lambda: time.sleep(3)
        camera.send(range(5))

    bench = Bench(hang)
    with pytest.raises(Stuck, match="does not answer any more"):
        bench.until(99)
    assert bench.cameras[0].abandoned


def test_a_camera_that_hangs_while_it_is_opened_ends_it_at_once() -> None:
    source = CameraSource(SETTINGS, lambda: False, patience=QUICK, open_camera=lambda *_: time.sleep(3))  # type: ignore[arg-type]
    with pytest.raises(Stuck, match="does not answer any more"):
        next(iter(source))


def test_a_failure_in_the_cameras_thread_is_told() -> None:
    bench = Bench(lambda camera: camera.inbox.fail("A mask cannot be painted."), lambda camera: camera.send(range(3)))
    bench.until(3)
    assert bench.missed[0] == "A mask cannot be painted."


def test_a_lost_picture_is_a_gap_up_to_the_next_key_frame() -> None:
    def lose(camera: FakeCamera) -> None:
        camera.send(range(5))
        camera.send(range(6, 15))

    items = Bench(lose).until(10)
    assert kinds(items) == [VideoFormat, EncodedPacket, Gap, EncodedPacket]
    packets = [item for item in items if isinstance(item, EncodedPacket)]
    assert [packet.key for packet in packets] == [True, *[False] * 4, True, *[False] * 4]
    gap = next(item for item in items if isinstance(item, Gap))
    assert gap.reason == "the camera's encoder lost a picture"


def test_bytes_that_are_no_video_are_a_gap_and_not_an_error() -> None:
    def garble(camera: FakeCamera) -> None:
        camera.send(range(3))
        camera.inbox.put_packet(CameraPacket(b"nonsense", clock.boot_ns(), True))
        camera.send(range(10, 14))

    assert kinds(Bench(garble).until(7)) == [VideoFormat, EncodedPacket, Gap, EncodedPacket]


def test_a_recorder_too_slow_loses_whole_groups_and_brightness_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_inbox, "MAX_PACKETS", 12)
    inbox = Inbox()
    for number in range(40):
        inbox.put_luma(LumaFrame(number, np.zeros((2, 2), np.uint8)))
        inbox.put_packet(CameraPacket(PACKETS[number][0], number, PACKETS[number][1]))
    taken = [item for item in iter(lambda: inbox.take(0), None)]
    assert sum(isinstance(item, LumaFrame) for item in taken) == camera_inbox.MAX_LUMA
    assert [item.time_ns for item in taken if isinstance(item, CameraPacket)] == list(range(12))
    assert isinstance(taken[-1], Lost)
    for number in range(8, 12):
        inbox.put_packet(CameraPacket(PACKETS[number][0], 100 + number, PACKETS[number][1]))
    assert [item.time_ns for item in iter(lambda: inbox.take(0), None)] == [110, 111]


def test_an_inbox_full_of_large_packets_takes_no_more() -> None:
    inbox = Inbox()
    for number in range(100):
        inbox.put_packet(CameraPacket(bytes(1024 * 1024), number, key=True))
    taken = [item for item in iter(lambda: inbox.take(0), None)]
    assert sum(len(item.data) for item in taken if isinstance(item, CameraPacket)) <= camera_inbox.MAX_BYTES
    inbox.fail("over")
    assert inbox.take(0) == Failed("over")


@pytest.mark.parametrize(
    ("url", "number"), [("pi", 0), ("pi:0", 0), ("pi:1", 1), ("rtsp://pi/", None), ("/dev/video0", None), ("", None)]
)
def test_what_names_a_pi_camera(url: str, number: int | None) -> None:
    assert parse_pi_address(url) == number


@pytest.mark.parametrize("url", ["pi:", "pi:x", "pi:-1", "pi:1000", "pi:١"])
def test_what_names_none_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match='write "pi"'):
        parse_pi_address(url)


def test_without_picamera2_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "picamera2", None)
    with pytest.raises(Unavailable, match=r"sudo apt install python3-picamera2.*sudo scripts/install"):
        check_pi_camera(0)


def test_a_picamera2_for_another_numpy_is_a_sentence_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raspberry Pi OS 12 builds simplejpeg for numpy 1; beside numpy 2 its import ends so (picamera2 #1211)."""
    (tmp_path / "picamera2.py").write_text("raise ValueError('numpy.dtype size changed')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Unavailable, match=r"numpy.dtype size changed.*sudo scripts/install"):
        check_pi_camera(0)
