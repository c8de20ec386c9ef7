"""A transaction is whole or nothing, and says what the disk refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.core.errors import Unavailable
from agent.store import database
from agent.store.database import connect, transaction

SET = "INSERT INTO owner_sets VALUES (?, ?)"
COUNT = "SELECT COUNT(*) FROM owner_sets"


def write(db: sqlite3.Connection, then: Callable[[], object]) -> None:
    """One owner set, and then something else, together."""
    with transaction(db):
        db.execute(SET, (1, b"one"))
        then()


def test_what_raises_leaves_nothing(tmp_path: Path) -> None:
    db = connect(tmp_path / "a.db")
    with pytest.raises(ZeroDivisionError):
        write(db, lambda: 1 // 0)
    assert db.execute(COUNT).fetchone()[0] == 0
    write(db, lambda: None)
    assert connect(tmp_path / "a.db").execute(COUNT).fetchone()[0] == 1


def test_a_full_disk_is_named_where_sqlite_has_rolled_back_by_itself(tmp_path: Path) -> None:
    db = connect(tmp_path / "a.db")
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(Unavailable, match="database or disk is full"):
        write(db, lambda: db.execute(SET, (2, bytes(200_000))))
    assert not db.in_transaction
    assert db.execute(COUNT).fetchone()[0] == 0


def shape(db: sqlite3.Connection) -> list[tuple[str, str]]:
    """Every table, index and trigger, as SQLite has them."""
    return [tuple(row) for row in db.execute("SELECT name, sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY name")]


@pytest.mark.parametrize("version", range(1, len(database._MIGRATIONS)))
def test_a_database_of_each_version_before_is_brought_up_with_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    with monkeypatch.context() as then:
        then.setattr(database, "_MIGRATIONS", database._MIGRATIONS[:version])
        old = connect(tmp_path / "old.db")
        write(old, lambda: None)
        old.close()
    db = connect(tmp_path / "old.db")
    assert db.execute(COUNT).fetchone()[0] == 1
    assert shape(db) == shape(connect(tmp_path / "new.db"))
