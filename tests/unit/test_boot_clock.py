"""A doorbell's clocks over many boots, simulated beside the truth: no clip is ever placed where it was not."""

from __future__ import annotations

import dataclasses
import random

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core import boot_clock
from agent.core.boot_clock import BootClock, ClipTime, Reading, clip_time, observe, place
from agent.core.encoding import b64u, key_id, parse_time
from agent.core.errors import BadInput, Refused
from agent.core.statements import raw_public
from agent.core.timeline import KNOWN_WITHIN_NS, Trust

S = 1_000_000_000
DAY = 86400 * S
START = parse_time("2026-11-23T14:12:10Z")
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
DEVICE = key_id(raw_public(KEY))
BOOT = b64u(bytes(range(16)))


def a_boot(*readings: Reading, before: BootClock | None = None) -> BootClock:
    clock = boot_clock.begin(before, DEVICE, BOOT)
    for reading in readings:
        clock = observe(clock, reading)
    return clock


def unset(boot_s: float, utc_ns: int) -> Reading:
    return Reading(round(boot_s * S), utc_ns, synchronised=False, error_ns=16 * S)


def set_right(boot_s: float, utc_ns: int) -> Reading:
    return Reading(round(boot_s * S), utc_ns, synchronised=True, error_ns=0)


def test_a_clip_made_in_1970_is_placed_when_the_clock_is_set() -> None:
    clock = a_boot(unset(20, 20 * S), unset(60, 60 * S), set_right(61, START), set_right(62, START + S))
    found = clip_time(30 * S, Trust.PROVISIONAL, 30_000_000, clock)
    assert (found.start_ns, found.trust) == (START - 31 * S, Trust.CORRECTED)
    assert found.latest_ns == found.start_ns + 2 * S + boot_clock.slip_ns(31 * S)
    assert [(s.from_us, s.to_us, s.synchronised) for s in clock.stretches] == [
        (20_000_000, 60_000_000, False), (61_000_000, 62_000_000, True),
    ]  # fmt: skip


def test_steps_behind_the_time_servers_back_move_nothing() -> None:
    steps = [unset(100, START + 365 * DAY), unset(101, START - 9 * DAY), unset(130, START - 9 * DAY + 29 * S)]
    clock = a_boot(set_right(61, START), set_right(90, START + 29 * S), *steps)
    assert place(clock, 120 * S).best_ns == START + 59 * S
    again = a_boot(set_right(61, START), *steps, set_right(500, START + 439 * S))
    assert place(again, 300 * S).best_ns == START + 239 * S


def test_a_synchronised_time_is_not_touched_and_a_replayed_one_neither() -> None:
    clock = a_boot(set_right(61, START))
    for trust in (Trust.SYNCHRONISED, Trust.REPLAYED):
        assert clip_time(5, trust, 0, clock) == ClipTime(5, 5, 5, trust)


def test_a_boot_that_was_never_set_lies_between_its_neighbours() -> None:
    first = a_boot(set_right(10, START), set_right(3600, START + 3590 * S))
    dark = a_boot(unset(10, 10 * S), unset(1000, 1000 * S), before=first)
    unbounded = clip_time(500 * S, Trust.PROVISIONAL, 500_000_000, dark)
    assert unbounded.trust is Trust.PROVISIONAL
    assert unbounded.latest_ns is None
    assert unbounded.start_ns == unbounded.earliest_ns
    assert START + (3590 + 500 - 5) * S < unbounded.start_ns < START + (3590 + 500) * S
    darker = a_boot(unset(5, 5 * S), unset(2000, 2000 * S), before=dark)
    third = a_boot(set_right(100, START + DAY), before=darker)
    changed = boot_clock.bounded([first, dark, darker], third)
    assert [c.number for c in changed] == [3, 2]
    found = clip_time(500 * S, Trust.PROVISIONAL, 500_000_000, changed[1])
    # Before the third boot began lies all of the second dark one, and half of the first.
    expected = START + DAY - 100 * S + S - 2000 * S - 500 * S
    assert found.latest_ns == pytest.approx(expected, abs=3 * S)
    assert found.trust is Trust.PROVISIONAL
    after = boot_clock.bounded([first, *reversed(changed)], a_boot(set_right(1, START + 9 * DAY), before=third))
    assert after == []


def test_weeks_without_a_server_are_uncertain_again() -> None:
    clock = a_boot(set_right(60, START))
    late_us = (60 + 30 * 86400) * 1_000_000
    found = clip_time(0, Trust.PROVISIONAL, late_us, clock)
    assert found.trust is Trust.PROVISIONAL
    assert found.latest_ns is not None
    assert 20 * 60 * S < found.latest_ns - found.start_ns < 22 * 60 * S


def test_a_server_lost_for_hours_does_not_spoil_what_was_known_before() -> None:
    clock = a_boot(set_right(60, START))
    early = place(clock, 30 * S)
    for n in range(61, 30_000, 30):
        error_ns = min(16 * S, (n - 60) * 500_000)
        clock = observe(clock, Reading(n * S, START + (n - 60) * S, synchronised=True, error_ns=error_ns))
    assert place(clock, 30 * S) == early
    assert [s.error_us / 1e6 for s in clock.stretches] == pytest.approx([2, 4, 8, 16], rel=0.05)


def test_a_clock_that_steps_every_second_keeps_the_statement_small() -> None:
    clock = a_boot(set_right(1, START))
    for n in range(2, 1000):
        clock = observe(clock, unset(n, START + (n % 7) * DAY))
    clock = observe(clock, set_right(1000, START + 999 * S))
    assert len(clock.stretches) == boot_clock.STRETCHES_LIMIT
    assert place(clock, 500 * S).best_ns == START + 499 * S
    assert len(boot_clock.sign_clock(clock, KEY)) < 16 * 1024
    for n in range(1001, 1200):
        clock = observe(clock, set_right(n, START + (n % 7) * DAY))
    assert clock.stretches[0].from_us == 1_000_000
    assert len(boot_clock.sign_clock(clock, KEY)) < 16 * 1024


def test_a_year_that_cannot_be_is_refused() -> None:
    for utc_ns in (-1, parse_time("2261-12-31T00:00:00Z")):
        with pytest.raises(BadInput, match="set it"):
            a_boot(unset(1, utc_ns))


def test_a_statement_is_read_as_it_was_written_and_an_altered_one_refused() -> None:
    clock = a_boot(unset(20, 20 * S), set_right(61, START))
    token = boot_clock.sign_clock(clock, KEY)
    assert boot_clock.read_clock(token, KEY.public_key()) == clock
    with pytest.raises(Refused, match="nobody here trusts"):
        boot_clock.read_clock(token, Ed25519PrivateKey.generate().public_key())
    stretch = clock.stretches[1]
    wrong = [
        {"boot": "short"}, {"device": b64u(bytes(16))}, {"number": 0}, {"until_us": 5}, {"until_us": 2**60},
        {"began_after": "yesterday"}, {"ended_before": "2026-11-23T14:12:10+01:00"},
        {"stretches": [stretch, stretch, clock.stretches[0]]}, {"stretches": [stretch] * 65},
        {"stretches": [msgspec.structs.replace(stretch, error_us=-1)]},
        {"stretches": [msgspec.structs.replace(stretch, utc="9999-01-01T00:00:00Z")]},
    ]  # fmt: skip
    for change in wrong:
        with pytest.raises(Refused):
            boot_clock.read_clock(
                boot_clock.sign_clock(msgspec.structs.replace(clock, **change), KEY), KEY.public_key()
            )


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_by_one_kind_of_error(data: bytes) -> None:
    with pytest.raises(Refused):
        boot_clock.read_clock(data, KEY.public_key())


@dataclasses.dataclass
class Clip:
    """A clip of the simulation: what its header says, and when it truly began."""

    boot: int
    boot_us: int
    written_ns: int
    trust: Trust
    true_ns: int


class Machine:
    """A machine without clock battery, and the truth beside it. Its oscillator wanders within the promised bounds."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.truth_ns = START
        self.clocks: list[BootClock] = []
        self.clips: list[Clip] = []

    def live(self, until_ns: int) -> None:
        while self.truth_ns < until_ns:
            self._boot()
            self.truth_ns += round(self.random.expovariate(1 / (6 * 3600 * S)))  # the power is off

    def _boot(self) -> None:
        pick = self.random
        clock = boot_clock.begin(self.clocks[-1] if self.clocks else None, DEVICE, b64u(pick.randbytes(16)))
        boot_ns = 0
        wall_ns = pick.choice([0, self.truth_ns - round(pick.random() * 30 * DAY), self.truth_ns + 40 * 365 * DAY])
        synchronised = False
        ends_ns = min(round(pick.expovariate(1 / (20 * 3600 * S))), 200 * 3600 * S)
        serves = pick.random() < 0.6
        rate = pick.choice([-4.9e-4, 4.9e-4, pick.uniform(-4.9e-4, 4.9e-4)])
        first = True
        while boot_ns < ends_ns:
            if not first:
                step_ns = round(pick.expovariate(1 / (pick.choice([2, 600, 9000]) * S)))
                self.truth_ns += step_ns
                gone_ns = step_ns + round(step_ns * rate)
                boot_ns, wall_ns = boot_ns + gone_ns, wall_ns + gone_ns
            first = False
            event = pick.random()
            if serves and event < 0.3:
                wall_ns, synchronised = self.truth_ns + round(pick.uniform(-0.9, 0.9) * S), True
            elif event < 0.36:
                wall_ns, synchronised = max(0, wall_ns + round(pick.uniform(-400, 400) * DAY)), False
            elif synchronised and abs(wall_ns - self.truth_ns) > S:
                synchronised = False  # a kernel that goes on vouching for it would lie
            clock = observe(clock, Reading(boot_ns, wall_ns, synchronised, 0))
            if pick.random() < 0.4:
                self._film(clock, boot_ns, wall_ns)
        if clock.was_set:
            for changed in boot_clock.bounded(self.clocks, clock):
                self.clocks[changed.number - 1] = changed
        self.clocks.append(clock)

    def _film(self, clock: BootClock, boot_ns: int, wall_ns: int) -> None:
        now = place(clock, boot_ns)
        known = now.best_ns is not None and now.latest_ns is not None and now.latest_ns - now.best_ns <= KNOWN_WITHIN_NS
        written_ns = now.best_ns if now.best_ns is not None else wall_ns
        trust = Trust.SYNCHRONISED if known else Trust.PROVISIONAL
        self.clips.append(Clip(clock.number - 1, boot_ns // 1000, written_ns, trust, self.truth_ns))


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_a_year_of_boots_with_a_dead_clock_battery_mislabels_nothing(seed: int) -> None:
    machine = Machine(seed)
    machine.live(START + 365 * DAY)
    placed = [clip_time(c.written_ns, c.trust, c.boot_us, machine.clocks[c.boot]) for c in machine.clips]
    for clip, found in zip(machine.clips, placed, strict=True):
        if found.trust is Trust.PROVISIONAL:
            assert found.earliest_ns is None or found.earliest_ns <= clip.true_ns
            assert found.latest_ns is None or clip.true_ns <= found.latest_ns + 1000
        else:
            assert abs(found.start_ns - clip.true_ns) <= KNOWN_WITHIN_NS
    set_since = [c for c in machine.clips if machine.clocks[c.boot].was_set and c.trust is Trust.PROVISIONAL]
    assert all(placed[machine.clips.index(c)].earliest_ns is not None for c in set_since)


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_no_placing_contradicts_the_order_in_which_clips_were_recorded(seed: int) -> None:
    machine = Machine(seed)
    machine.live(START + 60 * DAY)
    newest_ns: int | None = None
    for clip in machine.clips:
        found = clip_time(clip.written_ns, clip.trust, clip.boot_us, machine.clocks[clip.boot])
        sure = found.trust in (Trust.SYNCHRONISED, Trust.CORRECTED)
        earliest_ns = found.start_ns - KNOWN_WITHIN_NS if sure else found.earliest_ns
        latest_ns = found.start_ns + KNOWN_WITHIN_NS if sure else found.latest_ns
        assert newest_ns is None or latest_ns is None or latest_ns >= newest_ns - 2 * KNOWN_WITHIN_NS
        if earliest_ns is not None:
            newest_ns = earliest_ns if newest_ns is None else max(newest_ns, earliest_ns)
