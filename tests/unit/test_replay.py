"""Replaying film files: packets untouched, times, brightness planes, several files, pace."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.footage import probe
from agent.adapters.luma import LumaSampler, luma_plane, shrink
from agent.adapters.replay import Pace, ReplaySource
from agent.adapters.times import TickClock
from agent.core import h264
from agent.core.frame import EncodedPacket, Gap, LumaFrame, SourceItem, VideoFormat
from tests.fields import field_stream
from tests.films import SECOND, FilmKind, cut, decoded, demuxed, film_bytes, make_film

B_FRAMES = FilmKind(fps=30, pictures=90, gop=30, b_frames=3)
CONTAINERS = ["mp4", "mkv", "avi", "ts", "h264", "flv"]


def packets_of(items: Sequence[SourceItem]) -> list[EncodedPacket]:
    return [item for item in items if isinstance(item, EncodedPacket)]


def lumas_of(items: Sequence[SourceItem]) -> list[LumaFrame]:
    return [item for item in items if isinstance(item, LumaFrame)]


def gaps_of(items: Sequence[SourceItem]) -> list[Gap]:
    return [item for item in items if isinstance(item, Gap)]


def formats_of(items: Sequence[SourceItem]) -> list[VideoFormat]:
    return [item for item in items if isinstance(item, VideoFormat)]


def repacked(source: Path, to: Path) -> Path:
    """The same packets in another container; in those that have no place for parameter sets, as a byte stream."""
    with av.open(str(source)) as film, av.open(str(to), "w") as copy:
        track = film.streams.video[0]
        target = copy.add_stream_from_template(track)
        as_stream = None
        if to.suffix in (".avi", ".h264"):
            target.time_base = 1 / track.average_rate
            as_stream = av.bitstream.BitStreamFilterContext("h264_mp4toannexb", track, target)
        for packet in film.demux(track):
            if packet.size:
                for same in as_stream.filter(packet) if as_stream else [packet]:
                    same.stream = target
                    copy.mux(same)
    return to


def film_of(items: Sequence[SourceItem], to: Path) -> Path:
    init, fragments = film_bytes(formats_of(items)[0], cut(packets_of(items)))
    to.write_bytes(init + b"".join(fragments))
    return to


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("b_frames", [0, 3])
def test_packets_pass_through_untouched(tmp_path: Path, container: str, b_frames: int) -> None:
    kind = replace(B_FRAMES, b_frames=b_frames, time_base=Fraction(1, B_FRAMES.fps))
    source = make_film(tmp_path / "source.mp4", kind)
    items = list(ReplaySource([repacked(source, tmp_path / f"copy.{container}")]))
    packets = packets_of(items)

    # A transport or byte stream repeats the parameter sets and marks access units; the pictures are the same bytes.
    extra = (h264.SPS, h264.PPS, 9)
    ours = [[unit for unit in h264.split_lengths(p.data) if h264.unit_type(unit) not in extra] for p in packets]
    theirs = demuxed(source)
    assert ours == [h264.split_lengths(p.data) for p in theirs]
    assert [p.key for p in packets] == [p.key for p in theirs]
    # Containers with ticks of a millisecond round.
    for packet, raw in zip(packets, theirs, strict=True):
        assert abs(packet.pts_ns - raw.pts * SECOND) <= 1_000_000
    assert packets[0].pts_ns == 0
    assert all(a.dts_ns < b.dts_ns for a, b in itertools.pairwise(packets))
    assert [picture for _, picture in decoded(film_of(items, tmp_path / "film.mp4"))] == [
        picture for _, picture in decoded(source)
    ]
    assert gaps_of(items) == []
    assert isinstance(items[0], VideoFormat)
    assert (items[0].width, items[0].height) == (64, 48)


@pytest.mark.parametrize("container", CONTAINERS)
def test_nothing_is_missing_from_a_film_of_a_picture_a_second(tmp_path: Path, container: str) -> None:
    kind = replace(B_FRAMES, fps=1, pictures=30, time_base=Fraction(1, 1))
    items = list(ReplaySource([repacked(make_film(tmp_path / "a.mp4", kind), tmp_path / f"b.{container}")]))
    assert len(packets_of(items)) == 30
    assert gaps_of(items) == []


@pytest.mark.parametrize("container", ["h264", "avi"])
def test_both_fields_of_a_picture_are_kept(tmp_path: Path, container: str) -> None:
    path = tmp_path / "a.h264"
    path.write_bytes(field_stream(60))
    if container == "avi":
        path = tmp_path / "a.avi"
        with av.open(str(tmp_path / "a.h264")) as film, av.open(str(path), "w") as copy:
            target = copy.add_stream_from_template(film.streams.video[0])
            target.time_base = Fraction(1, 50)
            for number, packet in enumerate(packet for packet in film.demux() if packet.size):
                packet.stream, packet.time_base = target, Fraction(1, 50)
                packet.pts, packet.dts, packet.duration = number, number, 1
                copy.mux(packet)
    items = list(ReplaySource([path]))
    packets = packets_of(items)
    assert [p.pts_ns for p in packets] == [n * 20_000_000 for n in range(120)]
    assert gaps_of(items) == []
    with av.open(str(tmp_path / "a.h264")) as film:
        theirs = [luma_plane(frame).tobytes() for frame in film.decode(video=0)]
    assert [picture for _, picture in decoded(film_of(items, tmp_path / "film.mp4"))] == theirs
    assert len(theirs) == 60


def test_an_mp4_passes_bit_for_bit_and_tick_for_tick(tmp_path: Path) -> None:
    source = make_film(tmp_path / "source.mp4", B_FRAMES)
    items = list(ReplaySource([source]))
    theirs = demuxed(source)
    assert [p.data for p in packets_of(items)] == [p.data for p in theirs]
    film = demuxed(film_of(items, tmp_path / "film.mp4"))
    assert [p.pts - film[0].pts for p in film] == [p.pts for p in theirs]


@pytest.mark.parametrize("kind", [FilmKind(), B_FRAMES, FilmKind(fps=12), FilmKind(fps=8, b_frames=2)])
def test_luma_never_comes_before_its_packet(tmp_path: Path, kind: FilmKind) -> None:
    shown = -1
    last = -1
    for item in ReplaySource([make_film(tmp_path / "a.mp4", kind)]):
        if isinstance(item, EncodedPacket):
            shown = max(shown, item.pts_ns)
        elif isinstance(item, LumaFrame):
            assert last < item.time_ns <= shown
            last = item.time_ns


@pytest.mark.parametrize(
    ("fps", "rate", "expected"), [(30, 10, 10), (25, 10, 10), (10, 10, 10), (4, 10, 4), (30, 5, 5)]
)
def test_luma_comes_at_the_rate_asked_for(tmp_path: Path, fps: int, rate: int, expected: int) -> None:
    film = make_film(tmp_path / "a.mp4", FilmKind(fps=fps, pictures=fps * 4, gop=fps))
    lumas = lumas_of(list(ReplaySource([film], luma_rate_hz=rate)))
    assert abs(len(lumas) - 4 * expected) <= 1


def test_a_source_near_the_rate_is_taken_whole_in_spite_of_jitter(tmp_path: Path) -> None:
    jitter = np.random.default_rng(5).integers(-30, 31, 40)
    times = [int(index * 100 + jitter[index]) for index in range(40)]
    times = [time - times[0] for time in times]
    kind = FilmKind(pictures=40, times=times, time_base=Fraction(1, 1000), fps=10)
    assert len(lumas_of(list(ReplaySource([make_film(tmp_path / "a.mkv", kind)])))) >= 39


class _TakesNoShortcut(LumaSampler):
    def may_skip(self, time_ns: int) -> bool:
        return False


@pytest.mark.parametrize("params", ["b-pyramid=none", "b-pyramid=normal"])
@pytest.mark.parametrize("fps", [15, 30, 60])
def test_pictures_not_decoded_are_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fps: int, params: str
) -> None:
    kind = FilmKind(fps=fps, pictures=90, gop=40, b_frames=3, options=(("x264-params", params),))
    film = make_film(tmp_path / "a.mp4", kind)
    quick = list(ReplaySource([film]))
    monkeypatch.setattr("agent.adapters.replay.LumaSampler", _TakesNoShortcut)
    thorough = list(ReplaySource([film]))
    assert packets_of(quick) == packets_of(thorough)
    assert [luma.time_ns for luma in lumas_of(quick)] == [luma.time_ns for luma in lumas_of(thorough)]
    for ours, theirs in zip(lumas_of(quick), lumas_of(thorough), strict=True):
        assert np.array_equal(ours.pixels, theirs.pixels)


def test_luma_is_the_decoders_brightness_averaged(tmp_path: Path) -> None:
    film = make_film(tmp_path / "a.mp4", FilmKind(size=(640, 360), pictures=1))
    luma = lumas_of(list(ReplaySource([film])))[0]
    plane = np.frombuffer(decoded(film)[0][1], np.uint8).reshape(360, 640).astype(float)
    means = plane.reshape(180, 2, 320, 2).mean(axis=(1, 3))
    assert luma.pixels.shape == (180, 320)
    assert luma.pixels.dtype == np.uint8
    assert np.abs(luma.pixels - means).max() <= 1


@pytest.mark.parametrize(("size", "strays"), [((1280, 720), True), ((640, 360), False)])
def test_only_large_pictures_are_decoded_roughly_and_stay_alike(
    tmp_path: Path, size: tuple[int, int], strays: bool
) -> None:
    film = make_film(tmp_path / "a.mp4", FilmKind(size=size, pictures=25, gop=25, options=(("crf", "32"),)))
    apart = []
    for luma, (_, plane) in zip(lumas_of(list(ReplaySource([film], luma_rate_hz=25))), decoded(film), strict=True):
        exact = shrink(np.frombuffer(plane, np.uint8)[: size[0] * size[1]].reshape(size[1], size[0]), 320)
        apart.append(np.abs(luma.pixels.astype(int) - exact).mean())
    assert apart[0] == 0  # the key frame is decoded exactly
    assert (max(apart) > 0) == strays
    assert max(apart) < 2


@pytest.mark.parametrize(
    ("size", "shape"),
    [((1920, 1080), (180, 320)), ((320, 244), (244, 320)), ((160, 120), (120, 160)), ((90, 160), (160, 90))],
)
def test_luma_keeps_the_shape_of_the_picture(size: tuple[int, int], shape: tuple[int, int]) -> None:
    assert shrink(np.zeros((size[1], size[0]), np.uint8), 320).shape == shape


@pytest.mark.parametrize(
    "pixels", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "nv12", "gray", "yuv420p10le", "yuv420p10be"]
)
def test_any_layout_of_pixels_gives_the_same_brightness(pixels: str) -> None:
    levels = np.tile(np.arange(40, 200, 4, dtype=np.uint8), (30, 1))
    frame = av.VideoFrame.from_ndarray(levels, format="gray").reformat(format="yuv420p")
    expected = luma_plane(frame)
    found = luma_plane(frame.reformat(format=pixels))
    full_range = pixels in ("yuvj420p", "gray")
    assert found.shape == (30, 40)
    assert np.abs(found.astype(int) - expected).max() <= (30 if full_range else 1)


def test_several_files_are_one_timeline(tmp_path: Path) -> None:
    first = make_film(tmp_path / "a.mp4", FilmKind(pictures=50))
    second = make_film(tmp_path / "b.mp4", FilmKind(pictures=25, b_frames=2))
    third = make_film(tmp_path / "c.mp4", FilmKind(pictures=25))
    source = ReplaySource([first, third, second])
    items = list(source)
    packets = packets_of(items)
    assert all(a.dts_ns < b.dts_ns for a, b in itertools.pairwise(packets))
    keys = [p.pts_ns for p in packets if p.key]
    assert keys[:3] == [0, SECOND, 2 * SECOND]
    # The last begins as much later as its first picture is decoded before it is shown.
    assert 3 * SECOND <= keys[3] <= 3 * SECOND + 200_000_000
    # Equal formats are not announced again.
    assert len(formats_of(items)) == 2
    kinds = [type(item) for item in items if not isinstance(item, LumaFrame)]
    assert kinds[76] is VideoFormat
    assert packets_of(list(source)) == packets


def test_the_pace_of_life(tmp_path: Path) -> None:
    film = make_film(tmp_path / "a.mp4", FilmKind(fps=10, pictures=20))
    now = [5_000_000_000]
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += round(seconds * SECOND)

    began = now[0]
    for item in ReplaySource([film], pace=Pace(lambda: now[0], sleep)):
        if isinstance(item, EncodedPacket):
            assert now[0] - began == item.dts_ns
            now[0] += 30_000_000 if item.dts_ns < SECOND else 0
    assert len(waits) == 19
    assert sum(waits) == pytest.approx(1.9 - 10 * 0.03)


def test_probe_tells_what_the_file_says(tmp_path: Path) -> None:
    facts = probe(make_film(tmp_path / "a.mp4", FilmKind(size=(320, 180), pictures=50)))
    assert (facts.duration_ns, facts.width, facts.height, facts.fps, facts.codec) == (
        2 * SECOND,
        320,
        180,
        25.0,
        "h264",
    )


@pytest.mark.parametrize(
    ("codec", "container", "pixels"),
    [
        ("mpeg4", "avi", "yuv420p"),
        ("mpeg4", "mp4", "yuv420p"),
        ("mjpeg", "mkv", "yuvj422p"),
        ("mpeg2video", "ts", "yuv420p"),
    ],
)
def test_other_codecs_are_encoded_once(tmp_path: Path, codec: str, container: str, pixels: str) -> None:
    kind = FilmKind(size=(96, 64), codec=codec, pixels=pixels, pictures=80, time_base=Fraction(1, 25))
    source = make_film(tmp_path / f"a.{container}", kind)
    items = list(ReplaySource([source]))
    packets = packets_of(items)
    assert [p.pts_ns for p in packets] == [n * 40_000_000 for n in range(80)]
    assert [p.dts_ns for p in packets] == [p.pts_ns for p in packets]
    assert {p.pts_ns for p in packets if p.key} >= {0, SECOND, 2 * SECOND, 3 * SECOND}
    assert gaps_of(items) == []
    assert len(lumas_of(items)) in (32, 33)
    ours, theirs = decoded(film_of(items, tmp_path / "film.mp4")), decoded(source)
    assert len(ours) == len(theirs)
    for (_, a), (_, b) in zip(ours, theirs, strict=True):
        expected = np.frombuffer(b, np.uint8).astype(float)
        difference = np.abs(np.frombuffer(a, np.uint8) - expected)
        assert difference.mean() < 6
    shown = -1
    for item in items:
        if isinstance(item, EncodedPacket):
            shown = item.pts_ns
        elif isinstance(item, LumaFrame):
            assert item.time_ns <= shown


def _telling_no_rate(stream: bytes) -> bytes:
    """The byte stream, baseline, with nothing behind the size in its parameter sets, as a Pi's raspivid writes them."""
    units = h264.split_annexb(stream)
    for index, unit in enumerate(units):
        if h264.unit_type(unit) == h264.SPS:
            bits, at = "".join(f"{byte:08b}" for byte in unit), 32
            for kind in "nnnnfnnfff":  # a number of any length, or a flag (H.264 7.3.2.1.1, 9.1)
                at = at + 1 if kind == "f" else 2 * bits.index("1", at) - at + 1
            kept = bits[:at] + "01"
            units[index] = int(kept.ljust(-(-len(kept) // 8) * 8, "0"), 2).to_bytes(-(-len(kept) // 8), "big")
    return b"".join(b"\0\0\0\1" + unit for unit in units)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_byte_stream_that_tells_no_rate_is_as_long_as_it_has_pictures(tmp_path: Path, codec: str) -> None:
    path = tmp_path / ("a.h264" if codec == "libx264" else "a.hevc")
    silent = ("profile", "baseline") if codec == "libx264" else ("x265-params", "log-level=none:vui-timing-info=0")
    make_film(path, FilmKind(codec=codec, pictures=100, time_base=Fraction(1, 25), options=(silent,)))
    if codec == "libx264":
        path.write_bytes(_telling_no_rate(path.read_bytes()))
    items = list(ReplaySource([path]))
    packets = packets_of(items)
    assert [p.pts_ns for p in packets] == [n * 40_000_000 for n in range(100)]
    assert {p.duration_ns for p in packets} == {40_000_000}
    assert gaps_of(items) == []
    assert len(lumas_of(items)) >= 40


def test_odd_sizes_are_encoded_even(tmp_path: Path) -> None:
    kind = FilmKind(size=(63, 47), codec="mpeg4", pictures=12, time_base=Fraction(1, 25))
    items = list(ReplaySource([make_film(tmp_path / "a.avi", kind)]))
    assert (formats_of(items)[0].width, formats_of(items)[0].height) == (62, 46)
    assert len(decoded(film_of(items, tmp_path / "film.mp4"))) == 12


TICKS = st.integers(-(2**62), 2**62) | st.integers(-(10**6), 10**6)
TIME_BASES = st.builds(Fraction, st.integers(1, 2000), st.integers(1, 2**31)) | st.sampled_from(
    [Fraction(1, 90_000), Fraction(1, 12_800), Fraction(1, 1000), Fraction(1, 10), Fraction(1001, 30_000)]
)


@given(
    TIME_BASES,
    st.none() | st.builds(Fraction, st.integers(0, 2**31), st.integers(1, 1001)),
    st.lists(st.tuples(st.none() | TICKS, TICKS, st.integers(-5, 10_000)), min_size=1, max_size=30),
    st.integers(0, 10**15),
    st.none() | st.integers(0, 10**15),
)
def test_decoding_times_always_rise(
    time_base: Fraction,
    rate: Fraction | None,
    stamps: list[tuple[int | None, int, int]],
    start_ns: int,
    after_dts_ns: int | None,
) -> None:
    clock = TickClock(time_base, rate, start_ns, after_dts_ns)
    reached = after_dts_ns
    for index, (pts, dts, duration) in enumerate(stamps):
        times = clock.stamp(pts, dts, duration)
        assert reached is None or times.dts_ns > reached
        assert times.dts_ns <= times.pts_ns <= times.dts_ns + 60 * SECOND + 1
        assert times.duration_ns > 0
        assert index > 0 or times.pts_ns >= start_ns
        reached = times.dts_ns


def test_a_clock_set_back_goes_on_where_the_film_was() -> None:
    clock = TickClock(Fraction(1, 12_800), Fraction(25), 0, None)
    second = 12_800
    for index in range(3):
        clock.stamp(100 * second + index * 512, 100 * second + index * 512, 512)
    back = clock.stamp(7 * second, 7 * second, 512)
    assert back.jumped
    assert back.pts_ns == 120_000_000
    assert not clock.stamp(7 * second + 512, 7 * second + 512, 512).jumped


def test_times_of_another_age_are_damage() -> None:
    clock = TickClock(Fraction(1, 1000), Fraction(25), 0, None)
    clock.stamp(0, 0, 40)
    ahead = clock.stamp(10**15, 10**15, 40)
    assert (ahead.jumped, ahead.pts_ns) == (True, 40_000_000)
    # Shown an hour after it is decoded: no.
    late = clock.stamp(10**15 + 3_600_000, 10**15 + 40, 40)
    assert (late.jumped, late.pts_ns) == (False, 80_000_000)


@pytest.mark.parametrize("size", [(1920, 1080), (1281, 721), (768, 576), (640, 360), (500, 375)])
def test_fine_patterns_do_not_shimmer(size: tuple[int, int]) -> None:
    """Every pixel counts: stripes finer than the small picture become even grey, wherever they stand."""
    width, height = size
    means = []
    for phase in range(4):
        stripes = ((np.indices((height, width)).sum(axis=0) + phase) // 2 % 2 * 200).astype(np.uint8)
        small = shrink(stripes, 160)[2:-2, 2:-2].astype(float)
        assert small.std() < 25
        means.append(small.mean())
    assert max(means) - min(means) < 2
