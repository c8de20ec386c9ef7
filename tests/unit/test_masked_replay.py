"""Masks in footage that comes encoded: seen in decoded pixels of what is recorded, and in what motion looks at."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from agent.adapters.replay import ReplaySource
from agent.core import h264
from agent.core.frame import EncodedPacket, LumaFrame, VideoFormat
from agent.core.masks import Mask
from agent.core.plain_mp4 import remux_plain
from tests.films import FilmKind, cut, decoded, film_bytes, make_film

Plane = npt.NDArray[np.uint8]
SIZE = (160, 96)
MASKS = (Mask(((0.5, 0.0), (1.0, 0.0), (1.0, 0.5), (0.5, 0.5))),)
KINDS = {
    "h264": FilmKind(size=SIZE, pictures=50),
    "b-frames": FilmKind(size=SIZE, pictures=50, b_frames=3),
    "full-range": FilmKind(size=SIZE, pictures=50, codec="mjpeg", pixels="yuvj420p"),
    "odd": FilmKind(size=(161, 97), pictures=50, codec="mjpeg", pixels="yuvj444p"),
}


@pytest.mark.parametrize("name", KINDS)
def test_nothing_under_a_mask_is_recorded(tmp_path: Path, name: str) -> None:
    kind = KINDS[name]
    source = make_film(tmp_path / "source.mkv", kind)
    items = list(ReplaySource([source], masks=MASKS))
    fmt = next(item for item in items if isinstance(item, VideoFormat))
    init, fragments = film_bytes(fmt, cut([item for item in items if isinstance(item, EncodedPacket)]))
    film = tmp_path / "film.mp4"
    film.write_bytes(b"".join(remux_plain(init, fragments)))
    ours, theirs = decoded(film), decoded(source)
    assert len(ours) == kind.pictures
    assert [round(time - ours[0][0], 3) for time, _ in ours] == [round(time - theirs[0][0], 3) for time, _ in theirs]
    for (_, plane), (_, original) in zip(ours, theirs, strict=True):
        picture = np.frombuffer(plane, np.uint8).reshape(fmt.height, fmt.width)
        assert picture[:48, 82:].max() < 24, "black, but for what the encoder smears"
        before = np.frombuffer(original, np.uint8).reshape(kind.size[1], kind.size[0])[: fmt.height, : fmt.width]
        # A full-range source may come out in limited range, an odd one a pixel smaller; what stays is what it shows.
        assert np.corrcoef(picture[52:].ravel(), before[52:].ravel())[0, 1] > (0.8 if name == "odd" else 0.97)
    for item in items:
        if isinstance(item, LumaFrame):
            assert item.pixels[:46, 84:].max() < 24


def test_the_decoders_own_pictures_stay_whole(tmp_path: Path) -> None:
    """Later pictures are predicted from earlier ones: were those painted over, the mask would leak beside itself."""
    source = make_film(tmp_path / "source.mp4", FilmKind(size=SIZE, pictures=50, gop=50))
    plain = [item.pixels for item in ReplaySource([source]) if isinstance(item, LumaFrame)]
    masked = [item.pixels for item in ReplaySource([source], masks=MASKS) if isinstance(item, LumaFrame)]
    for one, other in zip(plain, masked, strict=True):
        assert np.array_equal(one[50:], other[50:])
        assert np.array_equal(one[:, :78], other[:, :78])


def held(source: Path, to: Path, degrees: int) -> Path:
    """The same film as a phone writes it that was held so: the pictures as they were, and how to turn them."""
    with av.open(str(source)) as film, av.open(str(to), "w") as phone:
        track = phone.add_stream_from_template(film.streams.video[0])
        track.set_display_rotation(degrees)
        for packet in film.demux(film.streams.video[0]):
            if packet.size:
                packet.stream = track
                phone.mux(packet)
    return to


def recorded(folder: Path, source: ReplaySource) -> tuple[VideoFormat, Path]:
    """What comes of a source as one film."""
    items = list(source)
    fmt = next(item for item in items if isinstance(item, VideoFormat))
    init, fragments = film_bytes(fmt, cut([item for item in items if isinstance(item, EncodedPacket)]))
    film = folder / "film.mp4"
    film.write_bytes(b"".join(remux_plain(init, fragments)))
    return fmt, film


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_what_a_phone_filmed_upright_stays_upright(tmp_path: Path, degrees: int, suffix: str) -> None:
    source = make_film(tmp_path / "source.mp4", KINDS["h264"])
    phone = held(source, tmp_path / f"phone.{suffix}", degrees)
    fmt, film = recorded(tmp_path, ReplaySource([phone], masks=MASKS[: degrees == 90]))
    assert (fmt.width, fmt.height) == (SIZE if degrees == 180 else SIZE[::-1])
    ours, theirs = decoded(film), decoded(source)
    assert len(ours) == len(theirs)
    for (_, plane), (_, original) in zip(ours, theirs, strict=True):
        picture = np.frombuffer(plane, np.uint8).reshape(fmt.height, fmt.width).copy()
        upright = np.rot90(np.frombuffer(original, np.uint8).reshape(SIZE[::-1]), degrees // 90).copy()
        if degrees == 90:  # a mask is where it is seen, at the top right
            corner = slice(0, fmt.height // 2), slice(fmt.width // 2, fmt.width)
            assert picture[corner][:-4, 4:].max() < 24
            around = slice(0, fmt.height // 2 + 8), slice(fmt.width // 2 - 8, fmt.width)
            picture[around] = upright[around] = 0
        assert np.corrcoef(picture.ravel(), upright.ravel())[0, 1] > 0.97


def with_matrix(source: Path, to: Path, turn: tuple[float, float, float, float]) -> Path:
    """The same MP4 with this display matrix: where right goes, then where down goes (x, y, downwards positive)."""
    data = bytearray(source.read_bytes())
    header = data.index(b"tkhd") + 4
    place = header + (40 if data[header] == 0 else 52)
    a, b, c, d = (round(part * 65_536) for part in turn)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    to.write_bytes(data)
    return to


@pytest.mark.parametrize(
    ("turn", "seen"),
    {
        "left for right": ((-1, 0, 0, 1), lambda plane: plane[:, ::-1]),
        "upside down": ((1, 0, 0, -1), lambda plane: plane[::-1]),
        "mirrored and on its side": ((0, 1, 1, 0), lambda plane: plane.T),
        "mirrored, on its other side": ((0, -1, -1, 0), lambda plane: plane[::-1, ::-1].T),
        "on its side": ((0, 1, -1, 0), lambda plane: np.rot90(plane, 3)),
        "larger": ((2, 0, 0, 2), lambda plane: plane),
        "askew": ((0.87, 0.5, -0.5, 0.87), lambda plane: plane),
        "nothing": ((0, 0, 0, 0), lambda plane: plane),
    }.values(),
)
def test_a_mirrored_film_is_recorded_as_players_show_it(
    tmp_path: Path, turn: tuple[float, float, float, float], seen: Callable[[Plane], Plane]
) -> None:
    source = make_film(tmp_path / "source.mp4", KINDS["h264"])
    fmt, film = recorded(tmp_path, ReplaySource([with_matrix(source, tmp_path / "phone.mp4", turn)]))
    ours, theirs = decoded(film), decoded(source)
    assert len(ours) == len(theirs)
    for (_, plane), (_, original) in zip(ours, theirs, strict=True):
        upright = seen(np.frombuffer(original, np.uint8).reshape(SIZE[::-1]))
        assert (fmt.height, fmt.width) == upright.shape
        assert np.corrcoef(np.frombuffer(plane, np.uint8), upright.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("b_frames", [0, 2])
def test_what_was_cut_off_a_film_is_not_recorded(tmp_path: Path, b_frames: int) -> None:
    """As phones do it: the pictures since the last key frame stay in the file, and an edit list passes over them."""
    source, trimmed = tmp_path / "source.mp4", tmp_path / "trimmed.mp4"
    make_film(source, FilmKind(size=SIZE, pictures=50, b_frames=b_frames))
    with av.open(str(source)) as film, av.open(str(trimmed), "w") as copy:
        target = copy.add_stream_from_template(film.streams.video[0])
        for packet in film.demux(film.streams.video[0]):
            if packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts = packet.pts - 10 * 512, packet.dts - 10 * 512
                packet.stream = target
                copy.mux(packet)
    items = list(ReplaySource([trimmed]))
    packets = [item for item in items if isinstance(item, EncodedPacket)]
    assert [p.pts_ns for p in packets] == [n * 40_000_000 for n in range(40)]
    init, fragments = film_bytes(next(item for item in items if isinstance(item, VideoFormat)), cut(packets))
    made = tmp_path / "film.mp4"
    made.write_bytes(b"".join(remux_plain(init, fragments)))
    for (_, ours), (_, theirs) in zip(decoded(made), decoded(source)[10:], strict=True):
        assert np.corrcoef(np.frombuffer(ours, np.uint8), np.frombuffer(theirs, np.uint8))[0, 1] > 0.97


@pytest.mark.parametrize("pixels", ["yuv422p", "yuv444p", "yuv420p10le"])
def test_h264_that_phones_cannot_show_is_encoded_as_they_can(tmp_path: Path, pixels: str) -> None:
    source = make_film(tmp_path / "source.mp4", FilmKind(size=SIZE, pictures=50, pixels=pixels))
    found = [item for item in ReplaySource([source]) if isinstance(item, VideoFormat)]
    assert found
    for fmt in found:
        shape = h264.parse_sps(h264.parse_configuration(fmt.parameter_sets)[0].sps[0])
        assert (shape.chroma_format_idc, shape.bit_depth_luma) == (1, 8)


@pytest.mark.parametrize("turn", [(1, 0, 0, 1), (0, 1, -1, 0)])
def test_pixels_that_are_no_squares_stay_so(tmp_path: Path, turn: tuple[float, float, float, float]) -> None:
    square, wide = tmp_path / "square.mp4", tmp_path / "wide.mp4"
    with av.open(str(square), "w") as film:
        track = film.add_stream("mpeg4", rate=25)
        track.width, track.height, track.pix_fmt = *SIZE, "yuv420p"
        track.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(np.full((SIZE[1] * 3 // 2, SIZE[0]), 4 * number, np.uint8), "yuv420p")
            frame.pts = number
            film.mux(track.encode(frame))
        film.mux(track.encode(None))
    _, made = recorded(tmp_path, ReplaySource([with_matrix(square, wide, turn)]))
    with av.open(str(made)) as film:
        aspect = film.streams.video[0].sample_aspect_ratio
    assert aspect == (Fraction(4, 3) if turn[0] else Fraction(3, 4))
