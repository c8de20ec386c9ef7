"""What came too early: requests while the doorbell did not know the time, withdrawals of requests that had not come.

Kept so that it outlives the process, within limits that the caller sets. A request leaves here in the very transaction
that admits it (ledger) or refuses it, so that it is judged once whatever ends the process in between.
Source: docs/spec/request.md.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from agent.store.chain import append
from agent.store.database import transaction


@dataclass(frozen=True, slots=True)
class EarlyRequest:
    """A request that waits until the doorbell knows the time: its statement, and what of it is needed before then."""

    hash: str
    requester: str
    issued_ns: int
    statement: bytes


class Early:
    """One connection's view, the ledger's."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def keep(self, request: EarlyRequest, now_ns: int, instead_of: EarlyRequest | None) -> None:
        """Keep a request until the time is known; in place of one that waits, if named."""
        with transaction(self._db):
            if instead_of is not None:
                self._refuse(instead_of, now_ns, "crowded-out")
            self._db.execute(
                "INSERT INTO early_requests (hash, requester, issued_ns, statement) VALUES (?,?,?,?)",
                (request.hash, request.requester, request.issued_ns, request.statement),
            )

    def requests(self) -> list[EarlyRequest]:
        """What waits for the time, in the order it came."""
        rows = self._db.execute("SELECT hash, requester, issued_ns, statement FROM early_requests ORDER BY n")
        return [EarlyRequest(**dict(row)) for row in rows]

    def refuse(self, request: EarlyRequest, now_ns: int, reason: str) -> None:
        """It waits no longer, and the log says why."""
        with transaction(self._db):
            self._refuse(request, now_ns, reason)

    def _refuse(self, request: EarlyRequest, now_ns: int, reason: str) -> None:
        self._db.execute("DELETE FROM early_requests WHERE hash = ?", (request.hash,))
        append(self._db, now_ns, "request-refused", {"reason": reason, "requester": request.requester})

    def expect(self, request_hash: str, requester: str, limit: int) -> None:
        """Remember that this requester took back a request that has not come; the newest `limit` of them."""
        with transaction(self._db):
            self._db.execute(
                "INSERT OR IGNORE INTO early_withdrawals (request, requester) VALUES (?, ?)", (request_hash, requester)
            )
            self._db.execute(
                "DELETE FROM early_withdrawals WHERE n <= (SELECT MAX(n) FROM early_withdrawals) - ?", (limit,)
            )

    def expected(self, request_hash: str, requester: str) -> bool:
        """Whether this requester took it back before it came."""
        query = "SELECT 1 FROM early_withdrawals WHERE request = ? AND requester = ?"
        return self._db.execute(query, (request_hash, requester)).fetchone() is not None
