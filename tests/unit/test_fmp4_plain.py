"""The plain MP4 of an export: the same packets at the same times, in a file anything plays."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest

from agent.adapters.replay import ReplaySource
from agent.core.errors import Corrupt
from agent.core.fmp4 import Run
from agent.core.frame import EncodedPacket, VideoFormat
from agent.core.plain_mp4 import remux_plain
from tests.films import SECOND, FilmKind, cut, decoded, demuxed, film_bytes, make_film

VFR_TIMES = [0, 512, 1024, 5000, 5100, 9000, 9512, 30_000, 30_512, 31_024, 50_000, 50_512]
KINDS = {
    "plain": FilmKind(),
    "b-frames": FilmKind(b_frames=3, options=(("b-pyramid", "normal"),)),
    "vfr": FilmKind(pictures=12, times=VFR_TIMES),
    "vfr-b-frames": FilmKind(pictures=12, times=VFR_TIMES, b_frames=2, gop=6),
    "one-picture": FilmKind(pictures=1),
    "long-gop": FilmKind(pictures=100, gop=250),
}


def source_runs(path: Path) -> tuple[VideoFormat, list[Run]]:
    items = list(ReplaySource([path]))
    fmt = next(item for item in items if isinstance(item, VideoFormat))
    return fmt, cut([item for item in items if isinstance(item, EncodedPacket)])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("plain", [False, True])
def test_the_film_is_the_source(tmp_path: Path, name: str, plain: bool) -> None:
    source = make_film(tmp_path / "source.mp4", KINDS[name])
    init, fragments = film_bytes(*source_runs(source))
    film = tmp_path / "film.mp4"
    film.write_bytes(b"".join(remux_plain(init, fragments) if plain else [init, *fragments]))

    ours, theirs = demuxed(film), demuxed(source)
    assert [(p.data, p.key) for p in ours] == [(p.data, p.key) for p in theirs]
    assert [p.pts - ours[0].pts for p in ours] == [p.pts - theirs[0].pts for p in theirs]
    pictures, expected = decoded(film), decoded(source)
    assert [picture for _, picture in pictures] == [picture for _, picture in expected]
    assert [time - pictures[0][0] for time, _ in pictures] == [time for time, _ in expected]
    # libav shows a fragmented film with signed offsets later as a whole, by the greatest of them.
    assert pictures[0][0] == 0 or (not plain and KINDS[name].b_frames)


@pytest.mark.parametrize("name", ["b-frames", "vfr-b-frames", "plain"])
def test_a_film_from_a_later_key_fragment_begins_at_0(tmp_path: Path, name: str) -> None:
    source = make_film(tmp_path / "source.mp4", KINDS[name])
    fmt, runs = source_runs(source)
    init, fragments = film_bytes(fmt, runs)
    later = next(i for i, run in enumerate(runs) if run.key and i > 0)
    film = tmp_path / "film.mp4"
    film.write_bytes(b"".join(remux_plain(init, fragments[later:])))
    shift = Fraction(runs[later].packets[0].pts_ns, SECOND)
    expected = decoded(source)[-len(decoded(film)) :]
    assert [picture for _, picture in decoded(film)] == [picture for _, picture in expected]
    assert decoded(film)[0][0] == 0
    assert abs(expected[0][0] - shift) < Fraction(1, 10_000)


def test_the_pictures_shown_are_all_within_the_declared_length(tmp_path: Path) -> None:
    """An edit list too short by one picture loses it in players that obey it."""
    fmt, runs = source_runs(make_film(tmp_path / "source.mp4", KINDS["vfr-b-frames"]))
    head = next(remux_plain(*film_bytes(fmt, runs)))
    at = head.index(b"elst") + 12
    shown, delay = struct.unpack(">Qq", head[at : at + 16])
    last = max(p.pts_ns for run in runs for p in run.packets) - runs[0].packets[0].pts_ns
    assert shown / fmt.timescale * SECOND > last
    assert delay > 0


def test_pictures_without_a_key_frame_are_left_out_or_refused() -> None:
    fmt = VideoFormat(64, 48, 1000, bytes([1, 0x64, 0, 0x1F, 0xFF, 0xE1, 0, 1, 0x67, 1, 0, 1, 0x68]))
    packets = [
        EncodedPacket(b"\0\0\0\2\x65\1", 0, 0, SECOND // 2, True),
        EncodedPacket(b"\0\0\0\2\x65\2", SECOND * 2, SECOND // 2, SECOND // 2, True),
        EncodedPacket(b"\0\0\0\2\x01\3", SECOND * 3 // 2, SECOND, SECOND // 2, False),
        EncodedPacket(b"\0\0\0\2\x01\4", SECOND * 5 // 2, SECOND * 3 // 2, SECOND // 2, False),
    ]
    init, fragments = film_bytes(fmt, cut(packets))
    whole = b"".join(remux_plain(init, fragments))
    assert whole.endswith(b"".join(packet.data for packet in packets))
    # From the second key frame on, the third packet is shown before the film begins.
    later = b"".join(remux_plain(init, fragments[1:]))
    assert later.endswith(packets[1].data + packets[3].data)
    assert b"\x01\3" not in later
    with pytest.raises(Corrupt, match="key frame"):
        b"".join(remux_plain(init, fragments[2:]))


def film() -> tuple[bytes, Sequence[bytes]]:
    fmt = VideoFormat(64, 48, 1000, bytes([1, 0x64, 0, 0x1F, 0xFF, 0xE1, 0, 1, 0x67, 1, 0, 1, 0x68]))
    return film_bytes(
        fmt, cut([EncodedPacket(b"x" * 9, i * SECOND // 4, i * SECOND // 4, 1, i % 8 == 0) for i in range(24)])
    )


def test_disorder_is_corrupt() -> None:
    init, fragments = film()
    with pytest.raises(Corrupt, match="out of order"):
        list(remux_plain(init, [fragments[2], fragments[0]]))
    with pytest.raises(Corrupt, match="no video"):
        list(remux_plain(init, []))
    with pytest.raises(Corrupt):
        list(remux_plain(init[1:], fragments))
    with pytest.raises(Corrupt):
        list(remux_plain(init, [fragments[0], fragments[1][:-1]]))


class _Reopened(Sequence[bytes]):
    """Opens each element anew, as records on a disk are, and remembers the most that was open at once."""

    def __init__(self, fragments: Sequence[bytes]) -> None:
        self._fragments = fragments
        self.opened = 0

    def __len__(self) -> int:
        return len(self._fragments)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        fragment = self._fragments[index]
        self.opened += 1
        return fragment


def test_fragments_are_taken_twice_and_one_by_one() -> None:
    init, fragments = film()
    reopened = _Reopened(fragments)
    pieces = remux_plain(init, reopened)
    next(pieces)
    assert reopened.opened == len(fragments)
    rest = list(pieces)
    assert reopened.opened == 2 * len(fragments)
    assert len(rest) == 1 + len(fragments)
