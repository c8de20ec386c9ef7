"""NAL units, parameter sets and packings."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from av.video.frame import PictureType
from hypothesis import given
from hypothesis import strategies as st

from agent.core import h264
from agent.core.errors import BadInput
from agent.core.packing import Packing
from tests.films import FilmKind, demuxed, make_film

# A NAL unit holds no start code, does not end in zero, and has a type.
UNITS = st.lists(st.binary(min_size=1, max_size=12).map(lambda b: b.replace(b"\0", b"\x09") + b"\x80"), min_size=1)


def extradata(path: Path) -> bytes:
    with av.open(str(path)) as container:
        return bytes(container.streams.video[0].codec_context.extradata)


@given(UNITS, st.lists(st.sampled_from([b"\0\0\1", b"\0\0\0\1", b"\0\0\0\0\1"]), min_size=1))
def test_a_byte_stream_comes_apart_and_together(units: list[bytes], starts: list[bytes]) -> None:
    stream = b"".join(starts[i % len(starts)] + unit for i, unit in enumerate(units))
    assert h264.split_annexb(stream) == units
    assert h264.split_lengths(h264.join_lengths(units)) == units


@given(UNITS, st.sampled_from([1, 2, 4]))
def test_lengths_of_any_size_come_apart(units: list[bytes], size: int) -> None:
    assert h264.split_lengths(b"".join(len(u).to_bytes(size, "big") + u for u in units), size) == units


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_bad_input(data: bytes) -> None:
    for read in (
        h264.split_annexb,
        h264.split_lengths,
        h264.parse_configuration,
        h264.parse_sps,
        lambda b: h264.parse_sps(b"\x67" + b),
        lambda b: Packing(b, 1000),
        lambda b: Packing(b"", 1000).format_at([b"\x67" + b, b"\x68\xee"]),
    ):
        try:
            read(data)
        except BadInput:
            continue


@pytest.mark.parametrize("size", [(64, 48), (1920, 1080), (322, 246), (160, 120), (18, 34)])
@pytest.mark.parametrize(("pixels", "depth"), [("yuv420p", 8), ("yuv422p", 8), ("yuv444p", 8), ("yuv420p10le", 10)])
def test_parameter_sets_tell_size_and_depth(tmp_path: Path, size: tuple[int, int], pixels: str, depth: int) -> None:
    film = make_film(tmp_path / "a.mp4", FilmKind(size=size, pictures=1, pixels=pixels))
    sets, length_size = h264.parse_configuration(extradata(film))
    shape = h264.parse_sps(sets.sps[0])
    assert (shape.width, shape.height, shape.bit_depth_luma, length_size) == (*size, depth, 4)
    assert shape.chroma_format_idc == {"yuv420p": 1, "yuv422p": 2, "yuv444p": 3}[pixels.removesuffix("10le")]


@pytest.mark.parametrize("params", ["tff=1", "cqm=jvt"])
def test_fields_and_scaling_lists_do_not_confuse_the_size(tmp_path: Path, params: str) -> None:
    film = make_film(tmp_path / "a.mp4", FilmKind(size=(720, 576), pictures=2, options=(("x264-params", params),)))
    shape = h264.parse_sps(h264.parse_configuration(extradata(film))[0].sps[0])
    assert (shape.width, shape.height) == (720, 576)


@pytest.mark.parametrize("profile", ["baseline", "main", "high"])
def test_a_configuration_built_anew_is_the_one_libav_writes(tmp_path: Path, profile: str) -> None:
    film = make_film(tmp_path / "a.mp4", FilmKind(pictures=1, options=(("profile", profile),)))
    record = extradata(film)
    assert h264.build_configuration(h264.parse_configuration(record)[0]) == record


def test_pictures_nothing_refers_to_are_told_apart(tmp_path: Path) -> None:
    film = make_film(
        tmp_path / "a.mp4", FilmKind(pictures=25, b_frames=2, options=(("x264-params", "b-pyramid=none"),))
    )
    with av.open(str(film)) as container:
        track = container.streams.video[0]
        shown_b = {f.pts * track.time_base for f in container.decode(track) if f.pict_type == PictureType.B}
    # Without a pyramid x264 refers to no B picture, and to all others.
    assert shown_b == {p.pts for p in demuxed(film) if h264.is_disposable(h264.split_lengths(p.data))}
    assert shown_b


class TestPacking:
    """Whatever the source packs, a film has 4-byte lengths."""

    def pieces(self, tmp_path: Path) -> tuple[bytes, h264.ParameterSets, list[bytes]]:
        film = make_film(tmp_path / "a.mp4", FilmKind(pictures=1))
        record = extradata(film)
        return record, h264.parse_configuration(record)[0], h264.split_lengths(demuxed(film)[0].data)

    def test_a_record_with_4_byte_lengths_is_taken_as_it_is(self, tmp_path: Path) -> None:
        record, _, units = self.pieces(tmp_path)
        packing = Packing(record, 12_800)
        data = h264.join_lengths(units)
        assert packing.joined(data, packing.split(data)) is data
        fmt = packing.format_at(units)
        assert fmt is not None
        assert (fmt.width, fmt.height, fmt.timescale, fmt.parameter_sets) == (64, 48, 12_800, record)
        assert packing.format_at(units) is None

    @pytest.mark.parametrize("size", [1, 2])
    def test_other_length_sizes_are_widened(self, tmp_path: Path, size: int) -> None:
        record, _, units = self.pieces(tmp_path)
        units = [unit[:200] for unit in units]
        packing = Packing(record[:4] + bytes([0xFC | (size - 1)]) + record[5:], 1000)
        data = b"".join(len(unit).to_bytes(size, "big") + unit for unit in units)
        assert packing.joined(data, packing.split(data)) == h264.join_lengths(units)
        fmt = packing.format_at(units)
        assert fmt is not None
        assert fmt.parameter_sets == record

    def test_parameter_sets_are_gathered_from_the_stream(self, tmp_path: Path) -> None:
        record, sets, units = self.pieces(tmp_path)
        packing = Packing(b"", 1000)
        stream = b"".join(b"\0\0\0\1" + unit for unit in (*sets.sps, *sets.pps, *units))
        found = packing.split(stream)
        fmt = packing.format_at(found)
        assert fmt is not None
        assert fmt.parameter_sets == record
        assert packing.joined(stream, found) == h264.join_lengths([*sets.sps, *sets.pps, *units])

    def test_new_parameter_sets_make_a_new_format(self, tmp_path: Path) -> None:
        small = h264.parse_configuration(extradata(make_film(tmp_path / "a.mp4", FilmKind(pictures=1))))[0]
        large = h264.parse_configuration(
            extradata(make_film(tmp_path / "b.mp4", FilmKind(pictures=1, size=(128, 96))))
        )[0]
        packing = Packing(b"", 1000)
        sizes = []
        for sets in (small, small, large, small):
            fmt = packing.format_at([*sets.sps, *sets.pps, b"\x65\x88"])
            sizes.append(fmt and (fmt.width, fmt.height))
        assert sizes == [(64, 48), None, (128, 96), (64, 48)]

    def test_without_parameter_sets_nothing_can_begin(self) -> None:
        with pytest.raises(BadInput, match="without parameter sets"):
            Packing(b"", 1000).format_at([b"\x65\x88"])
