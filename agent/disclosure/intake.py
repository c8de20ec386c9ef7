"""What the broker brings: judged, stored with a hold on its clips, and only then shown to the owner. Never answered.

Refusals are named in the audit chain. Anybody at the broker can send junk, or a signed request again and again, and a
flood must not fill the disk through the log: so many refusals an hour are written down. Source: docs/spec/request.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from agent.core import request as rules
from agent.core import statements
from agent.core.audit import Details
from agent.core.consent import State
from agent.core.encoding import b64u, parse_time
from agent.core.errors import Refused
from agent.core.identity import RequesterStatement
from agent.core.request import Circumstances, Judged
from agent.core.statements import Kind
from agent.core.timeline import Span
from agent.disclosure.bulletin import Bulletin
from agent.store.index import Index
from agent.store.ledger import Ledger, RequestRow

log = logging.getLogger(__name__)

REFUSALS_NOTED_AN_HOUR = 60
_HOUR_NS = 3600 * 1_000_000_000
_UNSIGNED = frozenset({"too-large", "unknown-requester", "bad-signature"})


class Intake:
    """Judges requests for one home. `pinned`: requester kid → its statement, as bytes and as read."""

    def __init__(
        self,
        ledger: Ledger,
        index: Index,
        home: tuple[float, float],
        pinned: Mapping[str, tuple[bytes, RequesterStatement]],
        bulletin: Bulletin,
        now: Callable[[], int],
    ) -> None:
        self._ledger = ledger
        self._index = index
        self._home = home
        self._pinned = dict(pinned)
        self._bulletin = bulletin
        self._now = now
        self._hour = 0
        self._refusals = 0

    def on_request(self, token: bytes) -> None:
        """One message from an `area/…/request` topic."""
        now = self._now()
        try:
            judged = rules.judge(token, self._circumstances(now))
        except Refused as e:
            self._refuse(e, token, now)
            return
        self._admit(judged, token, now)
        self._bulletin.tell("requests", judged.request.id)

    def _circumstances(self, now: int) -> Circumstances:
        return Circumstances(
            now_ns=now,
            home=self._home,
            pinned={kid: statement for kid, (_, statement) in self._pinned.items()},
            blocked=frozenset(),
            paused=False,
            seen=self._ledger.seen,
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
        if refusal.reason not in _UNSIGNED:
            details["requester"] = statements.signer(Kind.REQUEST, token)
        self._ledger.note(now, "request-refused", details)

    def _admit(self, judged: Judged, token: bytes, now: int) -> None:
        said = judged.request
        sequences = [row.sequence for row in self._index.overlapping(said.span)]
        row = RequestRow(
            id=said.id,
            hash=b64u(judged.hash),
            requester=judged.requester.id,
            case_number=said.case_number,
            statement=token,
            requester_statement=self._pinned[judged.requester.id][0],
            received_ns=now,
            from_ns=said.span.start_ns,
            to_ns=said.span.end_ns,
            expires_ns=parse_time(said.expires),
            state=State.ASKED,
            decision=None,
            undo_until_ns=None,
        )
        self._ledger.admit(row, sequences)
        self._ledger.note(now, "prompted", {"request": said.id})
