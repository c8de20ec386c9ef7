"""What leaves the ring and what may be held: by budget, disk, age and the owner's word, and never by a crash's."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.consent import State
from agent.core.errors import NotThere, Refused, Unavailable
from agent.core.frame import Track
from agent.core.retention import HELD_BY_ONE, HELD_IN_ALL, Limits, Room, may_hold, outlived, to_make_room
from agent.core.timeline import Span
from agent.store.check import Checker
from agent.store.recording import Fragment
from agent.store.ring import Ring
from tests.household import NOW, SECOND, Household

DAY = 86_400 * SECOND


@dataclass(frozen=True, slots=True)
class Clip:
    sequence: int
    bytes: int = 10
    end_ns: int = NOW
    trust: str = "synchronised"
    held: bool = False


@pytest.fixture
def home(tmp_path: Path) -> Household:
    return Household.at(tmp_path)


def findings(home: Household) -> list[str]:
    return [
        finding.invariant[:2]
        for finding in Checker(Ring(home.state.ring), home.state.clock, home.db, home.device).findings()
    ]


sizes = st.lists(st.tuples(st.integers(1, 50), st.booleans()), max_size=12)


@given(sizes, st.integers(0, 300), st.integers(0, 100), st.integers(0, 300), st.integers(0, 100))
def test_room_is_made_oldest_first_by_no_more_than_is_needed(
    clips: list[tuple[int, bool]], budget: int, needed: int, free: int, min_free: int
) -> None:
    ring = [Clip(n, size, held=held) for n, (size, held) in enumerate(clips)]
    used = sum(clip.bytes for clip in ring)
    limits = Limits(budget, min_free, 0)
    leaving = to_make_room(ring, Room(used, 0, needed, free), limits, len(ring) + 1, lambda: 0)

    def fits(gone: list[Clip]) -> bool:
        freed = sum(clip.bytes for clip in gone)
        return used - freed + needed <= budget and free + freed >= min_free + needed

    free_to_go = [clip for clip in ring if not clip.held]
    if leaving is None:
        assert not fits(free_to_go), "there was a way"
        return
    gone = [clip for clip, _ in leaving]
    assert fits(gone)
    assert gone == free_to_go[: len(gone)], "oldest first, none that is held"
    assert not gone or not fits(gone[:-1]), "one less would have done"


@given(sizes, st.integers(0, 300), st.integers(0, 100), st.integers(0, 300), st.integers(0, 100), st.integers(1, 6))
def test_where_many_must_go_a_step_of_them_goes_and_the_steps_come_to_the_same(
    clips: list[tuple[int, bool]], budget: int, needed: int, free: int, min_free: int, step: int
) -> None:
    """Each step leaves the place for what is next, and shrinks the ring by more than that."""
    limits = Limits(budget, min_free, 0)
    ring = [Clip(n, size, held=held) for n, (size, held) in enumerate(clips)]
    at_once = to_make_room(ring, Room(sum(c.bytes for c in ring), 0, needed, free), limits, len(ring) + 1, lambda: 0)
    gone: list[Clip] = []
    while True:
        left = [clip for clip in ring if clip not in gone]
        freed = sum(clip.bytes for clip in gone)
        room = Room(sum(clip.bytes for clip in left), 0, needed, free + freed)
        in_all = sum(clip.bytes for clip in left if not clip.held)
        some = to_make_room(left, room, limits, step, lambda total=in_all: total)  # type: ignore[misc]
        if some is None:
            assert at_once is None, "there was a way"
            assert not gone, "something was lost for nothing"
            return
        if not some:
            break
        size = sum(clip.bytes for clip, _ in some)
        enough = max(room.ended_bytes + needed - budget, min_free + needed - room.free_bytes) <= size
        assert enough or (len(some) >= step and size >= 2 * needed <= room.free_bytes + size)
        gone += [clip for clip, _ in some]
    assert at_once is not None
    assert gone == [clip for clip, _ in at_once]


def test_a_budget_lowered_far_is_reached_in_steps_while_recording_goes_on(home: Household) -> None:
    for n in range(200):
        home.record_clip(NOW + n * 60 * SECOND, seconds=1, size=60)
    size = home.clips.index.ended()[1] // 200
    keeper = home.keeper(20 * size)
    steps = [len(keeper.make_room(n * 100, 100)) for n in range(4)]
    assert steps[:2] == [64, 64]
    assert 50 < steps[2] < 64
    assert steps[3] == 0
    assert findings(home) == []


def test_what_is_above_a_lowered_budget_or_past_a_lowered_age_goes_in_steps(home: Household) -> None:
    for n in range(100):
        home.record_clip(NOW - 20 * DAY + n * 60 * SECOND, seconds=1, size=60)
    assert [len(rows) for rows in home.keeper(age_ns=14 * DAY).evict_outlived()] == [64, 36]
    for n in range(100):
        home.record_clip(NOW + n * 60 * SECOND, seconds=1, size=60)
    size = home.clips.index.ended()[1] // 100
    assert [len(rows) for rows in home.keeper(10 * size + size // 2).shrink()] == [64, 26]
    assert findings(home) == []


@pytest.mark.parametrize("limit", ["budget", "free-space"])
def test_what_is_leaving_already_is_room(home: Household, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    """The recorder needs room while another thread deletes what it has marked."""
    for n in range(60):
        home.record_clip(NOW + n * 60 * SECOND, seconds=1, size=60)
    size = home.clips.index.ended()[1] // 60
    disk = 100 * size
    monkeypatch.setattr(Ring, "free_bytes", lambda ring: disk - ring.size(ring.sequences()))
    recorder, other = (
        home.keeper(20 * size if limit == "budget" else 10**9, min_free=80 * size if limit != "budget" else 0)
        for _ in range(2)
    )
    evicted: list[int] = []
    real = Ring.delete

    def delete(ring: Ring, *sequences: int) -> None:
        if len(sequences) > 1:
            evicted.append(len(recorder.make_room(0, size // 2)))
        real(ring, *sequences)

    monkeypatch.setattr(Ring, "delete", delete)
    assert [len(rows) for rows in other.shrink()] == [40]
    assert evicted == [1]
    assert home.clips.index.ended()[0] == 19
    assert findings(home) == []


def test_the_age_limit_goes_by_synchronised_clocks_and_by_the_order_of_recording() -> None:
    limits = Limits(1, 0, 14 * DAY)
    old, new = NOW - 15 * DAY, NOW - DAY
    in_1970 = Clip(1, end_ns=0, trust="provisional")
    ring = [
        in_1970,
        Clip(2, end_ns=old),
        Clip(3, end_ns=old, held=True),
        Clip(4, end_ns=NOW + 10**6 * DAY),  # a clock that ran ahead for an hour
        Clip(5, end_ns=NOW - 400 * DAY, trust="replayed"),
        Clip(6, end_ns=old),
        Clip(7, end_ns=0, trust="provisional"),
        Clip(8, end_ns=new),
    ]
    assert [clip.sequence for clip in outlived(ring, NOW, limits)] == [1, 2, 5, 6]
    assert outlived(ring[6:], NOW, limits) == [], "1970 alone makes no clip old"
    assert outlived(ring, NOW, replace(limits, age_ns=0)) == []


@given(sizes, st.integers(0, 400), st.sets(st.integers(0, 11)))
def test_holds_leave_room_for_recording(clips: list[tuple[int, bool]], budget: int, own: set[int]) -> None:
    ring = [Clip(n, size, held=held or n in own) for n, (size, held) in enumerate(clips)]
    own_before = sum(clip.bytes for clip in ring if clip.sequence in own)
    all_before = sum(clip.bytes for clip in ring if clip.held)
    held = may_hold(ring, own, own_before, all_before, budget)
    own_after = sum(clip.bytes for clip in ring if clip.sequence in own | held)
    all_after = sum(clip.bytes for clip in ring if clip.held or clip.sequence in held)
    assert own_after <= max(own_before, budget / HELD_BY_ONE)
    assert all_after <= max(all_before, budget / HELD_IN_ALL)


def test_age_evicts_and_says_so(home: Household) -> None:
    home.record_clip(NOW - 20 * DAY)
    home.record_clip(NOW - 15 * DAY)
    home.admit(Span(NOW - 15 * DAY, NOW - 15 * DAY + 900 * SECOND))
    home.record_clip(NOW - 2 * DAY)
    gone = [row for rows in home.keeper(age_ns=14 * DAY).evict_outlived() for row in rows]
    assert [row.sequence for row in gone] == [1]
    assert [row.sequence for row in home.clips.index.all()] == [2, 3]
    assert [e.details for e in home.ledger.entries() if e.what == "evicted"] == [
        f'{{"clip":"{gone[0].id}","reason":"age"}}'
    ]
    assert list(home.keeper(age_ns=14 * DAY).evict_outlived()) == []
    assert findings(home) == []


def test_without_an_age_limit_no_clip_is_looked_at(home: Household) -> None:
    home.record_clip(NOW - 20 * DAY)
    asked: list[str] = []
    home.db.set_trace_callback(asked.append)
    assert list(home.keeper(age_ns=0).evict_outlived()) == []
    home.db.set_trace_callback(None)
    assert not asked


def test_the_disk_keeps_what_the_system_needs(home: Household) -> None:
    rows = [home.record_clip(NOW + n * 60 * SECOND) for n in range(4)]
    free = home.clips.ring.free_bytes()
    slack = 2**28  # others write to this disk meanwhile
    with pytest.raises(Unavailable, match=r"has \d+ MB free and ring\.min_free_mb keeps \d+ MB for"):
        home.keeper(min_free=free + slack).make_room(0, 1)
    assert [row.sequence for row in home.clips.index.all()] == [1, 2, 3, 4]
    assert home.keeper(min_free=max(0, free - slack)).make_room(0, rows[0].bytes) == []


def test_a_number_is_never_used_twice_even_if_everything_has_left(home: Household) -> None:
    row = home.record_clip()
    home.keeper().delete(row.id, home.owner.kid)
    assert home.clips.index.totals() == (0, 0, None)
    assert home.record_clip().sequence == 2
    assert findings(home) == []


def test_the_owner_deletes_a_clip_that_somebody_asked_for(home: Household) -> None:
    row = home.record_clip(NOW - 60 * SECOND)
    asked, _ = home.admit(Span(NOW - 900 * SECOND, NOW))
    path = home.clips.ring.path(row.sequence)
    home.keeper().delete(row.id, home.owner.kid)
    assert not path.exists()
    assert home.clips.index.by_id(row.id) is None
    assert home.ledger.request(asked.id).state is State.ASKED, "they are not told, and the owner may still say no"
    assert [e.what for e in home.ledger.entries()][-1] == "deleted"
    assert findings(home) == []
    with pytest.raises(NotThere):
        home.keeper().delete(row.id, home.owner.kid)


def test_a_clip_that_is_being_recorded_stays(home: Household) -> None:
    clip = home.begin_clip()
    with pytest.raises(Refused) as refusal:
        home.keeper().delete(clip.row.id, home.owner.kid)
    assert refusal.value.reason == "recording"
    clip.abandon()


@pytest.mark.parametrize("crash", ["before the file went", "before the index knew"])
def test_a_start_finishes_what_was_leaving(home: Household, monkeypatch: pytest.MonkeyPatch, crash: str) -> None:
    rows = [home.record_clip(NOW + n * 60 * SECOND) for n in range(3)]

    class PowerCut(BaseException):
        pass

    def cut(*_: object) -> None:
        raise PowerCut

    with monkeypatch.context() as patched:
        if crash == "before the file went":
            patched.setattr("agent.store.ring.Ring.delete", cut)
        else:
            patched.setattr("agent.store.index.Index.remove", cut)
        with pytest.raises(PowerCut):
            home.keeper(sum(row.bytes for row in rows)).make_room(0, 1)
    assert findings(home) == [], "leaving is nothing wrong"
    home.clips.recover()
    assert [row.sequence for row in home.clips.index.all()] == [2, 3]
    assert [p.stem for p in sorted(home.state.ring.rglob("*.clip"))] == ["000000002", "000000003"]
    assert findings(home) == []


def test_a_request_holds_no_more_than_its_share_and_is_asked_all_the_same(home: Household) -> None:
    rows = [home.record_clip(NOW - (10 - n) * 60 * SECOND) for n in range(8)]
    budget = sum(row.bytes for row in rows)
    concerned = home.clips.overlapping(Span(NOW - 900 * SECOND, NOW))
    held = may_hold(concerned, *home.ledger.held_by(home.requester.kid), home.ledger.held_bytes(), budget)
    assert held == {1, 2}, "a fourth of the budget, the oldest: they would leave first"
    home.admit(Span(NOW - 900 * SECOND, NOW), held=held)
    assert home.ledger.held_by(home.requester.kid) == ({1, 2}, rows[0].bytes + rows[1].bytes)
    gone = home.keeper(budget).make_room(0, 1)
    assert [row.sequence for row in gone] == [3]
    assert findings(home) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_ring_that_is_recorded_into_stays_within_its_budget(home: Household, seed: int) -> None:
    rng = random.Random(seed)
    budget, reserve = 12_000_000, 100_000
    keeper = home.keeper(budget)
    evicted = 0
    for n in range(12):
        clip = home.begin_clip(NOW + n * 600 * SECOND)
        clip.add_init(Track.VIDEO, b"init of the video")
        for second in range(rng.choice((1, 9, 14))):
            piece = bytes(rng.choice((20_000, 400_000, 700_000)))
            evicted += len(keeper.make_room(clip.bytes_written, len(piece), reserve))
            clip.add(Track.VIDEO, Fragment(piece, True, second * SECOND, SECOND))
            used = sum(path.stat().st_size for path in home.state.ring.glob("*/*.clip"))
            assert used == home.clips.index.ended()[1] + clip.bytes_written
            assert used <= budget
        clip.close([(0, SECOND)], [], [])
        assert home.clips.index.ended()[1] <= budget
    assert evicted
    assert findings(home) == []


def test_what_records_take_beyond_what_they_record_is_counted(home: Household) -> None:
    for n in range(5):
        home.record_clip(NOW + n * 60 * SECOND)
    budget, page = home.clips.index.ended()[1] + 200_000, 4096
    keeper = home.keeper(budget)
    clip = home.begin_clip(NOW + 600 * SECOND)
    gone = 0
    for second in range(80):
        gone += len(keeper.make_room(clip.bytes_written, 10))
        clip.add(Track.VIDEO, Fragment(bytes(10), True, second * SECOND, SECOND))
        assert home.clips.index.ended()[1] + clip.bytes_written <= budget + page
    assert gone
    clip.close([(0, SECOND)], [], [])


def test_many_clips_leave_the_index_in_one_wait_for_the_disk(home: Household) -> None:
    """A lower limit may let thousands go at once, while something is being recorded."""
    rows = [home.record_clip(NOW + n * 60 * SECOND, seconds=1) for n in range(20)]
    alone: list[str] = []
    commits: list[str] = []

    def trace(statement: str) -> None:
        if statement.startswith("DELETE") and not home.db.in_transaction:
            alone.append(statement)
        if statement == "COMMIT":
            commits.append(statement)

    home.db.set_trace_callback(trace)
    home.keeper(rows[0].bytes * 3).make_room(0, 1)
    home.db.set_trace_callback(None)
    assert len(list(home.clips.index.all())) == 2
    assert (alone, len(commits)) == ([], 2), "what leaves, and that it has left"
    assert findings(home) == []


def test_a_budget_smaller_than_a_clip_is_said_as_what_it_is(home: Household) -> None:
    clip = home.begin_clip()
    clip.add(Track.VIDEO, Fragment(b"x" * 5000, True, 0, SECOND))
    with pytest.raises(Unavailable, match=r"less than one clip takes; raise ring\.budget_mb"):
        home.keeper(4000).make_room(clip.bytes_written, 1000)
    clip.close([(0, 0)], [], [])
