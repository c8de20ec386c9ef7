"""Any order of recording, evicting, holding, deleting, crashing and starting again, beside a model of a few lines."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.core.consent import Event
from agent.core.errors import Refused, Unavailable
from agent.core.frame import Track
from agent.core.timeline import Span
from agent.store.check import Checker
from agent.store.recording import Fragment, OpenClip
from agent.store.ring import Ring
from tests.crash import make, opened
from tests.household import NOW, SECOND

MEMORY = Path("/dev/shm")
STEP = 60 * SECOND


class Doorbell(RuleBasedStateMachine):
    """The model: how many records each clip has, which request holds which, which number comes next."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.records: dict[int, int] = {}
        self.holds: dict[str, set[int]] = {}
        self.used = 0
        self.open: OpenClip | None = None

    @initialize()
    def begin_life(self) -> None:
        make(self.root)
        self.home = opened(self.root)

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    def held(self) -> set[int]:
        return set().union(*self.holds.values())

    @precondition(lambda self: self.open is None)
    @rule()
    def begin(self) -> None:
        self.open = self.home.begin_clip(NOW + self.used * STEP)
        assert self.open.row.sequence == self.used + 1
        self.used += 1
        self.records[self.used] = 0

    @precondition(lambda self: self.open is not None)
    @rule(size=st.integers(1, 5000))
    def append(self, size: int) -> None:
        assert self.open is not None
        n = self.records[self.used]
        if n == 0:
            self.open.add_init(Track.VIDEO, b"init")
        else:
            self.open.add(Track.VIDEO, Fragment(bytes(size), True, (n - 1) * SECOND, SECOND))
        self.records[self.used] += 1

    @precondition(lambda self: self.open is not None)
    @rule()
    def end(self) -> None:
        assert self.open is not None
        self.open.close([], [], [])
        self.records[self.used] += 1
        self.open = None

    @rule(share=st.floats(0, 1.2))
    def evict(self, share: float) -> None:
        recording = self.open.row.bytes if self.open else 0
        total = self.home.clips.index.ended()[1]
        try:
            gone = self.home.keeper(int(share * total) + recording).make_room(recording, 0)
        except Unavailable:
            free = [s for s in self.records if s not in self.held() and not (self.open and s == self.used)]
            kept = sum(row.bytes for row in self.home.clips.index.all() if row.sequence not in (*free, self.used))
            assert kept > share * total - 1 or self.held(), "what is not held could have gone"
            return
        numbers = [row.sequence for row in gone]
        free = [s for s in sorted(self.records) if s not in self.held() and not (self.open and s == self.used)]
        assert numbers == free[: len(numbers)], "oldest first, none that is held or being recorded"
        assert self.home.clips.index.ended()[1] <= share * total
        for number in numbers:
            del self.records[number]

    @precondition(lambda self: self.records)
    @rule(back=st.integers(0, 3), length=st.integers(0, 3))
    def ask(self, back: int, length: int) -> None:
        start = NOW + max(0, self.used - 1 - back) * STEP
        row, _ = self.home.admit(Span(start, start + (15 + length) * STEP), NOW)
        self.holds[row.id] = set(self.home.ledger.concerned(row.id))
        assert self.holds[row.id] <= set(self.records)

    @precondition(lambda self: self.holds)
    @rule()
    def answer(self) -> None:
        request = min(self.holds)
        self.home.ledger.move(request, Event.EXPIRE, NOW, "expired")
        del self.holds[request]

    @precondition(lambda self: self.records)
    @rule(which=st.integers(0, 10))
    def delete(self, which: int) -> None:
        number = sorted(self.records)[which % len(self.records)]
        row = self.home.clips.index.by_sequence(number)
        assert row is not None
        if self.open is not None and number == self.used:
            with pytest.raises(Refused):
                self.home.keeper().delete(row.id, self.home.owner.kid)
            return
        self.home.keeper().delete(row.id, self.home.owner.kid)
        del self.records[number]
        for held in self.holds.values():
            held.discard(number)

    @rule(tail=st.binary(max_size=40), index_is_lost=st.booleans())
    def crash(self, tail: bytes, index_is_lost: bool) -> None:
        if self.open is not None:
            self.open.abandon()
            with open(self.home.clips.ring.path(self.used), "ab") as file:
                file.write(tail)
            self.open = None
        if index_is_lost:
            self.home.db.execute("DELETE FROM clips")
        self.home.db.close()
        self.home = opened(self.root)
        self.home.clips.recover()

    @invariant()
    def all_is_there(self) -> None:
        if not hasattr(self, "home"):
            return
        assert (
            list(Checker(Ring(self.home.state.ring), self.home.state.clock, self.home.db, self.home.device).findings())
            == []
        )
        on_disk = {n: len(self.home.clips.ring.read(n).records) for n in self.home.clips.ring.sequences()}
        assert on_disk == self.records
        held = {row.sequence for row in self.home.clips.index.all() if row.held}
        assert held == self.held() & set(self.records)


TestDoorbell = Doorbell.TestCase
TestDoorbell.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
