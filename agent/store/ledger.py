"""What was asked, decided and sent: requests, decisions, transfers, holds, owner sets, and the audit chain.

Every method that changes something is one transaction with its audit entry in it: it is on the disk before anybody acts
on it. Moves between states go through core.consent and nowhere else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, fields

from agent.core import consent, statements
from agent.core.audit import AuditEntry, Details
from agent.core.consent import Event, State
from agent.core.encoding import b64u, from_json, to_json
from agent.core.errors import Corrupt, NotThere, Refused, Unavailable
from agent.core.identity import read_requester_statement
from agent.core.settings import Settings
from agent.core.timeline import Until
from agent.store.chain import append
from agent.store.database import transaction, waiting_for_the_disk

_RELEASE_JOIN = 4  # bytes of the length before each release


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A stored request. Times UTC ns; statements are verbatim.

    `rule`: the owner's rule that declined it unseen. `prompted_ns`: when the owner was asked; None in quiet hours.
    `told_ns`: when the owner's phones were told.
    `replaces`: the id of the request it was asked in place of.
    """

    id: str
    hash: str
    requester: str
    case_number: str
    statement: bytes
    requester_statement: bytes
    received_ns: int
    from_ns: int
    to_ns: int
    expires_ns: int
    state: State
    decision: bytes | None
    undo_until_ns: int | None
    rule: str | None = None
    prompted_ns: int | None = None
    withdrawal: bytes | None = None
    replaces: str | None = None
    undo_boot: str | None = None
    undo_boot_ns: int | None = None
    told_ns: int | None = None

    @property
    def undo_until(self) -> Until:
        """When the undo window ends; of an agreed request only."""
        assert self.undo_until_ns is not None, "an agreed request has its undo window"
        return Until(self.undo_until_ns, self.undo_boot or "", self.undo_boot_ns or 0)


@dataclass(frozen=True, slots=True)
class TransferRow:
    """A decided transfer. `releases` in the order of the decision's clips; `offer` once it was made, and with it
    `clocks`: the clock statement that goes with a clip, by its place in the decision (from 0)."""

    id: str
    request: str
    decision: bytes
    releases: list[bytes]
    offer: bytes | None
    receipt: bytes | None
    sent_bytes: int
    ended_ns: int | None
    clocks: dict[int, str]


@dataclass(frozen=True, slots=True)
class Leaving:
    """A clip that is to leave the ring: its number, and the audit entry that says why."""

    sequence: int
    what: str
    details: Details


class Ledger:
    """One connection's view. Not for use by two threads at once."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    # -- the chain

    def note(self, now_ns: int, what: str, details: Details) -> None:
        """One audit entry by itself."""
        with transaction(self._db):
            self._append(now_ns, what, details)

    def _append(self, now_ns: int, what: str, details: Details) -> None:
        append(self._db, now_ns, what, details)

    def entries(self, after: int = 0, limit: int = -1) -> Iterator[AuditEntry]:
        """Entries behind number `after`, in order."""
        for row in self._db.execute("SELECT * FROM audit WHERE n > ? ORDER BY n LIMIT ?", (after, limit)):
            yield AuditEntry(*row)

    def entry(self, n: int) -> AuditEntry | None:
        """Entry `n`; None when there is none."""
        row = self._db.execute("SELECT * FROM audit WHERE n = ?", (n,)).fetchone()
        return AuditEntry(*row) if row else None

    # -- owners and pairing

    def owners(self) -> bytes | None:
        """The owner set in force."""
        row = self._db.execute("SELECT statement FROM owner_sets ORDER BY version DESC LIMIT 1").fetchone()
        return bytes(row[0]) if row else None

    def put_owners(self, version: int, statement: bytes, now_ns: int) -> None:
        """Take over an accepted owner set; the pairing secret, if one is open, is spent with it."""
        with transaction(self._db):
            self._db.execute("INSERT INTO owner_sets VALUES (?, ?)", (version, statement))
            self._db.execute("DELETE FROM pairing")
            self._append(now_ns, "owners-changed", {"version": version, "hash": b64u(statements.digest(statement))})

    def open_pairing(self, secret: bytes, boot: str, until_boot_ns: int, tries: int) -> None:
        """Let one phone pair with `secret` until then on the clock of this boot; an earlier secret is void."""
        row = (secret, boot, until_boot_ns, tries)
        self._db.execute("INSERT OR REPLACE INTO pairing VALUES (1, ?, ?, ?, ?)", row)

    def pairing_secret(self, boot: str, now_boot_ns: int) -> bytes:
        """The open secret, one try used up; Refused("no-pairing") when none is open any more."""
        with transaction(self._db):
            row = self._db.execute("SELECT secret, boot, until_boot_ns, tries FROM pairing").fetchone()
            if row is None or row[1] != boot or row[2] <= now_boot_ns or row[3] <= 0:
                raise Refused(
                    "no-pairing", "the pairing code has been used or is too old; ask the doorbell for a new one"
                )
            self._db.execute("UPDATE pairing SET tries = tries - 1")
            return bytes(row[0])

    def pairing_proved(self) -> None:
        """The one who has the secret is there: give back the try."""
        self._db.execute("UPDATE pairing SET tries = tries + 1")

    # -- requests

    def seen(self, request: str) -> bool:
        """Whether a request with this id came before."""
        return self._db.execute("SELECT 1 FROM nonces WHERE id = ?", (request,)).fetchone() is not None

    def count_requests(self, requester: str, since_ns: int = 0, case_number: str | None = None) -> int:
        """Requests stored of this requester since then (of one case, if named)."""
        query = "SELECT COUNT(*) FROM requests WHERE requester = ? AND received_ns >= ?"
        values: list[str | int] = [requester, since_ns]
        if case_number is not None:
            query += " AND case_number = ?"
            values.append(case_number)
        return int(self._db.execute(query, values).fetchone()[0])

    def admit(self, row: RequestRow, concerned: Sequence[int], held: Collection[int]) -> None:
        """Store a request, its nonce, the clips it concerns and the hold on those in `held`, in one transaction.

        Nobody has been told anything yet. What it replaces is withdrawn, what a rule declines is declined, and it no
        longer waits for the time, in the same transaction.
        """
        values = {f.name: getattr(row, f.name) for f in fields(row)} | {"state": row.state.value}
        with transaction(self._db):
            self._db.execute("DELETE FROM early_requests WHERE hash = ?", (row.hash,))
            self._db.execute("INSERT INTO nonces VALUES (?, ?)", (row.id, row.received_ns))
            self._db.execute(
                f"INSERT INTO requests ({','.join(values)}) VALUES ({','.join('?' * len(values))})",  # noqa: S608
                list(values.values()),
            )
            self._db.executemany(
                "INSERT INTO holds (request, sequence, active) SELECT ?, sequence, ? FROM clips "
                "WHERE sequence = ? AND sequence NOT IN (SELECT sequence FROM leaving)",
                [(row.id, s in held, s) for s in concerned],
            )
            self._append(
                row.received_ns,
                "request-received",
                {"request": row.id, "requester": row.requester, "case": row.case_number, "hash": row.hash},
            )
            if row.replaces and Event.WITHDRAW in consent.TRANSITIONS[self.request(row.replaces).state]:
                self._move(row.replaces, Event.WITHDRAW, row.received_ns, "withdrawn", {"replaced_by": row.id})
            if row.rule:
                self._move(row.id, Event.DECLINE, row.received_ns, "declined-by-rule", {"rule": row.rule})

    def prompted(self, request: str, now_ns: int) -> None:
        """The owner is being asked now."""
        with transaction(self._db):
            self._db.execute("UPDATE requests SET prompted_ns = ? WHERE id = ?", (now_ns, request))
            self._append(now_ns, "prompted", {"request": request})

    def unprompted(self) -> list[RequestRow]:
        """Requests that wait for an answer and of which the owner has not been told."""
        return [row for row in self.in_state(State.ASKED) if row.prompted_ns is None]

    def told(self, request: str, now_ns: int) -> None:
        """The owner's phones were told of it, by whatever tells them."""
        with transaction(self._db):
            self._db.execute("UPDATE requests SET told_ns = ? WHERE id = ?", (now_ns, request))
            self._append(now_ns, "told", {"request": request})

    def untold(self) -> list[RequestRow]:
        """Requests the owner is being asked about and of which the phones have not been told."""
        asked = self.in_state(State.ASKED)
        return [row for row in asked if row.prompted_ns is not None and row.told_ns is None]

    def withdraw(self, request: str, withdrawal: bytes, now_ns: int) -> RequestRow:
        """The requester took it back: prompt, undo window and transfer end. Refused("not-asked") when it is over."""
        with transaction(self._db):
            self._db.execute("UPDATE requests SET withdrawal = ? WHERE id = ?", (withdrawal, request))
            details: Details = {"withdrawal": b64u(statements.digest(withdrawal))}
            self._move(request, Event.WITHDRAW, now_ns, "withdrawn", details)
        return self.request(request)

    def by_hash(self, request_hash: str) -> RequestRow | None:
        """The request whose statement has this hash (b64u)."""
        row = self._db.execute("SELECT * FROM requests WHERE hash = ?", (request_hash,)).fetchone()
        return _request(row) if row else None

    def requester_statement(self, requester: str) -> bytes | None:
        """The newest statement under which this requester has asked here."""
        row = self._db.execute(
            "SELECT requester_statement FROM requests WHERE requester = ? ORDER BY received_ns DESC LIMIT 1",
            (requester,),
        ).fetchone()
        return bytes(row[0]) if row else None

    def agency(self, requester: str) -> str | None:
        """The name under which this requester asked here last."""
        statement = self.requester_statement(requester)
        return read_requester_statement(statement).agency if statement else None

    def directory(self, key: str) -> bytes | None:
        """The newest directory ever seen under this key (b64u)."""
        row = self._db.execute("SELECT statement FROM directories WHERE key = ?", (key,)).fetchone()
        return bytes(row[0]) if row else None

    def put_directory(self, key: str, version: int, statement: bytes, now_ns: int) -> None:
        """Take over a newer one."""
        with transaction(self._db):
            self._db.execute("INSERT OR REPLACE INTO directories VALUES (?, ?, ?)", (key, version, statement))
            details: Details = {"version": version, "hash": b64u(statements.digest(statement))}
            self._append(now_ns, "directory-changed", details)

    # -- the owner's settings

    def settings(self) -> Settings:
        """What the owner has set; Unavailable when the database has lost it: nobody is asked on a guess."""
        row = self._db.execute("SELECT document FROM settings").fetchone()
        if row is None:
            return Settings()
        try:
            return from_json(bytes(row[0]), Settings, "the settings in the database")
        except Corrupt as e:
            raise Unavailable(str(e)) from e

    def put_settings(self, settings: Settings, now_ns: int, details: Details) -> list[str]:
        """Store them; requests that wait from requesters now blocked are declined with them: their ids."""
        ended = []
        with transaction(self._db):
            self._db.execute("INSERT OR REPLACE INTO settings VALUES (1, ?)", (to_json(settings),))
            self._append(now_ns, "settings-changed", details)
            for row in self.in_state(State.ASKED):
                if row.requester in settings.blocks():
                    self._db.execute("UPDATE requests SET rule = 'blocked' WHERE id = ?", (row.id,))
                    self._move(row.id, Event.DECLINE, now_ns, "declined-by-rule", {"rule": "blocked"})
                    ended.append(row.id)
        return ended

    def request(self, request: str) -> RequestRow:
        """One request; NotThere when there is none with this id."""
        row = self._db.execute("SELECT * FROM requests WHERE id = ?", (request,)).fetchone()
        if row is None:
            raise NotThere(f"there is no request '{request[:40]}' here")
        return _request(row)

    def requests(self, limit: int = 200) -> list[RequestRow]:
        """Requests, newest first."""
        rows = self._db.execute("SELECT * FROM requests ORDER BY received_ns DESC, id LIMIT ?", (limit,))
        return [_request(row) for row in rows]

    def in_state(self, *states: State) -> list[RequestRow]:
        """Requests that stand so, oldest first."""
        marks = ",".join("?" * len(states))
        rows = self._db.execute(
            f"SELECT * FROM requests WHERE state IN ({marks}) ORDER BY received_ns",  # noqa: S608
            [state.value for state in states],
        )
        return [_request(row) for row in rows]

    def concerned(self, request: str) -> list[int]:
        """The clips a request concerns, by sequence; once it is over they may have been evicted."""
        rows = self._db.execute("SELECT sequence FROM holds WHERE request = ? ORDER BY sequence", (request,))
        return [int(row[0]) for row in rows]

    def held_by(self, requester: str) -> tuple[set[int], int]:
        """What a requester's requests hold: the numbers of the clips, and their bytes."""
        rows = self._db.execute(
            "SELECT sequence, bytes FROM clips WHERE sequence IN (SELECT sequence FROM holds JOIN requests ON "
            "requests.id = holds.request WHERE active AND requester = ?)",
            (requester,),
        ).fetchall()
        return {int(row[0]) for row in rows}, sum(int(row[1]) for row in rows)

    def held_bytes(self) -> int:
        """Bytes of all clips that any request holds."""
        query = "SELECT COALESCE(SUM(bytes), 0) FROM clips WHERE sequence IN (SELECT sequence FROM holds WHERE active)"
        return int(self._db.execute(query).fetchone()[0])

    def let_go(self, choose: Callable[[], Sequence[Leaving]], now_ns: int) -> None:
        """Mark clips as leaving, with their audit entries; on the disk on return, whatever the connection's habit.

        `choose` says which, while nobody else can write: a clip cannot come to be held in between.
        """
        with waiting_for_the_disk(self._db), transaction(self._db):
            for clip in choose():
                self._db.execute("INSERT OR IGNORE INTO leaving VALUES (?)", (clip.sequence,))
                self._db.execute("UPDATE holds SET active = 0 WHERE sequence = ?", (clip.sequence,))
                self._append(now_ns, clip.what, clip.details)

    # -- consent

    def move(self, request: str, event: Event, now_ns: int, what: str, details: Details | None = None) -> RequestRow:
        """Carry out one step of consent; Refused("not-asked") and no change where the table has none."""
        with transaction(self._db):
            self._move(request, event, now_ns, what, details or {})
        return self.request(request)

    def _move(self, request: str, event: Event, now_ns: int, what: str, details: Details) -> None:
        row = self.request(request)
        state = consent.after(row.state, event)
        self._db.execute("UPDATE requests SET state = ? WHERE id = ?", (state.value, request))
        if state not in consent.NEEDS_CLIPS:
            self._db.execute("UPDATE holds SET active = 0 WHERE request = ?", (request,))
        if state in (State.STOPPED, State.LAPSED, State.DELIVERED, State.WITHDRAWN):
            self._db.execute("UPDATE transfers SET ended_ns = ? WHERE request = ?", (now_ns, request))
        self._append(now_ns, what, {"request": request, **details})

    def decline(self, request: str, decision: bytes, owner: str, now_ns: int) -> RequestRow:
        """Store a signed no."""
        with transaction(self._db):
            self._db.execute("UPDATE requests SET decision = ? WHERE id = ?", (decision, request))
            details: Details = {"answer": "decline", "owner": owner, "decision": b64u(statements.digest(decision))}
            self._move(request, Event.DECLINE, now_ns, "decided", details)
        return self.request(request)

    def decline_unsigned(self, request: str, by: str, now_ns: int) -> None:
        """A no that no owner signed, and who said it. It can only ever keep something from leaving."""
        with transaction(self._db):
            self._db.execute("UPDATE requests SET rule = ? WHERE id = ?", (by, request))
            self._move(request, Event.DECLINE, now_ns, "declined-unsigned", {"by": by})

    def share(
        self, request: str, decision: bytes, releases: Sequence[bytes], *, owner: str, transfer: str, now_ns: int,
        undo_until: Until, clips: Sequence[int],
    ) -> RequestRow:  # fmt: skip
        """Store a signed yes and its sealed keys; the undo window runs until `undo_until`.

        From here on the shared `clips` are held, also those the request could not hold by itself.
        """
        name = b64u(statements.digest(decision))
        joined = b"".join(len(r).to_bytes(_RELEASE_JOIN, "big") + r for r in releases)
        with transaction(self._db):
            if self._db.execute("SELECT 1 FROM void_decisions WHERE hash = ?", (name,)).fetchone():
                raise Refused("void", "this decision was taken back; decide anew")
            self._hold(request, clips)
            self._db.execute("UPDATE requests SET decision = ? WHERE id = ?", (decision, request))
            self._run_until(request, undo_until)
            self._db.execute(
                "INSERT OR REPLACE INTO transfers (id, request, decision, releases) VALUES (?,?,?,?)",
                (transfer, request, decision, joined),
            )
            details: Details = {"answer": "share", "owner": owner, "decision": name}
            self._move(request, Event.SHARE, now_ns, "decided", details)
        return self.request(request)

    def _hold(self, request: str, clips: Sequence[int]) -> None:
        for sequence in clips:
            there = self._db.execute(
                "UPDATE holds SET active = 1 WHERE request = ? AND sequence IN (SELECT sequence FROM clips "
                "WHERE sequence = ? AND sequence NOT IN (SELECT sequence FROM leaving))",
                (request, sequence),
            ).rowcount
            if not there:
                raise Refused("unknown-clip", "a clip of this answer has just left the ring; look again")

    def undo(self, request: str, now_ns: int) -> RequestRow:
        """Take a yes back before anything left: the decision is void for ever, its keys are deleted."""
        with transaction(self._db):
            row = self.request(request)
            self._move(request, Event.UNDO, now_ns, "undone", {})
            assert row.decision is not None, "a request in the undo window has a decision"
            name = b64u(statements.digest(row.decision))
            self._db.execute("INSERT INTO void_decisions VALUES (?)", (name,))
            self._db.execute("DELETE FROM transfers WHERE request = ?", (request,))
            self._db.execute("UPDATE requests SET decision = NULL, undo_until_ns = NULL WHERE id = ?", (request,))
        return self.request(request)

    def _run_until(self, request: str, end: Until) -> None:
        self._db.execute(
            "UPDATE requests SET undo_until_ns = ?, undo_boot = ?, undo_boot_ns = ? WHERE id = ?",
            (end.utc_ns, end.boot, end.boot_ns, request),
        )

    def resume(self, request: str, now_ns: int, undo_until: Until) -> RequestRow:
        """Let the undo window run again, from its beginning."""
        with transaction(self._db):
            self._move(request, Event.RESUME, now_ns, "resumed", {})
            self._run_until(request, undo_until)
        return self.request(request)

    def begin_sending(
        self, request: str, transfer: str, offer: bytes, clocks: dict[int, str], size: int, now_ns: int
    ) -> RequestRow:
        """The undo window is over: store the offer before it is published."""
        with transaction(self._db):
            self._db.execute(
                "UPDATE transfers SET offer = ?, clocks = ? WHERE id = ?", (offer, to_json(clocks), transfer)
            )
            self._move(request, Event.UNDO_OVER, now_ns, "offered", {"transfer": transfer, "bytes": size})
        return self.request(request)

    def delivered(self, request: str, transfer: TransferRow, receipt: bytes, sent_bytes: int, now_ns: int) -> None:
        """Store the requester's signed receipt; the clips are let go."""
        with transaction(self._db):
            self._db.execute(
                "UPDATE transfers SET receipt = ?, sent_bytes = ? WHERE id = ?", (receipt, sent_bytes, transfer.id)
            )
            self._append(now_ns, "sent", {"request": request, "transfer": transfer.id, "bytes": sent_bytes})
            details: Details = {"transfer": transfer.id, "receipt": b64u(statements.digest(receipt))}
            self._move(request, Event.RECEIPT, now_ns, "receipt", details)

    def end_sending(self, request: str, event: Event, sent_bytes: int, now_ns: int) -> RequestRow:
        """Stop, or let lapse, a transfer: what was sent until now is noted with it."""
        what = {Event.STOP: "stopped-sharing", Event.EXPIRE: "lapsed"}[event]
        with transaction(self._db):
            self._db.execute("UPDATE transfers SET sent_bytes = ? WHERE request = ?", (sent_bytes, request))
            self._move(request, event, now_ns, what, {"bytes": sent_bytes})
        return self.request(request)

    def note_sent(self, transfer: str, sent_bytes: int) -> None:
        """How much of a transfer was handed to the broker until now."""
        self._db.execute("UPDATE transfers SET sent_bytes = ? WHERE id = ?", (sent_bytes, transfer))

    def ended_transfer(self, transfer: str) -> tuple[RequestRow, str] | None:
        """(request, why) of a transfer that was offered and then ended without receipt; None for any other."""
        row = self._db.execute(
            "SELECT request FROM transfers WHERE id = ? AND offer IS NOT NULL", (transfer,)
        ).fetchone()
        if row is None:
            return None
        request = self.request(row[0])
        ended = (State.STOPPED, State.LAPSED, State.WITHDRAWN)
        return (request, request.state.value) if request.state in ended else None

    def transfer(self, request: str) -> TransferRow | None:
        """The transfer of a request that was agreed to."""
        row = self._db.execute("SELECT * FROM transfers WHERE request = ?", (request,)).fetchone()
        return _transfer(row) if row else None


def _request(row: sqlite3.Row) -> RequestRow:
    return RequestRow(**{**dict(row), "state": State(row["state"])})


def _transfer(row: sqlite3.Row) -> TransferRow:
    joined, releases = bytes(row["releases"]), []
    while joined:
        length = int.from_bytes(joined[:_RELEASE_JOIN], "big")
        releases.append(joined[_RELEASE_JOIN : _RELEASE_JOIN + length])
        joined = joined[_RELEASE_JOIN + length :]
    clocks = from_json(bytes(row["clocks"]), dict[int, str], "the clock statements of a transfer in the database")
    return TransferRow(**{**dict(row), "releases": releases, "clocks": clocks})
