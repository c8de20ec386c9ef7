"""Where an owner looks and decides. Everything the owner API can do, behind one object without any HTTP in it.

A decision is judged against the ring itself and committed before anything acts on it. Nothing here sends: `sending` is
told that there may be something to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core import statements
from agent.core.bundle import Offer
from agent.core.consent import DRAW_BYTES, Event, State, window_ns
from agent.core.encoding import b64u, format_time, from_b64u, from_json, key_id, new_id, parse_time
from agent.core.errors import Corrupt, NotThere, Refused, Unavailable
from agent.core.identity import OwnerSet
from agent.core.owner_api import (
    AuditLine,
    AuditPage,
    ClipDetail,
    ClipSummary,
    RecordPlace,
    RequestDetail,
    RequestRow,
    Status,
    Trouble,
)
from agent.core.release import Asked, ClipFacts, Decision, judge_decision
from agent.core.request import FootageRequest
from agent.core.statements import Kind
from agent.core.timeline import DoorbellTime, Span, until
from agent.disclosure.bulletin import Bulletin
from agent.disclosure.clip_summary import summary
from agent.disclosure.log_check import LogCheck
from agent.disclosure.trusted import Trusted
from agent.store import ledger as rows
from agent.store.clips import ClipStore, clip_facts
from agent.store.index import ClipRow
from agent.store.keeping import Keeper
from agent.store.ledger import Ledger
from agent.store.state import device_id

_LIST_LIMIT = 500
_DAY_NS = 86_400 * 1_000_000_000


class Activity(Protocol):
    """What the rest of the doorbell is doing, for the status line."""

    @property
    def recording(self) -> str:
        """waiting, watching, recording, blind, paused, ended or stopped."""

    @property
    def troubles(self) -> list[Trouble]:
        """What keeps the doorbell from recording."""

    @property
    def broker(self) -> str:
        """connected, connecting or off."""

    @property
    def detector(self) -> str:
        """off, missing, starting, on or failed."""

    def sent_bytes(self, request: str) -> int | None:
        """Bytes of blocks handed to the broker for a transfer that is being sent, else None."""

    def look_again(self) -> None:
        """Something was decided that may start or end a transfer."""


@dataclass(frozen=True, slots=True)
class Home:
    """What the desk says of the doorbell and its rules."""

    name: str
    longitude: float
    latitude: float
    undo_ns: int


class Desk:
    """One doorbell's desk, in the event loop's thread."""

    def __init__(
        self,
        ledger: Ledger,
        clips: ClipStore,
        keeper: Keeper,
        device: Ed25519PrivateKey,
        home: Home,
        activity: Activity,
        bulletin: Bulletin,
        trusted: Trusted,
        owners: Callable[[], OwnerSet | None],
        time: DoorbellTime,
        random: Callable[[int], bytes],
    ) -> None:
        self._ledger = ledger
        self._log = LogCheck(ledger, time.boot_ns)
        self._clips = clips
        self._keeper = keeper
        self._device = device_id(device)
        self._home = home
        self._activity = activity
        self.bulletin = bulletin
        self._trusted = trusted
        self._owners = owners
        self._time = time
        self._random = random

    # -- looking

    def status(self) -> Status:
        """One line about everything."""
        count, used, oldest_ns = self._clips.index.totals()
        directory = self._trusted.info()
        return Status(
            name=self._home.name,
            recording=self._activity.recording,
            clips=count,
            bytes=used,
            budget_bytes=self._keeper.limits.budget_bytes,
            days=self._keeper.limits.age_ns // _DAY_NS,
            oldest=None if oldest_ns is None else format_time(oldest_ns),
            broker=self._activity.broker,
            detector=self._activity.detector,
            requests_waiting=len(self._ledger.in_state(State.ASKED)),
            undo_s=self._home.undo_ns / 1e9,
            owners=(self._ledger.owners() or b"").decode(),
            now=format_time(self._time.now()),
            clock_set=self._time.known(),
            troubles=self._activity.troubles,
            paused=self._ledger.settings().is_paused(self._time.now()),
            directory_expired=directory is not None and directory.expired,
        )

    def clips(self, start: str | None, end: str | None, limit: int) -> list[ClipSummary]:
        """Clips of a span (or the newest), newest first."""
        limit = max(1, min(limit, _LIST_LIMIT))
        if start is None and end is None:
            return [summary(row) for row in self._clips.index.newest(limit)]
        span = Span(parse_time(start) if start else 0, parse_time(end) if end else self._time.now() + 10**18)
        return [summary(row) for row in reversed(self._clips.overlapping(span))][:limit]

    def clip(self, clip: str) -> ClipDetail:
        """All that can be read of a clip without a key."""
        row = self._row(clip)
        file = self._clips.ring.layout(row.sequence)
        places = [
            RecordPlace(
                r.header.track.name.lower(), r.header.index, r.header.flags, r.header.start_ns, r.header.duration_ns,
                r.offset, r.length,
            )
            for r in file.records
        ]  # fmt: skip
        manifest = file.manifest.decode() if file.manifest else None
        return ClipDetail(summary(row), b64u(file.header), b64u(file.wraps), manifest, places)

    def sealed_path(self, clip: str) -> Path:
        """The clip's file."""
        return self._clips.ring.path(self._row(clip).sequence)

    def _row(self, clip: str) -> ClipRow:
        row = self._clips.index.by_id(clip)
        if row is None:
            raise NotThere(f"there is no clip '{clip[:40]}' here")
        return row

    def delete(self, clip: str, owner: str) -> ClipSummary:
        """Delete a clip at once, because the owner with this kid says so. Refused: recording, promised."""
        waiting = self._clips.index.by_id(clip)
        row = self._keeper.delete(clip, owner)
        self.bulletin.tell("clips")
        if waiting is not None and waiting.held:
            self.bulletin.tell("requests")
        return summary(row)

    def requests(self) -> list[RequestRow]:
        """All requests, newest first."""
        return [self._request_row(row) for row in self._ledger.requests()]

    def request(self, request: str) -> RequestDetail:
        """One request with everything an owner's device needs to decide."""
        row = self._ledger.request(request)
        transfer = self._ledger.transfer(request)
        delivered = transfer.ended_ns if transfer and row.state is State.DELIVERED else None
        return RequestDetail(
            row=self._request_row(row),
            request=row.statement.decode(),
            requester=row.requester_statement.decode(),
            home=(self._home.longitude, self._home.latitude),
            clips=[summary(clip) for clip in self._concerned(row)],
            decision=row.decision.decode() if row.decision else None,
            receipt=transfer.receipt.decode() if transfer and transfer.receipt else None,
            delivered=None if delivered is None else format_time(delivered),
            trusted=self._trusted.where(row.requester),
        )

    def _concerned(self, row: rows.RequestRow) -> list[ClipRow]:
        found = (self._clips.index.by_sequence(s) for s in self._ledger.concerned(row.id))
        return [clip for clip in found if clip is not None]

    def _request_row(self, row: rows.RequestRow) -> RequestRow:
        said = stored_request(row)
        transfer = self._ledger.transfer(row.id)
        live = self._activity.sent_bytes(row.id)
        sent = live if live is not None else transfer.sent_bytes if transfer else 0
        total = offered_bytes(transfer.offer) if transfer and transfer.offer else 0
        waiting = row.state is State.AGREED and row.undo_until_ns is not None
        return RequestRow(
            id=row.id,
            state=row.state.value,
            received=format_time(row.received_ns),
            agency=said.requester.agency,
            case_number=said.case_number,
            incident_type=said.incident_type,
            from_=said.span_from,
            to=said.span_to,
            expires=said.expires,
            clips=len(self._ledger.concerned(row.id)),
            undo_until=format_time(row.undo_until_ns) if waiting and row.undo_until_ns is not None else None,
            sent_bytes=min(sent, total) if total else sent,
            total_bytes=total,
            declined_by=row.rule,
            replaces=row.replaces,
            prompted=row.prompted_ns is not None,
        )

    async def audit(self, after: int, limit: int) -> AuditPage:
        """Entries behind number `after`, and whether the chain is unbroken (what is new or shown is checked anew)."""
        try:
            head, unbroken = await self._log.head(), True
        except Corrupt:
            head, unbroken = None, False  # not hidden: `intact` is what the page shows in red
        entries, follow = self._log.shown(after, max(1, min(limit, _LIST_LIMIT)))
        intact = unbroken and follow
        lines = [
            AuditLine(
                e.n, e.time, e.what, from_json(e.details.encode(), dict[str, str | int], "an audit entry"), e.hash
            )
            for e in entries
        ]
        return AuditPage(lines, head.hash if head and intact else "", intact)

    # -- deciding

    async def decide(self, request: str, decision: bytes, releases: list[bytes]) -> RequestRow:
        """Judge a signed decision and commit it. Refused by name; nothing changes then."""
        if not self._time.known():
            raise Refused(
                "clock-not-set", "the doorbell does not know the time yet; it waits for a time server, try again soon"
            )
        row = self._ledger.request(request)
        concerned = self._concerned(row)
        named = _named(decision)
        facts = await asyncio.to_thread(self._facts, [clip for clip in concerned if clip.id in named])
        owners = self._owners()
        if owners is None:
            raise Refused("not-an-owner", "this doorbell has no owner yet")
        now = self._time.now()
        judged = judge_decision(
            decision, releases, owners=owners, device=self._device, asked=asked_of(row), clips=facts, now_ns=now
        )
        shared = {clip.clip for clip in judged.clips}
        clips = [clip.sequence for clip in concerned if clip.id in shared]
        self._commit(request, judged, decision, releases, now, clips)
        self._changed(request)
        return self._request_row(self._ledger.request(request))

    def _facts(self, concerned: list[ClipRow]) -> dict[str, ClipFacts]:
        ended = [row for row in concerned if row.state != "recording"]
        return {row.id: clip_facts(self._clips.ring.read(row.sequence), row.begins()) for row in ended}

    def _commit(
        self, request: str, judged: Decision, decision: bytes, releases: list[bytes], now: int, clips: list[int]
    ) -> None:
        owner = statements.signer(Kind.DECISION, decision)
        if judged.answer == "share" and self._trusted.where(judged.requester) is None:
            raise Refused("not-trusted", "who asked is not among those you trust any more; nothing can be shared")
        if judged.answer == "decline":
            self._ledger.decline(request, decision, owner, now)
            return
        self._ledger.share(
            request,
            decision,
            releases,
            owner=owner,
            transfer=new_id(self._random(16)),
            now_ns=now,
            undo_until=until(self._time, max(now + self._window_ns(), parse_time(judged.not_before))),
            clips=clips,
        )

    def _window_ns(self) -> int:
        return window_ns(self._home.undo_ns, self._random(DRAW_BYTES))

    def undo(self, request: str) -> RequestRow:
        """Take a yes back while nothing has left."""
        return self._moved(self._ledger.undo(request, self._time.now()))

    def hold(self, request: str) -> RequestRow:
        """Stop the undo clock."""
        return self._moved(self._ledger.move(request, Event.HOLD, self._time.now(), "held"))

    def resume(self, request: str) -> RequestRow:
        """Let it run again, from its beginning."""
        now = self._time.now()
        return self._moved(self._ledger.resume(request, now, until(self._time, now + self._window_ns())))

    def stop(self, request: str) -> RequestRow:
        """Send nothing more."""
        sent = self._activity.sent_bytes(request) or 0
        return self._moved(self._ledger.end_sending(request, Event.STOP, sent, self._time.now()))

    def _moved(self, row: rows.RequestRow) -> RequestRow:
        self._changed(row.id)
        return self._request_row(row)

    def _changed(self, request: str) -> None:
        self._activity.look_again()
        self.bulletin.tell("requests", request)


def _named(decision: bytes) -> set[str]:
    """The clips a decision names; only they are read: another one's damage must not keep an owner from answering."""
    try:
        return {clip.clip for clip in statements.unverified(Kind.DECISION, decision, Decision).clips}
    except Refused:
        return set()  # judging it names what is wrong with it


def stored_request(row: rows.RequestRow) -> FootageRequest:
    """What a stored request says. It was verified when it came in; Unavailable if the database has lost that."""
    try:
        return statements.unverified(Kind.REQUEST, row.statement, FootageRequest)
    except Refused as e:
        raise Unavailable(f"request {row.id} in the database is damaged: {e}") from e


def asked_of(row: rows.RequestRow) -> Asked:
    """What a decision about a stored request must answer to."""
    said = stored_request(row)
    return Asked(
        hash=row.hash,
        requester=row.requester,
        key=key_id(from_b64u(said.key, 32)),
        purpose=said.purpose,
        span=Span(row.from_ns, row.to_ns),
    )


def offered_bytes(offer: bytes) -> int:
    """The size of the bundle an own offer announces."""
    return statements.unverified(Kind.OFFER, offer, Offer).size
