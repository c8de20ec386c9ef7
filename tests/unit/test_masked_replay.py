"""Masks in footage that comes encoded: seen in decoded pixels of what is recorded, and in what motion looks at."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from agent.adapters.replay import ReplaySource
from agent.core.frame import EncodedPacket, LumaFrame, VideoFormat
from agent.core.masks import Mask
from agent.core.plain_mp4 import remux_plain
from tests.films import FilmKind, cut, decoded, film_bytes, make_film

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


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_what_a_phone_filmed_upright_stays_upright(tmp_path: Path, degrees: int, suffix: str) -> None:
    source = make_film(tmp_path / "source.mp4", KINDS["h264"])
    items = list(ReplaySource([held(source, tmp_path / f"phone.{suffix}", degrees)], masks=MASKS[: degrees == 90]))
    fmt = next(item for item in items if isinstance(item, VideoFormat))
    assert (fmt.width, fmt.height) == (SIZE if degrees == 180 else SIZE[::-1])
    init, fragments = film_bytes(fmt, cut([item for item in items if isinstance(item, EncodedPacket)]))
    film = tmp_path / "film.mp4"
    film.write_bytes(b"".join(remux_plain(init, fragments)))
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
