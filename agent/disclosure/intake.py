"""What the broker brings: judged, stored with a hold on its clips, and only then shown to the owner. Never answered.

Withdrawals come the same way. While the doorbell does not know the time little can be judged: what passes until then
waits on the disk, a few of each requester. In the owner's quiet hours a request is stored and nobody is told of it
until they end. Refusals are named in the audit chain. Anybody at the broker can send junk, or a signed request again
and again, and a flood must not fill the disk through the log: so many refusals an hour are written down.
Source: docs/spec/request.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from agent.core import request as rules
from agent.core import statements
from agent.core.audit import Details
from agent.core.consent import State
from agent.core.encoding import b64u, parse_time
from agent.core.errors import BadInput, Refused, Unavailable
from agent.core.identity import RequesterStatement, read_requester_statement
from agent.core.request import Circumstances, Judged
from agent.core.retention import may_hold
from agent.core.settings import Settings, is_quiet
from agent.core.statements import Kind
from agent.core.timeline import DoorbellTime, Span
from agent.core.withdrawal import judge_withdrawal
from agent.disclosure.bulletin import Bulletin
from agent.disclosure.trusted import Trusted
from agent.store.early import Early, EarlyRequest
from agent.store.index import Index
from agent.store.ledger import Ledger, RequestRow

log = logging.getLogger(__name__)

REFUSALS_NOTED_AN_HOUR = 60
EARLY_LIMIT = 256
_QUIET_LOOK_S = 20.0
_HOUR_NS = 3600 * 1_000_000_000
_UNSIGNED = frozenset({"too-large", "unknown-requester", "bad-signature"})


class Intake:
    """Judges requests for one home.

    `minute_of_day`: of UTC ns in an IANA zone, BadInput where that is unknown. `withdrawn` is called after a request
    that may be on its way out was taken back. What one requester, and all together, can keep from being evicted is a
    share of the ring's `budget_bytes`.
    """

    def __init__(
        self,
        ledger: Ledger,
        early: Early,
        index: Index,
        home: tuple[float, float],
        trusted: Trusted,
        bulletin: Bulletin,
        time: DoorbellTime,
        minute_of_day: Callable[[int, str], int],
        withdrawn: Callable[[], None],
        budget_bytes: int,
    ) -> None:
        self._ledger = ledger
        self._early = early
        self._index = index
        self._home = home
        self._trusted = trusted
        self._bulletin = bulletin
        self._time = time
        self._minute_of_day = minute_of_day
        self._withdrawn = withdrawn
        self._budget_bytes = budget_bytes
        self._hour = 0
        self._refusals = 0

    def on_request(self, token: bytes) -> None:
        """One message from an `area/…/request` topic: a request, or the withdrawal of one."""
        now = self._time.now()
        try:
            if statements.claims(Kind.WITHDRAWAL, token):
                self._withdraw(token, now)
                return
            if not self._time.known():
                self._wait(token, now)
                return
            self._judge(token, now)
        except Refused as e:
            self._refuse(e, token, now)
        except Unavailable as e:
            log.error("a request was put before nobody: %s", e)

    def judge_waiting(self) -> None:
        """Judge what came before the time was known, if it is now. What the disk keeps from it waits on."""
        if not self._time.known():
            return
        now = self._time.now()
        try:
            for early in self._early.requests():
                try:
                    self._judge(early.statement, now)
                except Refused as e:
                    log.info("a request that waited was refused: %s (%s)", e.reason, e)
                    self._early.refuse(early, now, e.reason)
        except Unavailable as e:
            log.error("requests that waited for the time wait on: %s", e)

    def _judge(self, token: bytes, now: int) -> None:
        """Store what passes and put it before the owner; Refused for anything else."""
        settings = self._ledger.settings()
        judged = rules.judge(token, self._circumstances(now, settings))
        row = self._admit(judged, token, now)
        if row.replaces:
            self._withdrawn()
            self._bulletin.tell("requests", row.replaces)
        if row.rule:
            self._bulletin.tell("requests", row.id)
        elif not self._is_quiet(settings, now):
            self._prompt(row, now)

    def _wait(self, token: bytes, now: int) -> None:
        """Keep a request until the time is known; Refused where no time could make it right, or for want of room."""
        pinned = {kid: statement for kid, (_, statement) in self._trusted.known().items()}
        said = rules.judge_without_time(token, pinned, self._home, self._ledger.seen)
        early = EarlyRequest(b64u(statements.digest(token)), said.requester.id, parse_time(said.issued), token)
        waiting = self._early.requests()
        if early in waiting:
            return
        waiting.append(early)
        gone = rules.crowded_out([(each.requester, each.issued_ns) for each in waiting])
        if gone == len(waiting) - 1:
            raise Refused("crowded-out", "others that were issued later wait for the time")
        self._early.keep(early, now, None if gone is None else waiting[gone])
        log.warning("a request waits until the doorbell knows the time")

    async def run(self) -> None:
        """Until cancelled: judges what waited for the time, also in a former process, and asks the owner what came in
        quiet hours, once they are over."""
        while True:
            self.judge_waiting()
            try:
                self.prompt_due()
            except Unavailable as e:
                log.error("requests that waited for the end of quiet hours wait on: %s", e)
            await asyncio.sleep(_QUIET_LOOK_S)

    def prompt_due(self) -> None:
        """Tell of requests stored in quiet hours, unless it is still quiet."""
        waiting = self._ledger.unprompted()
        now = self._time.now()
        if waiting and not self._is_quiet(self._ledger.settings(), now):
            for row in waiting:
                self._prompt(row, now)

    def _prompt(self, row: RequestRow, now: int) -> None:
        self._ledger.prompted(row.id, now)
        self._bulletin.tell("requests", row.id)

    def _is_quiet(self, settings: Settings, now: int) -> bool:
        if settings.quiet is None:
            return False
        try:
            return is_quiet(settings.quiet, self._minute_of_day(now, settings.quiet.zone))
        except BadInput as e:
            log.error("the quiet hours cannot be kept: %s", e)
            return False

    def _withdraw(self, token: bytes, now: int) -> None:
        try:
            said = judge_withdrawal(token, self._asked_before, self._asker_of)
        except Refused as e:
            if e.reason in ("unknown-requester", "unknown-request"):
                self._expect(token, now)
            raise
        row = self._ledger.by_hash(said.request)
        assert row is not None, "a judged withdrawal names a request that is here"
        self._ledger.withdraw(row.id, token, now)
        self._withdrawn()
        self._bulletin.tell("requests", row.id)

    def _expect(self, token: bytes, now: int) -> None:
        """Remember a withdrawal that overtook its request, if somebody signed it who may ask here.

        Refused, and nothing remembered, where judging it as if that requester had asked comes to a no. Nor is one
        remembered whose request must be over: anybody at the broker can say old ones again, to crowd out the others.
        """
        kid = statements.signer(Kind.WITHDRAWAL, token)
        trusted = {k: said for k, (_, said) in self._trusted.known().items()}
        said = judge_withdrawal(token, trusted.get, lambda _: kid)
        is_over = self._time.known() and parse_time(said.issued) + rules.MAX_LIFE_NS <= now
        if not is_over and self._ledger.by_hash(said.request) is None and not self._early.expected(said.request, kid):
            self._early.expect(said.request, kid, EARLY_LIMIT)

    def _asker_of(self, request_hash: str) -> str | None:
        row = self._ledger.by_hash(request_hash)
        return row.requester if row else None

    def _asked_before(self, kid: str) -> RequesterStatement | None:
        statement = self._ledger.requester_statement(kid)
        return read_requester_statement(statement) if statement else None

    def _circumstances(self, now: int, settings: Settings) -> Circumstances:
        return Circumstances(
            now_ns=now,
            home=self._home,
            pinned={kid: statement for kid, (_, statement) in self._trusted.known().items()},
            blocked=settings.blocks(),
            paused=settings.is_paused(now),
            decline=settings.decline,
            asker_of=self._asker_of,
            seen=self._ledger.seen,
            taken_back=self._early.expected,
            asked_for_case=lambda requester, case: self._ledger.count_requests(requester, case_number=case),
            asked_since=self._ledger.count_requests,
            clips=self._clips,
        )

    def _clips(self, span: Span) -> Sequence[str]:
        return [row.id for row in self._index.overlapping(span)]

    def _refuse(self, refusal: Refused, token: bytes, now: int) -> None:
        log.info("a request was refused: %s (%s)", refusal.reason, refusal)
        if now // _HOUR_NS != self._hour:
            self._hour, self._refusals = now // _HOUR_NS, 0
        self._refusals += 1
        if self._refusals > REFUSALS_NOTED_AN_HOUR:
            return
        details: Details = {"reason": refusal.reason}
        kind = Kind.WITHDRAWAL if statements.claims(Kind.WITHDRAWAL, token) else Kind.REQUEST
        if refusal.reason not in _UNSIGNED:
            details["requester"] = statements.signer(kind, token)
        self._ledger.note(now, "request-refused" if kind is Kind.REQUEST else "withdrawal-refused", details)

    def _admit(self, judged: Judged, token: bytes, now: int) -> RequestRow:
        said = judged.request
        replaced = self._ledger.by_hash(said.replaces) if said.replaces else None
        concerned = self._index.overlapping(said.span)
        own, own_bytes = self._ledger.held_by(judged.requester.id)
        held = may_hold(concerned, own, own_bytes, self._ledger.held_bytes(), self._budget_bytes)
        row = RequestRow(
            id=said.id,
            hash=b64u(judged.hash),
            requester=judged.requester.id,
            case_number=said.case_number,
            statement=token,
            requester_statement=self._trusted.known()[judged.requester.id][0],
            received_ns=now,
            from_ns=said.span.start_ns,
            to_ns=said.span.end_ns,
            expires_ns=parse_time(said.expires),
            state=State.ASKED,
            decision=None,
            undo_until_ns=None,
            rule=judged.declined_by,
            replaces=replaced.id if replaced else None,
        )
        self._ledger.admit(row, [clip.sequence for clip in concerned], held)
        return row
