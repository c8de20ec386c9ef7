"""Replaying what is missing, broken or strange: one sentence, or a gap; never anything else."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import struct
import wave
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.adapters.replay import ReplaySource
from agent.core import h264
from agent.core.errors import BadInput
from agent.core.frame import EncodedPacket, Gap, LumaFrame, VideoFormat
from tests.films import SECOND, FilmKind, cut, decoded, demuxed, film_bytes, make_film
from tests.street import Recorded
from tests.unit.test_replay import formats_of, gaps_of, lumas_of, packets_of, repacked

MPEG2 = FilmKind(codec="mpeg2video", size=(128, 96), pictures=25, time_base=Fraction(1, 25))


def _wav(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16_000))


def _cut_before_its_index(path: Path) -> None:
    make_film(path, FilmKind())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _only_a_picture(path: Path) -> None:
    make_film(path.with_suffix(".png"), FilmKind(codec="png", pixels="rgb24", pictures=1), "image2")
    shutil.move(path.with_suffix(".png"), path)


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "There is no file"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "pipe": (os.mkfifo, "pipe or a device"),
    "empty": (lambda path: path.touch(), "is empty"),
    "text": (lambda path: path.write_text("Dear diary,\n" * 500), "is not a film"),
    "zeros": (lambda path: path.write_bytes(bytes(100_000)), "is not a film"),
    "cut-off": (_cut_before_its_index, "cut off"),
    "sound-only": (_wav, "no film track"),
    "picture": (_only_a_picture, "is not a film"),
    "playlist": (lambda path: path.write_text("#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n"), "film"),
    "concat-script": (lambda path: path.write_text("ffconcat version 1.0\nfile /etc/passwd\n"), "film"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_no_film_is_said_in_one_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / "door.mp4"
    make, words = CASES[name]
    make(path)
    with pytest.raises(BadInput, match=words) as raised:
        ReplaySource([path])
    text = str(raised.value)
    assert text.count(".") - text.count("door.mp4") - text.count(".264") == 1
    assert text.endswith(".")
    assert "door.mp4" in text


def test_no_file_at_all_is_bad_input() -> None:
    with pytest.raises(BadInput, match="No footage"):
        ReplaySource([])


def test_every_file_is_looked_at_before_the_first_is_played(tmp_path: Path) -> None:
    good = make_film(tmp_path / "a.mp4", FilmKind(pictures=5))
    with pytest.raises(BadInput, match=r"b\.mp4"):
        ReplaySource([good, tmp_path / "b.mp4"])


@pytest.mark.parametrize("container", ["mp4", "mkv", "avi"])
def test_a_film_cut_off_gives_what_can_be_read_and_then_a_gap(tmp_path: Path, container: str) -> None:
    whole = make_film(tmp_path / f"a.{container}", FilmKind(size=(320, 240), pictures=100, time_base=Fraction(1, 25)))
    if container == "mp4":
        whole = _with_index_in_front(whole)
    path = tmp_path / f"b.{container}"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    items = list(ReplaySource([path]))
    packets = packets_of(items)
    assert 30 < len(packets) < 90
    split = h264.split_annexb if container == "avi" else h264.split_lengths
    originals = [split(p.data) for p in demuxed(whole)]
    assert [h264.split_lengths(p.data) for p in packets] == originals[: len(packets)]
    last = gaps_of(items)[-1]
    assert items[-1] is last
    assert last.end_ns == pytest.approx(4 * SECOND, abs=50_000_000)
    assert last.start_ns <= packets[-1].pts_ns + 2 * packets[-1].duration_ns


def _with_index_in_front(path: Path) -> Path:
    """The film as our own plain MP4, whose index comes first."""
    from agent.core.plain_mp4 import remux_plain

    items = list(ReplaySource([path]))
    film = film_bytes(formats_of(items)[0], cut(packets_of(items)))
    path.write_bytes(b"".join(remux_plain(*film)))
    return path


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts", "h264"])
def test_damage_in_the_middle_is_a_gap_and_the_rest_goes_on(tmp_path: Path, container: str) -> None:
    kind = FilmKind(size=(320, 240), pictures=100)
    whole = make_film(tmp_path / "a.mp4", kind)
    path = repacked(whole, tmp_path / f"b.{container}")
    data = bytearray(path.read_bytes())
    at = data.index(demuxed(whole)[40].data[30:60])
    data[at - 40 : at + 2500] = bytes(range(1, 255)) * 10
    path.write_bytes(data)
    items = list(ReplaySource([path]))
    packets = packets_of(items)
    assert 80 <= len(packets) <= 100
    assert packets[-1].pts_ns >= 3.7 * SECOND
    assert all(a.dts_ns < b.dts_ns for a, b in itertools.pairwise(packets))
    good = {p.data for p in packets}
    missing = 100 - len(packets)
    assert (missing > 0) == bool(gaps_of(items))
    for gap in gaps_of(items):
        assert SECOND < gap.start_ns <= gap.end_ns < 3 * SECOND
        assert gap.reason
    assert len(good) == len(packets)
    assert len(lumas_of(items)) >= 30


def test_a_byte_stream_may_begin_in_the_middle(tmp_path: Path) -> None:
    whole = repacked(make_film(tmp_path / "a.mp4", FilmKind(pictures=75)), tmp_path / "b.ts")
    data = whole.read_bytes()
    keep = 188 * (len(data) // 188 // 5)
    path = tmp_path / "c.ts"
    path.write_bytes(data[: 188 * 3] + data[keep:])
    items = list(ReplaySource([path]))
    first = packets_of(items)[0]
    assert first.key
    gap = gaps_of(items)[0]
    assert items.index(gap) < items.index(first)
    assert gap.start_ns == 0
    assert gap.end_ns == first.pts_ns
    assert "middle" in gap.reason


def test_a_change_of_size_in_mid_stream_is_a_new_format(tmp_path: Path) -> None:
    parts = [FilmKind(pictures=30), FilmKind(size=(128, 96), pictures=30), FilmKind(pictures=30)]
    path = tmp_path / "a.h264"
    path.write_bytes(b"".join(make_film(tmp_path / f"{n}.h264", kind).read_bytes() for n, kind in enumerate(parts)))
    items = list(ReplaySource([path]))
    assert [(f.width, f.height) for f in formats_of(items)] == [(64, 48), (128, 96), (64, 48)]
    assert len(packets_of(items)) == 90
    format_now = None
    films: list[list[EncodedPacket]] = []
    for item in items:
        if isinstance(item, VideoFormat):
            format_now = item
            films.append([])
        elif isinstance(item, EncodedPacket):
            films[-1].append(item)
        elif isinstance(item, LumaFrame):
            assert format_now is not None
    for fmt, packets in zip(formats_of(items), films, strict=True):
        film = tmp_path / "film.mp4"
        init, fragments = film_bytes(fmt, cut(packets))
        film.write_bytes(init + b"".join(fragments))
        assert len(decoded(film)) == 30
    assert {luma.pixels.shape for luma in lumas_of(items)} == {(48, 64), (96, 128)}


@pytest.mark.parametrize("container", ["h264", "mpegts"])
def test_a_change_of_shape_where_pictures_are_reordered_is_recorded(tmp_path: Path, container: str) -> None:
    parts = [FilmKind(size=size, pictures=60, b_frames=2) for size in ((320, 240), (320, 180))]
    path = tmp_path / "a.film"
    films = [make_film(tmp_path / f"{n}", kind, container) for n, kind in enumerate(parts)]
    path.write_bytes(b"".join(film.read_bytes() for film in films))
    assert Recorded(tmp_path / "state").record(ReplaySource([path])).packets >= 118


def test_a_change_the_container_announces_is_a_new_format(tmp_path: Path) -> None:
    """FLV keeps parameter sets out of the packets; here its clock starts again in the middle, too."""
    first = make_film(tmp_path / "a.flv", FilmKind(pictures=50)).read_bytes()
    second = make_film(tmp_path / "b.flv", FilmKind(size=(128, 96), pictures=50)).read_bytes()
    path = tmp_path / "c.flv"
    path.write_bytes(first + second[13:])  # behind the header, tags only
    items = list(ReplaySource([path]))
    assert [(f.width, f.height) for f in formats_of(items)] == [(64, 48), (128, 96)]
    packets = packets_of(items)
    assert len(packets) == 100
    assert packets[50].key
    assert packets[50].pts_ns == pytest.approx(2 * SECOND, abs=50_000_000)
    assert [gap.reason for gap in gaps_of(items)] == ["the clock of the video was set anew here"]
    kinds = [type(item) for item in items if not isinstance(item, LumaFrame)]
    assert kinds[51:54] == [Gap, VideoFormat, EncodedPacket]


def test_a_change_of_size_where_films_are_encoded_is_a_new_format(tmp_path: Path) -> None:
    parts = [replace(MPEG2, size=(64, 48)), MPEG2]
    path = tmp_path / "a.mpg"
    path.write_bytes(
        b"".join(make_film(tmp_path / f"{n}.m2v", kind, "mpeg2video").read_bytes() for n, kind in enumerate(parts))
    )
    items = list(ReplaySource([path]))
    assert [(f.width, f.height) for f in formats_of(items)] == [(64, 48), (128, 96)]
    # libav's MPEG-2 decoder itself loses the last picture of a size.
    assert len(packets_of(items)) in (49, 50)


def test_open_groups_of_pictures_pass_whole(tmp_path: Path) -> None:
    kind = FilmKind(pictures=75, gop=27, b_frames=2, options=(("x264-params", "open-gop=1:b-pyramid=none"),))
    film = make_film(tmp_path / "a.mp4", kind)
    stream = repacked(film, tmp_path / "b.ts")
    items = list(ReplaySource([stream]))
    assert len(packets_of(items)) == 75
    later = [run for run in cut(packets_of(items))]
    begin = next(n for n, run in enumerate(later) if run.key and n > 0)
    leading = [p for p in later[begin].packets if p.pts_ns < later[begin].packets[0].pts_ns]
    assert leading, "the film made here has no open group of pictures"
    cut_film = tmp_path / "film.mp4"
    init, fragments = film_bytes(formats_of(items)[0], later[begin:])
    cut_film.write_bytes(init + b"".join(fragments))
    pictures = [picture for _, picture in decoded(cut_film)]
    assert pictures == [picture for _, picture in decoded(film)][-len(pictures) :]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("films")
    kind = FilmKind(size=(160, 120), pictures=30, b_frames=2, gop=10, time_base=Fraction(1, 25))
    film = make_film(folder / "a.mp4", kind)
    found = {"mp4": film.read_bytes()}
    for container in ("mkv", "ts", "h264", "flv"):
        found[container] = repacked(film, folder / f"a.{container}").read_bytes()
    found["avi"] = make_film(folder / "a.avi", kind).read_bytes()
    found["mpeg4.avi"] = make_film(folder / "b.avi", replace(kind, codec="mpeg4", b_frames=0)).read_bytes()
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["mp4", "mkv", "ts", "avi", "h264", "flv", "mpeg4.avi"]), seed=st.integers(0, 2**32))
def test_any_damaged_film_is_bad_input_or_played_in_order(
    tmp_path: Path, films: dict[str, bytes], name: str, seed: int
) -> None:
    chance = random.Random(seed)
    data = bytearray(films[name])
    for _ in range(chance.randint(1, 8)):
        at, length = chance.randrange(len(data)), chance.choice([1, 1, 2, 4, 30, 300])
        data[at : at + length] = chance.randbytes(length)
    path = tmp_path / f"damaged.{name}"
    path.write_bytes(data[: chance.randrange(len(data)) if chance.random() < 0.3 else len(data)])
    reached = None
    try:
        for item in ReplaySource([path]):
            if isinstance(item, EncodedPacket):
                assert reached is None or item.dts_ns > reached
                assert item.pts_ns >= item.dts_ns
                reached = item.dts_ns
                assert h264.split_lengths(item.data)
            elif isinstance(item, Gap):
                assert item.start_ns <= item.end_ns
    except BadInput:
        reached = None


def test_a_film_of_nothing_but_damage_is_bad_input(tmp_path: Path) -> None:
    film = make_film(tmp_path / "a.mp4", FilmKind(pictures=10))
    data = bytearray(film.read_bytes())
    for packet in demuxed(film):
        at = data.index(packet.data)
        data[at : at + 4] = struct.pack(">I", len(packet.data) + 9)
    film.write_bytes(data)
    with pytest.raises(BadInput, match="no picture that can be used"):
        list(ReplaySource([film]))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("-", "not read from standard input"),
        ("https://example.org/film.mp4", "download the film first"),
        ("rtsp://me:secret@camera/stream", "camera.url"),
    ],
)
def test_what_is_no_path_is_told_where_it_belongs(name: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as told:
        ReplaySource([Path(name)])
    assert "secret" not in str(told.value)


def test_a_matroska_film_that_begins_late_has_no_hole_behind_it(tmp_path: Path) -> None:
    source = make_film(tmp_path / "source.mp4", FilmKind(pictures=30))
    late = tmp_path / "late.mkv"
    with av.open(str(source)) as film, av.open(str(late), "w") as copy:
        track = copy.add_stream_from_template(film.streams.video[0])
        for packet in film.demux(film.streams.video[0]):
            if packet.size and packet.pts is not None and packet.dts is not None and packet.time_base is not None:
                packet.pts, packet.dts = (t + int(90_000 / packet.time_base) for t in (packet.pts, packet.dts))
                packet.stream = track
                copy.mux(packet)
    items = list(ReplaySource([late]))
    assert gaps_of(items) == []
    assert len(packets_of(items)) == 30
