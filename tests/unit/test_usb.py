"""A USB camera's source: what each kind sends is recorded with its times, and what goes wrong has a sentence.

The peer is made up, its pictures are real ones (JPEG, YUYV, x264's). The kernel's own cameras are
filmed in tests/slow/test_usb_camera.py.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from agent.adapters import clock
from agent.adapters.patience import PatientSource, Surroundings
from agent.adapters.usb import Camera, UsbPatience, UsbSettings, UsbSource
from agent.adapters.v4l2 import CameraMode, RawPicture, Webcam, parse_usb_address
from agent.config import Camera as CameraConfig
from agent.config import Config
from agent.core import h264
from agent.core.errors import BadInput, Unavailable
from agent.core.frame import Away, EncodedPacket, Gap, LumaFrame, SourceItem, VideoFormat
from agent.core.masks import Mask
from agent.live import live_source

FPS = 20
SIZE = (128, 96)
SETTINGS = UsbSettings("usb", *SIZE, FPS, 1000)
QUICK = UsbPatience(silent_s=0.6, useless_s=0.8)
NO_WAIT = Surroundings(sleep=lambda _: None, chance=lambda: 0.0)
LEFT = Mask(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
STEP_NS = 1_000_000_000 // FPS

Script = Iterable[bytes | None]
"""What the camera sends, picture by picture; None: nothing for as long as is waited."""


def scene(number: int) -> np.ndarray:
    """Left half dark, right half bright and red; every picture a little brighter (BGR)."""
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    picture[:, : SIZE[0] // 2] = 60 + number % 20
    picture[:, SIZE[0] // 2 :] = (60, 60, 220)
    return picture


def jpeg(number: int) -> bytes:
    return cv2.imencode(".jpg", scene(number), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def yuyv(number: int) -> bytes:
    frame = av.VideoFrame.from_ndarray(scene(number), format="bgr24").reformat(format="yuyv422")
    return bytes(frame.planes[0])


def annexb(count: int) -> list[bytes]:
    """Access units of H.264 with start codes, a key frame every ten."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height = SIZE
    context.pix_fmt, context.time_base, context.gop_size, context.max_b_frames = "yuv420p", Fraction(1, FPS), 10, 0
    context.options = {"tune": "zerolatency", "preset": "ultrafast", "sc_threshold": "0"}
    packets = []
    for number in range(count):
        frame = av.VideoFrame.from_ndarray(scene(number), format="bgr24").reformat(format="yuv420p")
        frame.pts = number
        packets += context.encode(frame)
    return [bytes(packet) for packet in packets]


def sent(kind: str, count: int) -> list[bytes]:
    """What a camera of that kind sends of the scene."""
    if kind == "h264":
        return annexb(count)
    return [{"mjpeg": jpeg, "yuyv422": yuyv}[kind](number) for number in range(count)]


class FakeCamera:
    """A camera that sends its script, one picture each twentieth of a second by its own times, and then nothing."""

    def __init__(self, kind: str, script: Script, begin_ns: int, ending: Exception | None = None) -> None:
        self.mode = CameraMode(kind, *SIZE, float(FPS))
        self.taken_ns = begin_ns
        self.closed = False
        self._script = iter(script)
        self._ending = ending

    def read(self, timeout_s: float) -> RawPicture | None:
        data = next(self._script, None)
        self.taken_ns += STEP_NS
        if data is not None:
            return RawPicture(data, self.taken_ns)
        if self._ending is not None:
            time.sleep(0.6)  # as long as what it sent was to last
            raise self._ending
        time.sleep(timeout_s / 5)
        return None

    def close(self) -> None:
        self.closed = True


def filmed(
    camera: Camera,
    packets: int,
    *,
    masks: tuple[Mask, ...] = (),
    upside_down: bool = False,
    patience: UsbPatience = QUICK,
) -> list[SourceItem]:
    """The items of one start, up to so many packets."""
    settings = UsbSettings("usb", *SIZE, FPS, 1000, masks, upside_down)
    items: list[SourceItem] = []
    source = iter(UsbSource(settings, lambda: False, patience=patience, open_camera=lambda _: camera))
    for item in source:
        items.append(item)
        if sum(isinstance(each, EncodedPacket) for each in items) >= packets:
            break
    source.close()  # type: ignore[attr-defined]
    return items


def packets_of(items: list[SourceItem]) -> list[EncodedPacket]:
    return [item for item in items if isinstance(item, EncodedPacket)]


def decoded(items: list[SourceItem]) -> list[np.ndarray]:
    """The pictures a player makes of the items, RGB."""
    context = av.CodecContext.create("h264", "r")
    pictures = []
    for item in items:
        if isinstance(item, VideoFormat):
            context.extradata = item.parameter_sets
        if isinstance(item, EncodedPacket):
            pictures += context.decode(av.Packet(item.data))
    pictures += context.decode(None)
    return [picture.to_ndarray(format="rgb24") for picture in pictures]


@pytest.mark.parametrize(("kind", "picture"), [("mjpeg", jpeg), ("yuyv422", yuyv)])
def test_pictures_are_encoded_with_the_cameras_times(kind: str, picture: Callable[[int], bytes]) -> None:
    begin_ns = clock.boot_ns() // 1000 * 1000
    camera = FakeCamera(kind, map(picture, range(60)), begin_ns)
    items = filmed(camera, 50)
    assert camera.closed
    assert isinstance(items[0], VideoFormat)
    assert (items[0].width, items[0].height) == SIZE
    packets = packets_of(items)
    assert [packet.pts_ns for packet in packets] == [begin_ns + n * STEP_NS for n in range(1, 51)]
    keys = [packet.pts_ns for packet in packets if packet.key]
    assert np.diff(keys).tolist() == [1_000_000_000] * 2
    for number, shown in enumerate(decoded(items)):
        left, right = shown[:, 4:58].mean((0, 1)), shown[:, 70:-4].mean((0, 1))
        assert np.abs(left - (60 + number % 20)).max() < 8, "as dark as it was"
        assert np.abs(right - (220, 60, 60)).max() < 14, "and red where it was red"
    lumas = [item for item in items if isinstance(item, LumaFrame)]
    assert 20 < len(lumas) <= 27, "ten a second"
    assert lumas[0].picture is not None


def test_a_cameras_own_h264_is_passed_on_untouched() -> None:
    units = annexb(30)
    items = filmed(FakeCamera("h264", units, clock.boot_ns()), 30)
    packets = packets_of(items)
    assert [packet.key for packet in packets] == [n % 10 == 0 for n in range(30)]
    for packet, unit in zip(packets, units, strict=True):
        assert packet.data.endswith(h264.split_annexb(unit)[-1]), "the slice as it was, behind a length"
    assert len(decoded(items)) == 30
    assert any(isinstance(item, LumaFrame) for item in items)


def test_h264_that_begins_in_the_middle_is_recorded_from_its_key_frame_on() -> None:
    items = filmed(FakeCamera("h264", annexb(30)[5:], clock.boot_ns()), 20)
    assert packets_of(items)[0].key
    assert len(decoded(items)) == 20


@pytest.mark.parametrize("kind", ["mjpeg", "yuyv422", "h264"])
def test_masks_are_black_in_every_picture_and_in_what_motion_sees(kind: str) -> None:
    items = filmed(FakeCamera(kind, sent(kind, 30), clock.boot_ns()), 20, masks=(LEFT,))
    for shown in decoded(items):
        assert shown[:, :60].max() < 20
        assert shown[:, 70:].mean() > 80
    for item in items:
        if isinstance(item, LumaFrame):
            assert item.pixels[:, : item.pixels.shape[1] // 2 - 4].max() < 20


@pytest.mark.parametrize("kind", ["mjpeg", "yuyv422", "h264"])
def test_a_camera_upside_down_is_turned_and_masks_are_where_they_are_seen(kind: str) -> None:
    items = filmed(FakeCamera(kind, sent(kind, 30), clock.boot_ns()), 20, masks=(LEFT,), upside_down=True)
    for shown in decoded(items):
        assert shown[:, :60].max() < 20, "what was the bright right half, and is masked"
        assert 50 < shown[:, 70:].mean() < 90, "the dark left half"
    for shown in decoded(filmed(FakeCamera(kind, sent(kind, 30), clock.boot_ns()), 20, upside_down=True)):
        assert np.abs(shown[:, 4:58].mean((0, 1)) - (220, 60, 60)).max() < 14, "in its colour"


def test_turned_is_top_to_bottom_too() -> None:
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    picture[:20, :20] = 255
    data = cv2.imencode(".jpg", picture)[1].tobytes()
    shown = decoded(filmed(FakeCamera("mjpeg", [data] * 9, clock.boot_ns()), 8, upside_down=True))[-1]
    assert shown[-16:, -16:].min() > 230
    assert shown[:-24].max() < 30


def test_a_pause_is_a_gap() -> None:
    script = [*map(jpeg, range(10)), *[None] * 30, *map(jpeg, range(10))]
    items = filmed(FakeCamera("mjpeg", script, clock.boot_ns()), 15, patience=UsbPatience(silent_s=9))
    gap = next(item for item in items if isinstance(item, Gap))
    before, after = packets_of(items)[9], packets_of(items)[10]
    assert (gap.start_ns, gap.end_ns) == (before.pts_ns + before.duration_ns, after.pts_ns)
    assert "no pictures for a while" in gap.reason


def test_a_damaged_picture_is_left_out() -> None:
    script = [jpeg(0), jpeg(1), b"\xff\xd8 not a picture", jpeg(3), jpeg(4)]
    begin_ns = clock.boot_ns() // 1000 * 1000
    items = filmed(FakeCamera("mjpeg", script, begin_ns), 4)
    assert [round((packet.pts_ns - begin_ns) / STEP_NS) for packet in packets_of(items)] == [1, 2, 4, 5]


def test_a_picture_far_larger_than_was_promised_takes_no_memory() -> None:
    huge = cv2.imencode(".jpg", np.zeros((4000, 6000, 3), np.uint8))[1].tobytes()
    begin_ns = clock.boot_ns() // 1000 * 1000
    items = filmed(FakeCamera("mjpeg", [jpeg(0), huge, jpeg(2)], begin_ns), 2)
    assert [round((packet.pts_ns - begin_ns) / STEP_NS) for packet in packets_of(items)] == [1, 3]
    assert sum(isinstance(item, VideoFormat) for item in items) == 1


def test_a_camera_of_which_nothing_can_be_used_is_given_up() -> None:
    camera = FakeCamera("mjpeg", itertools.repeat(b"\xff\xd8 not a picture"), clock.boot_ns())
    with pytest.raises(Unavailable, match=r"Nothing the USB camera has sent for \d+ seconds can be recorded"):
        filmed(camera, 1)
    assert camera.closed


def test_a_camera_lost_in_any_way_is_one_gap_and_is_tried_again() -> None:
    """It falls silent; it is away; it goes away in mid-sentence; it is back."""
    gone = Unavailable("There is no camera /dev/video0.")
    cameras: list[FakeCamera] = []
    missed: list[str] = []
    scripts: list[tuple[Script, Exception | None] | Exception] = [
        (map(jpeg, range(10)), None), gone, (map(jpeg, range(10)), gone), (map(jpeg, range(10)), None),
    ]  # fmt: skip

    def open_camera(_: UsbSettings) -> FakeCamera:
        script = scripts.pop(0)
        if isinstance(script, Exception):
            raise script
        cameras.append(FakeCamera("mjpeg", script[0], clock.boot_ns() - 11 * STEP_NS, script[1]))
        return cameras[-1]

    def begin() -> UsbSource:
        return UsbSource(SETTINGS, over, patience=QUICK, open_camera=open_camera)

    def over() -> bool:
        return len(packets_of(items)) >= 30

    items: list[SourceItem] = []
    for item in PatientSource(begin, over, NO_WAIT):
        if isinstance(item, Away):
            missed.append(item.reason)
        else:
            items.append(item)
    assert all(camera.closed for camera in cameras)
    gaps = [item for item in items if isinstance(item, Gap)]
    assert [gap.reason[:40] for gap in gaps] == ["The USB camera has sent no picture for 1", gone.args[0]]
    packets = packets_of(items)
    for gap, at in zip(gaps, (10, 20), strict=True):
        assert gap.end_ns == packets[at].pts_ns
        assert packets[at].key
    assert gone.args[0] in missed
    assert all(a.dts_ns < b.dts_ns for a, b in itertools.pairwise(packets))


def test_stopping_ends_it() -> None:
    camera = FakeCamera("yuyv422", [yuyv(0)], clock.boot_ns())
    source = UsbSource(SETTINGS, lambda: True, open_camera=lambda _: camera)
    assert list(source) == []
    assert camera.closed


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/dev/video987", Unavailable, "There is no camera /dev/video987; see whether its plug sits"),
        ("/dev/null", BadInput, "/dev/null is no camera"),
        ("/dev/", BadInput, "/dev/ is no camera"),
    ],
)
def test_what_is_no_camera_is_said(path: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        Webcam(path, (640, 480, 15))


def test_without_any_usb_camera_it_says_so() -> None:
    if list(Path("/dev").glob("video[0-9]*")):
        pytest.skip("this machine has a camera")
    with pytest.raises(Unavailable, match="No USB camera was found; see whether its plug sits"):
        Webcam("usb", (640, 480, 15))


@pytest.mark.parametrize(
    ("url", "address"),
    [("usb", "usb"), ("/dev/video0", "/dev/video0"), ("/dev/v4l/by-id/usb-Some_Camera-index0",) * 2]
    + [(url, None) for url in ("", "pi", "rtsp://usb/", "usb:1", "/tmp/video0", "/dev/vid\0eo")],
)
def test_what_names_a_usb_camera(url: str, address: str | None) -> None:
    assert parse_usb_address(url) == address


def test_what_names_no_camera_is_refused() -> None:
    with pytest.raises(BadInput, match='like rtsp://user:password@host/path, or "pi", or "usb"'):
        live_source(Config(camera=CameraConfig(url="webcam")))
