"""The doorbell's time over a real state directory, with clocks that the test sets: corrections, bounds, lost index."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import threading
from pathlib import Path

import pytest

from agent.core.boot_clock import BootClock, Reading
from agent.core.errors import Unavailable
from agent.core.release import share_clip
from agent.core.timeline import Span, Trust, looked_for
from agent.store.check import Checker, repair
from agent.store.clips import clip_facts
from agent.store.database import connect
from agent.store.index import ClipRow, Index
from agent.timekeeper import Clock, Timekeeper
from tests.household import NOW, SECOND, Household

DAY = 86400 * SECOND


class Machine:
    """One boot of a machine; the test turns its clocks."""

    def __init__(self, home: Household, name: str, wall_ns: int, *, trusted: bool = False) -> None:
        self.home = home
        self.boot_ns = 10 * SECOND
        self.wall_ns = wall_ns
        self.synchronised = False
        self.moves: list[tuple[int, int]] = []
        self.known = 0
        self.clock = Clock(home.state, home.device, self._read, name, trusted=trusted)
        self.keeper = Timekeeper(self.clock, home.clips.index, self._moved, self._became_known)
        self.keeper.begin()

    def _read(self) -> Reading:
        return Reading(self.boot_ns, self.wall_ns, self.synchronised, 0 if self.synchronised else 16 * SECOND)

    def _moved(self, from_ns: int, to_ns: int) -> None:
        self.moves.append((from_ns, to_ns))

    def _became_known(self) -> None:
        self.known += 1

    def wait(self, seconds: int) -> None:
        self.boot_ns += seconds * SECOND
        self.wall_ns += seconds * SECOND
        self.keeper.look()

    def set_to(self, utc_ns: int, *, synchronised: bool) -> None:
        self.wall_ns, self.synchronised = utc_ns, synchronised
        self.keeper.look()

    def film(self) -> str:
        return self.home.record_clip(base=self.clock.base()).id


@pytest.fixture
def home(tmp_path: Path) -> Household:
    return Household.at(tmp_path)


def row_of(home: Household, clip: str) -> ClipRow:
    row = home.clips.index.by_id(clip)
    assert row is not None
    return row


def findings(home: Household) -> list[str]:
    return [f.text for f in Checker(home.clips.ring, home.state.clock, home.db, home.device).findings()]


def test_a_clip_of_1970_is_found_where_it_belongs_once_the_clock_is_set(home: Household) -> None:
    machine = Machine(home, "one", 10 * SECOND)
    machine.wait(20)
    assert not machine.clock.known()
    clip = machine.film()
    before = row_of(home, clip)
    assert (before.trust, before.start_ns, before.earliest_ns) == ("provisional", 30 * SECOND, None)
    machine.wait(30)
    machine.set_to(NOW, synchronised=True)
    after = row_of(home, clip)
    assert (after.trust, after.start_ns, after.end_ns) == ("corrected", NOW - 30 * SECOND, NOW - 20 * SECOND)
    assert (after.motion_start_ns, after.motion_end_ns) == (NOW - 28 * SECOND, NOW - 25 * SECOND)
    assert machine.moves == [(60 * SECOND, NOW)]
    assert machine.known == 1
    assert home.clips.overlapping(Span(NOW - 60 * SECOND, NOW)) == [after]
    assert home.clips.overlapping(Span(0, DAY)) == []
    assert findings(home) == []


def test_the_clip_being_recorded_is_corrected_and_goes_on(home: Household) -> None:
    machine = Machine(home, "one", 10 * SECOND)
    clip = home.begin_clip(base=machine.clock.base())
    machine.set_to(NOW, synchronised=True)
    clip.close([(SECOND, 2 * SECOND)], [], [])
    row = row_of(home, clip.row.id)
    assert (row.start_ns, row.motion_start_ns, row.trust) == (NOW, NOW + SECOND, "corrected")
    assert findings(home) == []


def test_a_clip_that_ends_while_the_clock_is_set_is_corrected_too(
    home: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorder and timekeeper write the index over connections of their own, in threads of their own."""
    machine = Machine(home, "one", 10 * SECOND)
    clip = home.begin_clip(base=machine.clock.base())
    setting: list[threading.Thread] = []
    real = Index.boot

    def set_clock() -> None:
        with contextlib.closing(connect(home.state.database)) as db:
            machine.keeper = Timekeeper(machine.clock, Index(db), machine._moved, machine._became_known)
            machine.set_to(NOW, synchronised=True)

    def boot(index: Index, name: str) -> BootClock | None:
        found = real(index, name)
        if not setting:
            setting.append(threading.Thread(target=set_clock))
            setting[0].start()
            setting[0].join(0.5)
        return found

    monkeypatch.setattr(Index, "boot", boot)
    clip.close([(0, 0)], [], [])
    setting[0].join()
    assert row_of(home, clip.row.id).trust == "corrected"
    assert findings(home) == []


def test_a_wrong_step_forward_or_back_changes_nothing_that_is_known(home: Household) -> None:
    machine = Machine(home, "one", 10 * SECOND)
    machine.set_to(NOW, synchronised=True)
    for wrong in (NOW + 73 * 365 * DAY, 0, 2**62 + 2**61):
        machine.set_to(wrong, synchronised=False)
        machine.wait(100)
        assert abs(machine.clock.now() - NOW - (machine.boot_ns - 10 * SECOND)) < SECOND
        assert machine.clock.known()
    assert row_of(home, machine.film()).trust == "synchronised"
    assert len(machine.moves) == 1
    machine.wait(34 * 3600)
    assert not machine.clock.known()


def test_a_new_process_in_the_same_boot_knows_the_time_at_once(home: Household) -> None:
    machine = Machine(home, "one", 10 * SECOND)
    machine.set_to(NOW, synchronised=True)
    again = Machine(home, "one", 77 * SECOND)
    assert again.clock.known()
    assert again.clock.now() == NOW
    rebooted = Machine(home, "two", 77 * SECOND)
    assert not rebooted.clock.known()
    assert rebooted.clock.now() >= NOW, "what earlier boots prove is not denied"


def test_a_boot_never_set_keeps_its_bounds_and_is_offered_where_it_may_lie(home: Household) -> None:
    first = Machine(home, "one", 10 * SECOND)
    first.set_to(NOW, synchronised=True)
    first.keeper.close()
    dark = Machine(home, "two", 10 * SECOND)
    clip = dark.film()
    dark.wait(1000)
    dark.keeper.close()
    third = Machine(home, "three", 10 * SECOND)
    third.wait(5)
    third.set_to(NOW + 3 * 3600 * SECOND, synchronised=True)
    row = row_of(home, clip)
    assert row.trust == "provisional"
    assert row.earliest_ns is not None
    assert row.latest_ns is not None
    assert row.earliest_ns == pytest.approx(NOW + 10 * SECOND, abs=3 * SECOND)
    assert row.latest_ns == pytest.approx(NOW + (3 * 3600 - 15 - 1000) * SECOND, abs=4 * SECOND)
    for hour in range(3):
        at_ns = NOW + hour * 3600 * SECOND + 600 * SECOND
        assert home.clips.overlapping(Span(at_ns, at_ns + 900 * SECOND)) == [row]
    assert home.clips.overlapping(Span(NOW + 4 * 3600 * SECOND, NOW + 5 * 3600 * SECOND)) == []
    assert home.clips.overlapping(Span(NOW - DAY, NOW - SECOND)) == []
    assert findings(home) == []


def test_a_lost_index_is_made_again_as_it_was(home: Household) -> None:
    machine = Machine(home, "one", 10 * SECOND)
    clips = [machine.film()]
    machine.wait(60)
    machine.set_to(NOW, synchronised=True)
    machine.wait(60)
    clips.append(machine.film())
    Machine(home, "two", 0).film()
    before = list(home.clips.index.all())
    assert {row.trust for row in before} == {"corrected", "synchronised", "provisional"}
    for table in ("clips", "unset_clips", "boots"):
        home.db.execute(f"DELETE FROM {table}")
    again = Machine(home, "two", 0)
    home.clips.recover()
    assert list(home.clips.index.all()) == before
    again.clock.folder.prune(home.clips.index)
    home.db.execute("UPDATE clips SET start_ns = 5, trust = 'provisional' WHERE sequence = 1")
    assert findings(home) == ["clip 1: the index says something else than the ring"]
    repair(home.clips, home.device)
    assert list(home.clips.index.all()) == before


def test_statements_no_clip_needs_are_deleted(home: Household) -> None:
    kept = Machine(home, "kept", 0)
    kept.film()
    for n in range(40):
        Machine(home, f"boot {n}", 0)
    last = Machine(home, "last", 0)
    last.clock.folder.prune(home.clips.index)
    numbers = [clock.number for clock, _ in last.clock.folder.read().clocks]
    assert numbers == [1, *range(27, 43)]
    home.clips.index.remove(1)
    last.clock.folder.prune(home.clips.index)
    assert len(list(home.state.clock.iterdir())) == 16


def test_a_damaged_statement_is_named_and_its_clips_stay_uncertain(
    home: Household, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine(home, "one", 10 * SECOND)
    clip = machine.film()
    machine.set_to(NOW, synchronised=True)
    (path,) = home.state.clock.iterdir()
    assert findings(home) == []
    path.write_bytes(path.read_bytes()[:-9] + b"AAAAAAAAA")
    (found,) = findings(home)
    assert str(path) in found
    home.db.execute("DELETE FROM boots")
    Machine(home, "two", 0)
    assert "bad-signature" in caplog.text or "does not verify" in caplog.text
    home.clips.index.put(dataclasses.replace(row_of(home, clip), start_ns=10 * SECOND, trust=Trust.PROVISIONAL.value))
    assert row_of(home, clip).trust == "provisional"


def test_a_statement_that_cannot_be_read_now_is_not_written_over(
    home: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(home, "one", 10 * SECOND)
    clip = machine.film()
    machine.set_to(NOW, synchronised=True)
    (path,) = home.state.clock.iterdir()
    statement, real = path.read_bytes(), Path.read_bytes

    def read_bytes(read: Path) -> bytes:
        if read == path:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(read)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", read_bytes)
        assert Machine(home, "two", NOW + DAY).clock.statement.number == 2
    assert path.read_bytes() == statement
    assert findings(home) == []
    home.db.execute("DELETE FROM boots")
    Machine(home, "three", NOW + 2 * DAY)
    repair(home.clips, home.device)
    assert row_of(home, clip).trust == "corrected"


def test_a_statement_that_is_gone_or_lies_elsewhere_is_found(home: Household) -> None:
    machine = Machine(home, "one", 10 * SECOND)
    machine.film()
    machine.set_to(NOW, synchronised=True)
    (path,) = home.state.clock.iterdir()
    elsewhere = path.with_name("000000009.jws")
    path.rename(elsewhere)
    gone, moved = sorted(findings(home), key=lambda text: "moved" in text)
    assert f"{path} is gone" in gone
    assert str(elsewhere) in moved
    elsewhere.rename(path)
    assert findings(home) == []


def test_a_trusted_clock_is_believed_as_it_is(home: Household) -> None:
    machine = Machine(home, "one", NOW, trusted=True)
    assert machine.clock.known()
    assert row_of(home, machine.film()).trust == "synchronised"
    machine.set_to(NOW + DAY, synchronised=False)
    assert machine.clock.now() == NOW + DAY


def test_a_year_that_cannot_be_is_said(home: Household) -> None:
    with pytest.raises(Unavailable, match="set it"):
        Machine(home, "one", -5)


def test_a_disk_that_fails_does_not_stop_the_clock(home: Household, caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine(home, "one", 10 * SECOND)
    for path in home.state.clock.iterdir():
        path.unlink()
    home.state.clock.rmdir()
    machine.set_to(NOW, synchronised=True)
    assert machine.clock.known()
    assert "trying again" in caplog.text
    home.state.clock.mkdir()
    machine.wait(601)
    assert len(list(home.state.clock.iterdir())) == 1


def test_ranges_are_found_by_indexes_alone(home: Household) -> None:
    plan = []
    home.db.set_trace_callback(plan.append)
    Index(home.db).overlapping(Span(NOW, NOW + DAY))
    home.db.set_trace_callback(None)
    (query,) = plan
    steps = [str(row["detail"]) for row in home.db.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert not [step for step in steps if step.startswith("SCAN")], steps


def test_a_clip_of_uncertain_time_is_shared_as_far_as_it_may_lie_in_the_span(home: Household) -> None:
    row = home.record_clip(NOW)
    span = Span(NOW + 4 * SECOND, NOW + 6 * SECOND)
    clip = home.clips.ring.read(row.sequence)
    sure = share_clip(clip_facts(clip), span, sound=False)
    unsure = share_clip(clip_facts(clip, Span(NOW - 3 * SECOND, NOW + SECOND)), span, sound=False)
    assert sure is not None
    assert unsure is not None
    assert (sure.tracks[0].first, sure.tracks[0].last) == (5, 6)
    assert (unsure.tracks[0].first, unsure.tracks[0].last) == (3, 9)
    assert looked_for(NOW, None, NOW, Trust.PROVISIONAL) == Span(NOW, NOW)
    assert looked_for(NOW, NOW - 7 * 3600 * SECOND, NOW + 7 * 3600 * SECOND, Trust.PROVISIONAL) == Span(NOW, NOW)
