"""The log as the page shows it: what is new or shown is checked each time, the rest once, and any break is seen."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.core.audit import AuditEntry
from agent.core.errors import Corrupt
from agent.disclosure.log_check import WHOLE_AGAIN_NS, LogCheck
from agent.store.ledger import Ledger
from tests.household import NOW, Household

ENTRIES = 3_000


class Counted(Ledger):
    """A ledger that counts the entries it hands out."""

    read = 0

    def entries(self, after: int = 0, limit: int = -1) -> list[AuditEntry]:  # type: ignore[override]
        found = list(super().entries(after, limit))
        self.read += len(found)
        return found


class Log:
    """A long log, and the check of it on a clock that the test moves."""

    def __init__(self, root: Path) -> None:
        self.home = Household.at(root)
        self.ledger = Counted(self.home.db)
        self.now = 0
        self.check = LogCheck(self.ledger, lambda: self.now)
        self.home.db.execute("BEGIN")
        for n in range(ENTRIES - 1):
            self.ledger._append(NOW + n, "started", {"version": "1"})
        self.home.db.execute("COMMIT")

    def alter(self, n: int) -> None:
        self.home.db.execute("UPDATE audit SET details = '{}' WHERE n = ?", (n,))

    async def broken(self) -> str:
        with pytest.raises(Corrupt) as found:
            await self.check.head()
        return str(found.value)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


async def test_the_first_look_reads_it_all_and_later_ones_what_is_new_or_shown(log: Log) -> None:
    head = await log.check.head()
    assert head is not None
    assert (head.n, log.ledger.read) == (ENTRIES, ENTRIES)
    log.ledger.read = 0
    log.ledger.note(NOW, "stopped", {"version": "1"})
    head = await log.check.head()
    assert head is not None
    assert (head.n, log.ledger.read) == (ENTRIES + 1, 1)
    entries, follow = log.check.shown(ENTRIES - 99, 500)
    assert (len(entries), follow, log.ledger.read) == (100, True, 101)


async def test_a_break_is_seen_at_the_first_look_where_it_is_new_and_where_it_is_shown(log: Log) -> None:
    log.alter(7)
    assert "entry 7 " in await log.broken()
    assert "entry 7 " in await log.broken(), "and at the next look"
    again = Log(log.home.state.root.parent / "another")
    await again.check.head()
    again.ledger.note(NOW, "stopped", {"version": "1"})
    again.alter(ENTRIES + 1)
    assert f"entry {ENTRIES + 1} " in await again.broken()


async def test_what_is_shown_is_checked_with_the_entry_before_it(log: Log) -> None:
    await log.check.head()
    log.alter(10)
    assert not log.check.shown(5, 100)[1]
    assert not log.check.shown(9, 100)[1]
    log.home.db.execute("DELETE FROM audit WHERE n = 20")
    assert not log.check.shown(19, 100)[1]
    assert log.check.shown(21, 100)[1]
    assert log.check.shown(ENTRIES + 5, 100) == ([], True)


async def test_a_log_cut_short_or_a_head_rewritten_since_the_last_look_is_seen(log: Log) -> None:
    await log.check.head()
    log.home.db.execute("DELETE FROM audit WHERE n > ?", (ENTRIES - 10,))
    assert f"entry {ENTRIES} " in await log.broken()


async def test_an_old_entry_altered_after_the_first_look_is_seen_a_day_later(log: Log) -> None:
    await log.check.head()
    log.alter(1000)
    log.now = WHOLE_AGAIN_NS - 1
    assert await log.check.head() is not None
    log.now = WHOLE_AGAIN_NS
    assert "entry 1000 " in await log.broken()


async def test_the_doorbell_does_other_things_during_a_long_look(log: Log) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await log.check.head()
    task.cancel()
    assert turns >= ENTRIES // 1_000
