"""Removing, altering or inserting an entry breaks the chain, and the break is named."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agent.core.audit import AuditEntry, check_chain, link
from agent.core.errors import Corrupt
from tests.household import NOW, Household


def chain(count: int) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    for n in range(count):
        entries.append(link(entries[-1] if entries else None, NOW + n, "decided", {"request": f"r{n}", "bytes": n}))
    return entries


def test_an_unbroken_chain_is_found_unbroken() -> None:
    assert check_chain([]) is None
    entries = chain(5)
    assert check_chain(entries) == entries[-1]


def test_every_way_of_altering_a_chain_is_named() -> None:
    good = chain(6)
    for broken in (
        good[:2] + good[3:],
        good[1:],
        [good[1], good[0], *good[2:]],
        [*good[:3], good[2], *good[3:]],
        [*good[:3], link(good[2], NOW, "decided", {"request": "other"}), *good[4:]],
        [msgspec.structs.replace(good[0], what="declined"), *good[1:]],
        [*good[:5], msgspec.structs.replace(good[5], details="{}")],
        [*good[:5], msgspec.structs.replace(good[5], time="2020-01-01T00:00:00Z")],
    ):
        with pytest.raises(Corrupt, match="entry"):
            check_chain(broken)


def test_the_ledger_keeps_the_chain_in_the_database(tmp_path: Path) -> None:
    home = Household.at(tmp_path)
    for n in range(3):
        home.ledger.note(NOW + n, "started", {"version": "1"})
    head = check_chain(home.ledger.entries())
    assert head is not None
    assert head.n == 4, "pairing made the first"
    home.db.execute("UPDATE audit SET details = '{}' WHERE n = 2")
    with pytest.raises(Corrupt, match="entry 2"):
        check_chain(home.ledger.entries())
