"""The audit chain on the disk: the next entry, written within the caller's transaction. Source: docs/spec/audit.md."""

from __future__ import annotations

import sqlite3

from agent.core import audit
from agent.core.audit import AuditEntry, Details


def append(db: sqlite3.Connection, now_ns: int, what: str, details: Details) -> None:
    """One more entry, linked to the newest."""
    newest = db.execute("SELECT * FROM audit ORDER BY n DESC LIMIT 1").fetchone()
    entry = audit.link(AuditEntry(*newest) if newest else None, now_ns, what, details)
    db.execute(
        "INSERT INTO audit VALUES (?,?,?,?,?,?)",
        (entry.n, entry.time, entry.what, entry.details, entry.previous, entry.hash),
    )
