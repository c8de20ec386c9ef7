"""Runs, fragments and init segments: times, limits, strictness."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.errors import BadInput, Corrupt
from agent.core.fmp4 import (
    MAX_RUN_BYTES,
    MAX_RUN_NS,
    MAX_RUN_PACKETS,
    Fragmenter,
    Origin,
    Run,
    init_segment,
    parse_fragment,
    parse_init,
    render_fragment,
    to_ticks,
)
from agent.core.fmp4_sound import parse_sound, parse_sound_init, render_sound, sound_init
from agent.core.frame import EncodedPacket, SoundFormat, VideoFormat
from agent.core.sound import SoundRun
from tests.films import SECOND, cut, film_bytes

FORMAT = VideoFormat(640, 480, 90_000, bytes([1, 0x64, 0, 0x1F, 0xFF, 0xE1, 0, 1, 0x67, 1, 0, 1, 0x68]))


RARELY = st.integers(0, 5).map(lambda n: n == 0)


def packet(dts_ns: int, pts_ns: int | None = None, key: bool = False, size: int = 5) -> EncodedPacket:
    return EncodedPacket(bytes([dts_ns % 251]) * size, dts_ns if pts_ns is None else pts_ns, dts_ns, 40_000_000, key)


@st.composite
def streams(draw: st.DrawFn) -> list[EncodedPacket]:
    """Packets with rising decoding times, shown in any order after the first, which is a key frame."""
    dts = draw(st.integers(-SECOND, 10**15))
    begin_ns = dts + draw(st.integers(0, 200_000_000))
    packets = [EncodedPacket(b"first", begin_ns, dts, 40_000_000, True)]
    for gap in draw(st.lists(st.integers(1_000_000, 900_000_000), max_size=40)):
        dts += gap
        pts = max(dts, begin_ns) + draw(st.integers(0, SECOND))
        packets.append(EncodedPacket(draw(st.binary(min_size=1, max_size=9)), pts, dts, 40_000_000, draw(RARELY)))
    return packets


@given(streams())
def test_runs_hold_every_packet_and_end_where_the_spec_says(packets: list[EncodedPacket]) -> None:
    runs = cut(packets)
    assert [p for run in runs for p in run.packets] == packets
    for run, after in zip(runs, [*runs[1:], None], strict=True):
        assert not any(p.key for p in run.packets[1:])
        assert run.packets[-1].dts_ns - run.packets[0].dts_ns < MAX_RUN_NS
        assert run.next_dts_ns == (None if after is None else after.packets[0].dts_ns)
        assert run.start_ns == min(p.pts_ns for p in run.packets)
        assert run.start_ns + run.duration_ns == max(p.pts_ns + p.duration_ns for p in run.packets)


@st.composite
def reordered(draw: st.DrawFn) -> list[EncodedPacket]:
    """A stream as encoders make it: anchors a few pictures apart, the B-frames between them decoded after the later."""
    packets: list[EncodedPacket] = []
    shown, frame_ns = 0, draw(st.sampled_from([33_000_000, 40_000_000, 100_000_000]))
    order: list[tuple[int, bool]] = [(0, True)]
    while len(order) < draw(st.integers(20, 80)):
        group = draw(st.integers(1, 4))
        key = draw(RARELY)
        order.append((shown + group, key))
        order += [(n, False) for n in draw(st.permutations(range(shown + 1, shown + group)))]
        shown += group
    delay = max(n - position for position, (n, _) in enumerate(order)) + 4
    for position, (n, key) in enumerate(order):
        dts = min((position - delay), n) * frame_ns
        packets.append(EncodedPacket(b"x", n * frame_ns, dts, frame_ns, key))
    return packets


@given(reordered())
def test_a_film_may_end_behind_any_run_without_a_hole(packets: list[EncodedPacket]) -> None:
    runs = cut(packets)
    assert [p for run in runs for p in run.packets] == packets
    for n, run in enumerate(runs[:-1]):
        if not runs[n + 1].key:
            shown = max(p.pts_ns for p in run.packets)
            assert all(shown < p.pts_ns for later in runs[n + 1 :] for p in later.packets)


@given(reordered(), st.data())
def test_a_film_settled_at_any_moment_has_no_hole(packets: list[EncodedPacket], data: st.DataObject) -> None:
    moment = data.draw(st.integers(1, len(packets)))
    fragmenter = Fragmenter()
    runs = [run for packet in packets[:moment] for run in fragmenter.push(packet)]
    runs += fragmenter.settle()
    kept = [p.pts_ns for run in runs for p in run.packets]
    assert set(kept) == {p.pts_ns for p in packets if p.pts_ns <= max(kept, default=-1)}
    after = [run for packet in packets[moment:] for run in fragmenter.push(packet)] + fragmenter.flush()
    assert [p for run in [*runs, *after] for p in run.packets] == packets, "nothing is lost over it"


@given(streams(), st.sampled_from([10, 1000, 12_800, 90_000, 1_000_000, 10_000_000]))
def test_fragments_say_when_each_packet_is_decoded_and_shown(packets: list[EncodedPacket], timescale: int) -> None:
    runs = cut(packets)
    fmt = VideoFormat(FORMAT.width, FORMAT.height, timescale, FORMAT.parameter_sets)
    origin = runs[0].origin
    samples = [sample for fragment in film_bytes(fmt, runs)[1] for sample in parse_fragment(fragment)]

    assert [s.data for s in samples] == [p.data for p in packets]
    assert [s.key for s in samples] == [p.key for p in packets]
    zero_pts, zero_dts = to_ticks(origin.pts_ns, timescale), to_ticks(origin.dts_ns, timescale)
    assert [s.present_ticks for s in samples] == [to_ticks(p.pts_ns, timescale) - zero_pts for p in packets]
    assert [s.decode_ticks for s in samples] == [to_ticks(p.dts_ns, timescale) - zero_dts for p in packets]
    assert samples[0].decode_ticks == samples[0].present_ticks == 0
    for sample, after in pairwise(samples):
        assert sample.decode_ticks + sample.duration_ticks == after.decode_ticks


def test_a_film_may_begin_at_any_key_fragment() -> None:
    packets = [packet(i * 40_000_000, i * 40_000_000 + 80_000_000, key=i % 10 == 0) for i in range(40)]
    runs = cut(packets)
    samples = parse_fragment(film_bytes(FORMAT, runs[2:])[1][0])
    assert samples[0].decode_ticks == samples[0].present_ticks == 0
    assert samples[0].data == packets[20].data


def test_pictures_before_the_first_key_frame_are_left_out() -> None:
    open_gop = [packet(0, 120_000_000, key=True), packet(40_000_000, 40_000_000), packet(80_000_000, 160_000_000)]
    run = Run(tuple(open_gop), None)
    samples = parse_fragment(render_fragment(run, FORMAT, run.origin, 1))
    assert [s.data for s in samples] == [open_gop[0].data, open_gop[2].data]
    assert samples[0].duration_ticks == 7200
    with pytest.raises(BadInput, match="before the film"):
        render_fragment(Run((open_gop[1],), None), FORMAT, run.origin, 2)


def test_a_run_before_the_origin_is_refused() -> None:
    early = Run((packet(0, 2 * SECOND, key=True),), None)
    with pytest.raises(BadInput, match="before the film"):
        render_fragment(early, FORMAT, Origin(SECOND, SECOND), 1)


def test_the_last_packet_lasts_until_the_next_run_or_as_long_as_it_says() -> None:
    first, last = cut([packet(0, key=True), packet(40_000_000), packet(700_000_000, key=True)])
    assert [s.duration_ticks for s in parse_fragment(render_fragment(first, FORMAT, first.origin, 1))] == [3600, 59_400]
    assert [s.duration_ticks for s in parse_fragment(render_fragment(last, FORMAT, first.origin, 2))] == [3600]


def test_runs_stay_within_eight_mebibytes_and_1024_packets() -> None:
    big = [packet(i * 10_000_000, key=i == 0, size=3 * 1024 * 1024) for i in range(5)]
    assert [len(run.packets) for run in cut(big)] == [2, 2, 1]
    many = [packet(i * 1000, key=i == 0) for i in range(MAX_RUN_PACKETS + 1)]
    assert [len(run.packets) for run in cut(many)] == [MAX_RUN_PACKETS, 1]
    whole = cut([packet(0, key=True, size=MAX_RUN_BYTES)])
    assert parse_fragment(render_fragment(whole[0], FORMAT, whole[0].origin, 1))[0].data == whole[0].packets[0].data


@pytest.mark.parametrize("size", [0, MAX_RUN_BYTES + 1])
def test_a_picture_too_large_or_empty_is_bad_input(size: int) -> None:
    with pytest.raises(BadInput, match="not possible"):
        Fragmenter().push(packet(0, key=True, size=size))


def test_decoding_times_that_run_backwards_are_bad_input() -> None:
    fragmenter = Fragmenter()
    fragmenter.push(packet(SECOND, key=True))
    fragmenter.flush()
    with pytest.raises(BadInput, match="backwards"):
        fragmenter.push(packet(SECOND))


def test_a_picture_shown_minutes_after_it_is_decoded_is_bad_input() -> None:
    fast = VideoFormat(64, 64, 10_000_000, FORMAT.parameter_sets)
    run = Run((packet(0, key=True), packet(1, 300 * SECOND)), None)
    with pytest.raises(BadInput, match="minutes apart"):
        render_fragment(run, fast, run.origin, 1)


@pytest.mark.parametrize(
    "fmt",
    [
        VideoFormat(0, 10, 1000, bytes(9)),
        VideoFormat(10, 16_385, 1000, bytes(9)),
        VideoFormat(10, 10, 0, bytes(9)),
        VideoFormat(10, 10, 10_000_001, bytes(9)),
        VideoFormat(10, 10, 1000, bytes(6)),
        VideoFormat(10, 10, 1000, bytes(16 * 1024 + 1)),
    ],
)
def test_formats_outside_the_limits_are_bad_input(fmt: VideoFormat) -> None:
    with pytest.raises(BadInput):
        init_segment(fmt)


@given(
    st.builds(
        VideoFormat,
        st.integers(1, 16_384),
        st.integers(1, 16_384),
        st.integers(1, 10_000_000),
        st.binary(min_size=7, max_size=300),
    )
)
def test_an_init_segment_reads_back(fmt: VideoFormat) -> None:
    assert parse_init(init_segment(fmt)) == fmt


GOOD_RUN = cut([packet(i * 40_000_000, i * 40_000_000 + 80_000_000, i == 0) for i in range(6)])[0]
GOOD_FRAGMENT = render_fragment(GOOD_RUN, FORMAT, GOOD_RUN.origin, 1)
GOOD_INIT = init_segment(FORMAT)


def _damaged(data: bytes, at: int, value: int, drop: int) -> bytes:
    changed = bytearray(data)
    changed[at % len(changed)] = value
    return bytes(changed[: len(changed) - drop])


@given(st.binary(max_size=400))
def test_any_bytes_are_a_fragment_or_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        parse_fragment(data)
    with pytest.raises(Corrupt):
        parse_init(data)


@given(st.integers(0, len(GOOD_FRAGMENT) - 1), st.integers(0, 255), st.integers(0, 3))
def test_a_damaged_fragment_is_refused_or_says_only_what_it_can(at: int, value: int, drop: int) -> None:
    data = _damaged(GOOD_FRAGMENT, at, value, drop)
    try:
        samples = parse_fragment(data)
    except Corrupt:
        return
    assert drop == 0
    assert len(samples) == 6
    assert b"".join(s.data for s in samples) == data[-30:]


@given(st.integers(0, len(GOOD_INIT) - 1), st.integers(0, 255), st.integers(0, 3))
def test_a_damaged_init_segment_is_refused_or_is_another_one(at: int, value: int, drop: int) -> None:
    data = _damaged(GOOD_INIT, at, value, drop)
    try:
        fmt = parse_init(data)
    except Corrupt:
        return
    assert init_segment(fmt) == data


def test_every_single_byte_of_the_structure_counts() -> None:
    """Outside times, sizes that still add up, and the video itself, no byte may change unseen."""
    free = set()
    for at in range(len(GOOD_FRAGMENT) - 30):
        changed = bytearray(GOOD_FRAGMENT)
        changed[at] ^= 0x40
        try:
            parse_fragment(bytes(changed))
        except Corrupt:
            continue
        free.add(at)
    sequence = set(range(20, 24))
    base = set(range(60, 68))
    rows = {88 + 16 * row + at for row in range(6) for at in (*range(4), *range(12, 16))}
    assert free <= sequence | base | rows


VECTORS = sorted((Path(__file__).parents[1] / "vectors" / "fragment").glob("*.json"))


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_vectors(path: Path) -> None:
    vector = json.loads(path.read_text())
    data = bytes.fromhex(vector["bytes"])
    parse = {
        "init": parse_init,
        "fragment": parse_fragment,
        "sound-init": parse_sound_init,
        "sound": parse_sound,
    }[vector["kind"]]
    if vector["outcome"] == "corrupt":
        with pytest.raises(Corrupt):
            parse(data)
        return
    parse(data)
    if "sound" in vector["kind"]:
        check_sound_vector(vector, data)
        return
    fmt = VideoFormat(**{**vector["format"], "parameter_sets": bytes.fromhex(vector["format"]["parameter_sets"])})
    if vector["kind"] == "init":
        assert init_segment(fmt) == data
        return
    packets = tuple(EncodedPacket(bytes.fromhex(p.pop("data")), **p) for p in vector["packets"])
    run = Run(packets, vector["next_dts_ns"])
    assert render_fragment(run, fmt, Origin(**vector["origin"]), vector["sequence"]) == data


def check_sound_vector(vector: dict[str, Any], data: bytes) -> None:
    fmt = SoundFormat(**{**vector["format"], "config": bytes.fromhex(vector["format"]["config"])})
    if vector["kind"] == "sound-init":
        assert sound_init(fmt) == data
        return
    packets = tuple(bytes.fromhex(packet) for packet in vector["packets"])
    run = SoundRun(packets, vector["start_ns"], 0)
    assert render_sound(run, fmt, vector["zero_ns"], vector["sequence"]) == data
