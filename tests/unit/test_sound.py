"""Sound into a clip: nothing lost, nothing twice, cut where pictures are cut; and back out of its fragments."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import aac
from agent.core.errors import BadInput, Corrupt
from agent.core.fmp4_sound import parse_sound, parse_sound_init, render_sound, sound_init
from agent.core.frame import SoundFormat, SoundPacket
from agent.core.sound import SoundRun, SoundShelf

SECOND = 1_000_000_000
FORMAT = SoundFormat(16_000, 1, bytes.fromhex("1408"))
FRAME_NS = 64_000_000


def packets(start_ns: int, count: int, jitter_ns: int = 0) -> list[SoundPacket]:
    return [
        SoundPacket(b"%06d" % n, start_ns + n * FRAME_NS + (jitter_ns if n % 2 else -jitter_ns)) for n in range(count)
    ]


def heard(runs: list[SoundRun]) -> list[int]:
    return [int(data) for run in runs for data in run.packets]


@pytest.mark.parametrize(
    ("config", "rate_hz", "channels"),
    [
        ("1408", 16_000, 1),
        ("1190", 48_000, 2),
        ("119056e500", 48_000, 2),
        ("1588", 8_000, 1),
        ("17801f4008", 16_000, 1),
    ],
)
def test_aac_lc_is_recorded_as_it_is(config: str, rate_hz: int, channels: int) -> None:
    assert aac.read_config(bytes.fromhex(config)) == SoundFormat(rate_hz, channels, bytes.fromhex(config))


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ("", "nothing"),
        ("14", "half of it"),
        ("2c0a08", "HE-AAC"),
        ("119056e580", "HE-AAC said behind"),
        ("1430", "six channels"),
        ("1400", "channels named elsewhere"),
        ("140c", "960 samples"),
        ("1010", "96 kHz"),
        ("1690", "a rate that is none"),
        ("14080000" * 20, "too long"),
    ],
)
def test_other_sound_is_not(config: str, what: str) -> None:
    with pytest.raises(BadInput):
        aac.read_config(bytes.fromhex(config))


@given(st.binary(max_size=70))
def test_any_bytes_are_a_config_or_bad_input(config: bytes) -> None:
    try:
        fmt = aac.read_config(config)
    except BadInput:
        return
    assert parse_sound_init(sound_init(fmt)) == fmt


def test_sound_goes_in_and_comes_out_bit_for_bit() -> None:
    run = SoundRun((b"one", b"two", b"three"), 7 * SECOND, 3 * FRAME_NS)
    samples = parse_sound(render_sound(run, FORMAT, 5 * SECOND, 4))
    assert samples.packets == run.packets
    assert samples.start_ticks == 32_000
    assert samples.end_ticks == 32_000 + 3 * 1024


@given(st.data())
def test_any_byte_changed_is_corrupt_or_sound(data: st.DataObject) -> None:
    good = render_sound(SoundRun((b"one", b"two"), SECOND, 0), FORMAT, 0, 1)
    at, value = data.draw(st.integers(0, len(good) - 1)), data.draw(st.integers(0, 255))
    changed = good[:at] + bytes([value]) + good[at + 1 :]
    try:
        samples = parse_sound(changed)
    except Corrupt:
        return
    assert len(samples.packets) == 2


def test_runs_end_where_runs_of_pictures_begin() -> None:
    shelf = SoundShelf(FORMAT)
    runs: list[SoundRun] = []
    shelf.begin(0)
    for n, packet in enumerate(packets(0, 100)):
        if n % 16 == 0:
            runs += shelf.cut(packet.pts_ns)
        runs += shelf.push(packet)
    runs += shelf.end(10 * SECOND)
    assert heard(runs) == list(range(100))
    assert [run.start_ns for run in runs] == [n * 16 * FRAME_NS for n in range(7)]


def test_the_pre_roll_is_heard_and_nothing_before_it() -> None:
    shelf = SoundShelf(FORMAT)
    for packet in packets(0, 100):
        assert shelf.push(packet) == []
    shelf.forget(2 * SECOND)
    shelf.begin(3 * SECOND)
    runs = shelf.cut(3 * SECOND) + shelf.cut(4 * SECOND) + shelf.cut(5 * SECOND) + shelf.end(6 * SECOND)
    first = next(n for n in range(100) if n * FRAME_NS >= 3 * SECOND)
    last = max(n for n in range(100) if n * FRAME_NS < 6 * SECOND)
    assert heard(runs) == list(range(first, last + 1))
    assert len(runs) == 3


def test_sound_that_comes_late_is_not_heard_before_the_clip() -> None:
    shelf = SoundShelf(FORMAT)
    shelf.begin(SECOND)
    runs = shelf.cut(SECOND) + shelf.cut(2 * SECOND)
    for packet in packets(0, 50):
        runs += shelf.push(packet)
    runs += shelf.end(3 * SECOND)
    assert heard(runs)[0] == 16, "the first that begins at or after one second"


def test_a_clip_that_goes_on_in_the_next_loses_no_sound() -> None:
    shelf = SoundShelf(FORMAT)
    shelf.begin(0)
    runs = shelf.cut(0) + shelf.cut(SECOND) + shelf.cut(2 * SECOND)
    for packet in packets(0, 100):
        runs += shelf.push(packet)
    assert heard(runs)[-1] * FRAME_NS < 2 * SECOND, "nobody knows yet where pictures are cut next"
    runs += shelf.end(3 * SECOND)
    shelf.begin(3 * SECOND)
    runs += shelf.cut(3 * SECOND) + shelf.end(100 * SECOND)
    assert heard(runs) == list(range(100))


def test_jitter_does_not_tear_it_and_a_hole_does() -> None:
    shelf = SoundShelf(FORMAT)
    shelf.begin(0)
    runs: list[SoundRun] = []
    for packet in [*packets(SECOND, 10, jitter_ns=4_000_000), *packets(5 * SECOND, 10)]:
        runs += shelf.push(packet)
    runs += shelf.end(10 * SECOND)
    assert [(run.start_ns, len(run.packets)) for run in runs] == [(SECOND - 4_000_000, 10), (5 * SECOND, 10)]


def test_what_was_heard_already_is_left_out() -> None:
    shelf = SoundShelf(FORMAT)
    shelf.begin(0)
    runs = [run for packet in [*packets(0, 40), *packets(SECOND, 10)] for run in shelf.push(packet)]
    runs += shelf.end(10 * SECOND)
    assert heard(runs) == list(range(40))


@given(
    st.lists(st.tuples(st.integers(-200_000_000, SECOND), st.integers(0, 5)), max_size=80),
    st.integers(0, 3 * SECOND),
)
def test_whatever_comes_runs_are_in_order_and_never_overlap(steps: list[tuple[int, int]], zero_ns: int) -> None:
    shelf = SoundShelf(FORMAT)
    now_ns, runs, begun = 0, [], False
    for n, (step_ns, what) in enumerate(steps):
        now_ns = max(0, now_ns + step_ns)
        runs += shelf.push(SoundPacket(b"%d" % n, now_ns))
        if what == 0 and not begun:
            shelf.begin(zero_ns)
            begun = True
        elif what == 1:
            runs += shelf.cut(now_ns)
        elif what == 2:
            shelf.forget(now_ns - SECOND)
    runs += shelf.end(now_ns + SECOND)
    assert all(before.start_ns + before.duration_ns <= after.start_ns for before, after in itertools.pairwise(runs))
    assert all(run.start_ns >= zero_ns and run.duration_ns <= 2 * SECOND + FRAME_NS for run in runs)
    assert sorted(heard(runs)) == heard(runs)


@pytest.mark.parametrize("recording", [False, True])
def test_a_source_whose_pictures_stopped_does_not_fill_the_memory(recording: bool) -> None:
    shelf = SoundShelf(FORMAT)
    if recording:
        shelf.begin(0)
    for packet in packets(0, 20_000):
        shelf.push(packet)
    assert shelf.size <= 8192 * 6
