"""The live source: addresses, the camera's clock against ours, losses and what follows them.

Connections here are films read by the same libav: a film that ends is a camera that hangs up. A camera on the network
is tests/slow/test_stream_real.py's.
"""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters import clock
from agent.adapters.patience import Surroundings
from agent.adapters.stream import StreamSource
from agent.adapters.stream_open import CameraAddress, open_camera
from agent.adapters.stream_times import LiveClock
from agent.config import read_config
from agent.core import h264
from agent.core.errors import BadInput, Unavailable
from agent.core.frame import Away, EncodedPacket, Gap, LumaFrame, SourceItem, VideoFormat
from tests.films import SECOND, FilmKind, demuxed, make_film

FRAME_NS = SECOND // 25
START_NS = 5_000 * SECOND
TRACK: Any = SimpleNamespace(time_base=Fraction(1, 90_000), average_rate=Fraction(25), guessed_rate=None)


class World:
    """A boot clock that moves half a frame's time at each look, two of them a packet, and by what is slept."""

    def __init__(self) -> None:
        self.now = START_NS
        self.slept: list[float] = []

    def look(self) -> int:
        self.now += FRAME_NS // 2
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += round(seconds * SECOND)

    def surroundings(self, chance: float = 0.5) -> Surroundings:
        return Surroundings(self.look, self.sleep, lambda: chance)


Track = tuple[av.container.InputContainer, av.video.VideoStream]


class Camera:
    """Gives one film after the other, then is stopped. An exception in the place of a film: not reached."""

    def __init__(self, *connections: Path | Exception) -> None:
        self.left = list(connections)

    def stopped(self) -> bool:
        return not self.left

    @contextmanager
    def _open(self) -> Iterator[Track]:
        film = self.left[0]
        try:
            if isinstance(film, Exception):
                raise film
            with av.open(str(film)) as container:
                yield container, container.streams.video[0]
        finally:
            if len(self.left) > 1:
                self.left.pop(0)

    def connect(self) -> AbstractContextManager[Track]:
        return self._open()


def watch(camera: Camera, world: World, *, stop_at: int) -> list[SourceItem]:
    """The items until `stop_at` packets came."""
    items: list[SourceItem] = []
    packets = 0
    source = StreamSource("rtsp://host/door", camera.stopped, surroundings=world.surroundings(), connect=camera.connect)
    for item in source:
        items.append(item)
        packets += isinstance(item, EncodedPacket)
        if packets >= stop_at:
            camera.left.clear()
    return items


def of(kind: type[Any], items: list[SourceItem]) -> list[Any]:
    return [item for item in items if isinstance(item, kind)]


# -- addresses


def test_an_address_is_shown_without_what_is_secret() -> None:
    address = CameraAddress.parse("rtsp://owner:s3cret@cam.local:8554/door?password=s3cret")
    assert address.shown == "rtsp://cam.local:8554/door"
    assert "s3cret" in address.target
    assert "s3cret" not in repr(address)
    assert CameraAddress.parse("rtsp://[fe80::1]/x").shown == "rtsp://[fe80::1]/x"


@pytest.mark.parametrize(
    "url",
    ["", "door.mp4", "http://owner:s3cret@host/", "rtsp://", "rtsp:///s3cret", "rtsp://h:s3cret/", "rtsp://h/s3cret x",
     "/dev/s3cret", "/etc/s3cret", "file:///s3cret", "rtsp://host/" + "s3cret" * 1000],
)  # fmt: skip
def test_anything_else_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(BadInput) as caught:
        CameraAddress.parse(url)
    assert "s3cret" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_bad_input(text: str) -> None:
    for url in (text, "rtsp://" + text):
        try:
            CameraAddress.parse(url)
        except BadInput:
            continue


def test_a_camera_that_is_not_there_is_told_without_its_password() -> None:
    address = CameraAddress.parse("rtsp://owner:s3cret@127.0.0.1:1/door")
    with pytest.raises(Unavailable, match=r"cannot be reached \(Connection refused\)") as caught:
        with open_camera(address):
            pass
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_camera_and_footage_cannot_both_be_configured(tmp_path: Path) -> None:
    config = tmp_path / "doorward.toml"
    config.write_text('[camera]\nreplay = ["a.mp4"]\nurl = "rtsp://host/door"\n')
    with pytest.raises(BadInput, match=r"doorward\.toml:3: camera\.url and camera\.replay are both set"):
        read_config(config)


# -- the camera's clock


def stamped(stamps: LiveClock, raw: int, arrived_ns: int) -> tuple[int, int]:
    stamps.arrived_ns = arrived_ns
    times = stamps.stamp(raw, raw, 3600)
    return times.pts_ns, times.dts_ns


@given(
    st.lists(st.tuples(st.integers(-(2**33), 2**33), st.integers(0, 20 * SECOND), st.integers(-9000, 90_000))),
    st.none() | st.integers(0, 2**62),
)
def test_times_never_run_backwards(packets: list[tuple[int, int, int]], after: int | None) -> None:
    stamps = LiveClock(TRACK, after, after or 0)
    last, now = after, START_NS
    for dts, waited, reorder in packets:
        now += waited
        stamps.arrived_ns = now
        times = stamps.stamp(dts + reorder, dts, 0)
        assert last is None or times.dts_ns > last
        assert times.pts_ns >= times.dts_ns
        last = times.dts_ns


@pytest.mark.parametrize("speed", [0.93, 0.999, 1.0, 1.001, 1.07])
def test_a_clock_that_drifts_is_followed_without_a_jump(speed: float) -> None:
    stamps = LiveClock(TRACK, None, 0)
    worst = 0
    for n in range(25 * 300):
        # The network holds every packet but each seventh back for a while.
        arrived = START_NS + round(n * FRAME_NS / speed) + (0 if n % 7 == 0 else 80_000_000)
        pts, _ = stamped(stamps, n * 3600, arrived)
        worst = max(worst, abs(pts - (START_NS + round(n * FRAME_NS / speed))))
        assert not stamps.take_jump()
    assert worst < 1.5 * SECOND


@pytest.mark.parametrize("by_ticks", [-90_000 * 3600, -18_000, 90_000 * 3600])
def test_a_clock_set_anew_is_anchored_anew(by_ticks: int) -> None:
    stamps = LiveClock(TRACK, None, 0)
    jumps = []
    for n in range(100):
        raw = n * 3600 + (by_ticks if n >= 50 else 0)
        pts, _ = stamped(stamps, raw, START_NS + n * FRAME_NS)
        if stamps.take_jump():
            jumps.append(n)
        assert abs(pts - (START_NS + n * FRAME_NS)) <= FRAME_NS
    assert jumps == [50]


@pytest.mark.parametrize("by_s", [3, 3600])
def test_a_clock_set_forward_while_pictures_are_reordered_does_not_run_ahead(by_s: int) -> None:
    """libav takes decoding times from the last few of showing: for some packets they are the ones before the step."""
    stamps = LiveClock(TRACK, None, 0)
    for n in range(100):
        shown, decoded = (3600 * (m + 2) + (90_000 * by_s if m >= 50 else 0) for m in (n, n - 2))
        stamps.arrived_ns = START_NS + n * FRAME_NS
        times = stamps.stamp(shown, decoded, 3600)
        assert times.pts_ns - stamps.arrived_ns < SECOND
    assert stamps.take_jump()
    assert stamps.end_ns - stamps.arrived_ns < SECOND, "where the next connection begins"


def test_a_clock_far_too_slow_is_anchored_anew() -> None:
    stamps = LiveClock(TRACK, None, 0)
    jumps = 0
    for n in range(25 * 120):
        arrived = START_NS + 2 * n * FRAME_NS
        pts, _ = stamped(stamps, n * 3600, arrived)
        jumps += stamps.take_jump()
        assert arrived - pts < 13 * SECOND
    assert 0 < jumps <= 240 // 10


def test_the_machine_says_whether_its_clock_is_right() -> None:
    assert clock.synchronised() in (True, False)


# -- connections


def test_each_loss_is_one_gap_and_every_packet_comes_through(tmp_path: Path) -> None:
    first = make_film(tmp_path / "first.mp4", FilmKind(pictures=60))
    second = make_film(tmp_path / "second.mp4", FilmKind(pictures=40, b_frames=2))
    other = make_film(tmp_path / "other.mp4", FilmKind(size=(80, 60), pictures=30))
    world = World()
    camera = Camera(first, Unavailable("it is off"), second, other, other)
    items = watch(camera, world, stop_at=130)

    packets, gaps, formats = of(EncodedPacket, items), of(Gap, items), of(VideoFormat, items)
    sent = [h264.split_lengths(p.data) for film in (first, second, other) for p in demuxed(film)]
    assert [h264.split_lengths(p.data) for p in packets] == sent
    assert all(a.dts_ns < b.dts_ns for a, b in itertools.pairwise(packets))
    assert packets[0].pts_ns - START_NS <= 3 * FRAME_NS

    assert len(gaps) == 2
    assert {gap.reason for gap in gaps} == {"the camera ended the connection"}
    assert gaps[0].start_ns == max(p.pts_ns + p.duration_ns for p in packets[:60])
    assert gaps[0].end_ns == packets[60].pts_ns
    assert gaps[0].end_ns - gaps[0].start_ns > 2 * SECOND  # two waits: 0.75 s and 1.5 s
    assert [(f.width, f.height) for f in formats] == [(64, 48), (64, 48), (80, 60)]
    for gap, packet in zip(gaps, (packets[60], packets[100]), strict=True):
        assert items.index(gap) + 2 == items.index(packet), "the gap, the new format, the picture"
    lumas = of(LumaFrame, items)
    assert 40 <= len(lumas) <= 60
    assert all(a.time_ns < b.time_ns for a, b in itertools.pairwise(lumas))


def test_the_same_parameter_sets_are_told_once(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4", FilmKind(pictures=30))
    items = watch(Camera(film, film, film), World(), stop_at=60)
    assert len(of(VideoFormat, items)) == 1
    assert len(of(Gap, items)) == 1


def test_a_camera_joined_in_the_middle_begins_at_a_key_frame(tmp_path: Path) -> None:
    whole = make_film(tmp_path / "film.mp4", FilmKind(pictures=60))
    cut = tmp_path / "cut.ts"
    with av.open(str(whole)) as film, av.open(str(cut), "w") as copy:
        track = film.streams.video[0]
        target = copy.add_stream_from_template(track)
        for n, packet in enumerate(p for p in film.demux(track) if p.size):
            if n >= 10:
                packet.stream = target
                copy.mux(packet)
    items = watch(Camera(cut, cut), World(), stop_at=35)
    assert isinstance(items[0], VideoFormat)
    assert of(EncodedPacket, items)[0].key
    assert not of(Gap, items)


def test_waits_double_with_chance_and_end_at_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    camera = Camera(Unavailable("it is off"))
    begins: list[int] = []

    def connect() -> AbstractContextManager[Track]:
        begins.append(world.now)
        return camera.connect()

    def stopped() -> bool:
        return len(begins) == 12

    source = StreamSource("rtsp://host/door", stopped, surroundings=world.surroundings(1.0), connect=connect)
    said = list(source)
    assert {item.reason for item in said if isinstance(item, Away)} == {"it is off"}
    assert len(said) == len([item for item in said if isinstance(item, Away)])
    apart = [b.time_ns - a.time_ns for a, b in itertools.pairwise(of(Away, said))]
    assert max(apart) <= 6 * SECOND, "said again while it lasts"
    waits = [(b - a) / SECOND for a, b in itertools.pairwise(begins)]
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60], rel=0.05)  # each look takes time here
    assert max(world.slept) <= 0.5
    assert [r.message for r in caplog.records] == ["camera rtsp://host/door lost: it is off"]


def test_what_is_not_h264_is_encoded_once_and_nothing_is_held_back(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.avi", FilmKind(pictures=75, codec="mjpeg", pixels="yuvj420p"))
    world = World()
    seen: list[int] = []
    camera = Camera(film, film)
    source = StreamSource("rtsp://host/door", camera.stopped, surroundings=world.surroundings(), connect=camera.connect)
    packets = []
    for item in source:
        if isinstance(item, EncodedPacket):
            packets.append(item)
            seen.append(world.now - item.pts_ns)
            if len(packets) == 75:
                camera.left.clear()
    assert max(seen) <= 3 * FRAME_NS
    assert [n for n, p in enumerate(packets) if p.key] == [0, 25, 50]
    assert all(p.pts_ns == p.dts_ns for p in packets)
