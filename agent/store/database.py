"""The one SQLite file: schema, migrations, and how it is opened.

WAL with synchronous=FULL: a commit that returned is on the disk. A disk that fails is Unavailable wherever a statement
meets it, so that nobody above has to know SQLite. Queries live with what they are about: `index` for clips, `ledger`
for requests and everything that follows from them.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.core.errors import Corrupt, Unavailable

_MIGRATIONS = (
    """
    CREATE TABLE clips (
        sequence INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        header_hash TEXT NOT NULL,
        start_ns INTEGER NOT NULL,
        end_ns INTEGER NOT NULL,
        motion_start_ns INTEGER,
        motion_end_ns INTEGER,
        bytes INTEGER NOT NULL,
        records INTEGER NOT NULL,
        trust TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('recording', 'closed', 'cut'))
    ) STRICT;
    CREATE INDEX clips_by_start ON clips (start_ns);
    CREATE TABLE owner_sets (version INTEGER PRIMARY KEY, statement BLOB NOT NULL) STRICT;
    CREATE TABLE pairing (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        secret BLOB NOT NULL,
        expires_ns INTEGER NOT NULL,
        tries INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE nonces (id TEXT PRIMARY KEY, seen_ns INTEGER NOT NULL) STRICT;
    CREATE TABLE requests (
        id TEXT PRIMARY KEY,
        hash TEXT NOT NULL UNIQUE,
        requester TEXT NOT NULL,
        case_number TEXT NOT NULL,
        statement BLOB NOT NULL,
        requester_statement BLOB NOT NULL,
        received_ns INTEGER NOT NULL,
        from_ns INTEGER NOT NULL,
        to_ns INTEGER NOT NULL,
        expires_ns INTEGER NOT NULL,
        state TEXT NOT NULL,
        decision BLOB,
        undo_until_ns INTEGER
    ) STRICT;
    CREATE INDEX requests_by_requester ON requests (requester, received_ns);
    CREATE TABLE holds (
        request TEXT NOT NULL REFERENCES requests (id),
        sequence INTEGER NOT NULL,
        active INTEGER NOT NULL DEFAULT 1,
        PRIMARY KEY (request, sequence)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX active_holds ON holds (sequence) WHERE active;
    CREATE TABLE void_decisions (hash TEXT PRIMARY KEY) STRICT;
    CREATE TABLE transfers (
        id TEXT PRIMARY KEY,
        request TEXT NOT NULL UNIQUE REFERENCES requests (id),
        decision BLOB NOT NULL,
        releases BLOB NOT NULL,
        offer BLOB,
        receipt BLOB,
        sent_bytes INTEGER NOT NULL DEFAULT 0,
        ended_ns INTEGER
    ) STRICT;
    CREATE TABLE audit (
        n INTEGER PRIMARY KEY,
        time TEXT NOT NULL,
        what TEXT NOT NULL,
        details TEXT NOT NULL,
        previous TEXT NOT NULL,
        hash TEXT NOT NULL
    ) STRICT;
    """,
    """
    ALTER TABLE requests ADD COLUMN rule TEXT;
    ALTER TABLE requests ADD COLUMN prompted_ns INTEGER;
    ALTER TABLE requests ADD COLUMN withdrawal BLOB;
    ALTER TABLE requests ADD COLUMN replaces TEXT REFERENCES requests (id);
    UPDATE requests SET prompted_ns = received_ns;
    CREATE TABLE settings (one INTEGER PRIMARY KEY CHECK (one = 1), document BLOB NOT NULL) STRICT;
    """,
    # A number is never used twice (AUTOINCREMENT), also where the newest clip has left the ring. What is marked in
    # `leaving` has left as far as the ledger is concerned; its file and its row may still be there. `ended` sums up the
    # clips that ended, so that room and status cost the same whatever the ring holds.
    """
    ALTER TABLE clips RENAME TO clips_before;
    DROP INDEX clips_by_start;
    CREATE TABLE clips (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        header_hash TEXT NOT NULL,
        start_ns INTEGER NOT NULL,
        end_ns INTEGER NOT NULL,
        motion_start_ns INTEGER,
        motion_end_ns INTEGER,
        bytes INTEGER NOT NULL,
        records INTEGER NOT NULL,
        trust TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('recording', 'closed', 'cut'))
    ) STRICT;
    CREATE INDEX clips_by_start ON clips (start_ns);
    CREATE INDEX clips_recording ON clips (sequence) WHERE state = 'recording';
    CREATE TABLE ended (one INTEGER PRIMARY KEY CHECK (one = 1), clips INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
    INSERT INTO ended VALUES (1, 0, 0);
    CREATE TRIGGER clips_in AFTER INSERT ON clips WHEN new.state != 'recording' BEGIN
        UPDATE ended SET clips = clips + 1, bytes = bytes + new.bytes;
    END;
    CREATE TRIGGER clips_out AFTER DELETE ON clips WHEN old.state != 'recording' BEGIN
        UPDATE ended SET clips = clips - 1, bytes = bytes - old.bytes;
    END;
    CREATE TRIGGER clips_change AFTER UPDATE ON clips WHEN old.state != 'recording' OR new.state != 'recording' BEGIN
        UPDATE ended SET clips = clips + (new.state != 'recording') - (old.state != 'recording'),
            bytes = bytes + iif(new.state != 'recording', new.bytes, 0) - iif(old.state != 'recording', old.bytes, 0);
    END;
    INSERT INTO clips SELECT * FROM clips_before;
    DROP TABLE clips_before;
    CREATE TABLE leaving (sequence INTEGER PRIMARY KEY) STRICT;
    """,
    """
    CREATE TABLE directories (key TEXT PRIMARY KEY, version INTEGER NOT NULL, statement BLOB NOT NULL) STRICT;
    """,
    # Clips whose header was written before the clock was set: where their times come from, between which moments they
    # began, and the clock statements of their boots. Their best times stand in `clips` like everybody's.
    """
    CREATE TABLE boots (boot TEXT PRIMARY KEY, number INTEGER NOT NULL, statement BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE unset_clips (
        sequence INTEGER PRIMARY KEY,
        boot TEXT NOT NULL,
        boot_us INTEGER NOT NULL,
        written_ns INTEGER NOT NULL,
        earliest_ns INTEGER,
        latest_ns INTEGER
    ) STRICT;
    CREATE INDEX unset_by_boot ON unset_clips (boot);
    CREATE INDEX unset_by_earliest ON unset_clips (earliest_ns) WHERE latest_ns IS NOT NULL;
    ALTER TABLE requests ADD COLUMN undo_boot TEXT;
    ALTER TABLE requests ADD COLUMN undo_boot_ns INTEGER;
    """,
    # The clock statements an offer was made with (clip of the decision → statement, JSON); a boot's is written anew.
    """
    ALTER TABLE transfers ADD COLUMN clocks BLOB NOT NULL DEFAULT x'7b7d';
    """,
    # When the owner's phones were told of a request, for a doorbell that tells them.
    """
    ALTER TABLE requests ADD COLUMN told_ns INTEGER;
    UPDATE requests SET told_ns = received_ns;
    """,
    # Withdrawals of requests that have not come: the newest, as many as the ledger is told to keep.
    """
    CREATE TABLE early_withdrawals (
        n INTEGER PRIMARY KEY,
        request TEXT NOT NULL,
        requester TEXT NOT NULL,
        UNIQUE (request, requester)
    ) STRICT;
    """,
    # Requests that came while the doorbell did not know the time, until it does: as many as the ledger is told to keep.
    """
    CREATE TABLE early_requests (
        n INTEGER PRIMARY KEY,
        hash TEXT NOT NULL UNIQUE,
        requester TEXT NOT NULL,
        issued_ns INTEGER NOT NULL,
        statement BLOB NOT NULL
    ) STRICT;
    """,
    # A pairing code ends by the clock of the boot it was made in, which nobody sets; one made before is void.
    """
    DROP TABLE pairing;
    CREATE TABLE pairing (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        secret BLOB NOT NULL,
        boot TEXT NOT NULL,
        until_boot_ns INTEGER NOT NULL,
        tries INTEGER NOT NULL
    ) STRICT;
    """,
)

# A commit writes each page it touched, of which it changed a row of some 200 bytes: small pages spare the card.
_PAGE_BYTES = 1024
_WAL_BYTES = 4_096_000  # what is written to the database itself then: pages that changed often, once


def _remedy(database: str) -> str:
    """What to do where SQLite cannot get on: it says of a disk that can only be read no more than of any other."""
    try:
        read_only = bool(os.statvfs(os.path.dirname(database) or ".").f_flag & os.ST_RDONLY)
    except OSError:
        read_only = False
    if read_only:
        return "its disk can only be read; where nobody mounted it so, it has failed ('dmesg' says why): replace it"
    return "check the disk's space and health"


@contextmanager
def _explained(database: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as e:
        raise Unavailable(f"the database {database} cannot be used: {e}; {_remedy(database)}") from e
    except sqlite3.DatabaseError as e:
        if type(e) is not sqlite3.DatabaseError:
            raise  # a broken constraint or a wrong statement is a mistake of ours
        raise Corrupt(f"the database {database} is damaged: {e}; 'doorward check' says more") from e


class _Connection(sqlite3.Connection):
    """A connection whose statements say in a sentence what the disk refuses."""

    place = ""

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(factory or _Cursor)

    def execute(self, *arguments: Any) -> Any:
        return self.cursor().execute(*arguments)

    def executemany(self, *arguments: Any) -> Any:
        return self.cursor().executemany(*arguments)


class _Cursor(sqlite3.Cursor):
    connection: _Connection

    def execute(self, *arguments: Any) -> _Cursor:
        with _explained(self.connection.place):
            super().execute(*arguments)
        return self

    def executemany(self, *arguments: Any) -> _Cursor:
        with _explained(self.connection.place):
            super().executemany(*arguments)
        return self

    def fetchone(self) -> Any:
        with _explained(self.connection.place):
            return super().fetchone()

    def __next__(self) -> Any:
        with _explained(self.connection.place):
            return super().__next__()


def connect(path: Path, *, read_only: bool = False, cache_only: bool = False) -> sqlite3.Connection:
    """An open, migrated database. Unavailable when it cannot be opened, Corrupt when it is not ours or too new.

    `cache_only`: this connection writes nothing but the index, which the ring can restore, so its commits need not wait
    for the disk.
    """
    with _explained(str(path)):
        if read_only:
            address = f"{path.absolute().as_uri()}?mode=ro"
            db = sqlite3.connect(address, uri=True, timeout=10, isolation_level=None, factory=_Connection)
        else:
            db = sqlite3.connect(path, timeout=10, isolation_level=None, factory=_Connection)
        db.place = str(path)
        if not read_only:
            db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")  # of a new database; one that is there keeps its own
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA wal_autocheckpoint = {_WAL_BYTES // _PAGE_BYTES}")
            db.execute(f"PRAGMA synchronous = {'NORMAL' if cache_only else 'FULL'}")
            db.execute("PRAGMA foreign_keys = ON")
        db.row_factory = sqlite3.Row
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if version > len(_MIGRATIONS):
            db.close()
            raise Corrupt(f"{path} was written by a newer Doorward; update this one")
        if not read_only:
            for number in range(version, len(_MIGRATIONS)):
                db.executescript(f"BEGIN; {_MIGRATIONS[number]}; PRAGMA user_version = {number + 1}; COMMIT;")
        elif version < len(_MIGRATIONS):
            db.close()
            raise Unavailable(f"{path} was written by an older Doorward; start 'doorward run' once to bring it up")
    return db


@contextmanager
def waiting_for_the_disk(db: sqlite3.Connection) -> Iterator[None]:
    """Let commits inside wait for the disk, also on a connection made with `cache_only`."""
    habit = db.execute("PRAGMA synchronous").fetchone()[0]
    db.execute("PRAGMA synchronous = FULL")
    try:
        yield
    finally:
        db.execute(f"PRAGMA synchronous = {int(habit)}")


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All that is written inside or, where anything is raised, nothing of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk has SQLite roll back by itself
            db.execute("ROLLBACK")
        raise


@contextmanager
def together(db: sqlite3.Connection) -> Iterator[None]:
    """A transaction, or part of the one that is under way."""
    if db.in_transaction:
        yield
    else:
        with transaction(db):
            yield
