"""What the household's automation may look at and do: pause requests, and say no. Saying yes is not in its hands.

A no that comes this way has no owner's signature, and the log and the request say so: `home-assistant`. It is the
owner's household that says it, or somebody at its broker; either way nothing leaves. Source: docs/spec/decision.md.
"""

from __future__ import annotations

from agent.core.consent import State
from agent.core.encoding import format_time
from agent.core.errors import Refused
from agent.core.home_assistant import NAMED, Command, DeclineRequest, HomeState, PauseRequests, declinable
from agent.core.settings import PauseAll, ResumeAll
from agent.core.timeline import DoorbellTime, Trust
from agent.disclosure.bulletin import Bulletin
from agent.disclosure.desk import Activity
from agent.disclosure.preferences import Preferences
from agent.store.index import Index
from agent.store.ledger import Ledger

_RECORDING = "recording"


class HomePanel:
    """One doorbell's, in the event loop's thread."""

    def __init__(
        self,
        ledger: Ledger,
        index: Index,
        preferences: Preferences,
        activity: Activity,
        bulletin: Bulletin,
        time: DoorbellTime,
    ) -> None:
        self._ledger = ledger
        self._index = index
        self._preferences = preferences
        self._activity = activity
        self._bulletin = bulletin
        self._time = time

    def look(self) -> HomeState:
        """How things stand. A request the owner has not been asked about yet (quiet hours) is none here either."""
        count, used, _ = self._index.totals()
        newest = self._index.newest(1)
        dated = [row for row in newest if Trust(row.trust) is not Trust.PROVISIONAL]
        return HomeState(
            recording=self._activity.recording,
            motion=self._activity.recording == _RECORDING,
            waiting=[row.id for row in self._ledger.in_state(State.ASKED) if row.prompted_ns is not None],
            paused=self._ledger.settings().is_paused(self._time.now()),
            trouble=bool(self._activity.troubles),
            clips=count,
            bytes=used,
            last_clip=format_time(dated[0].start_ns) if dated else None,
        )

    def carry_out(self, command: Command) -> None:
        """Refused where it cannot be done; nothing changes then."""
        match command:
            case PauseRequests(paused):
                if paused != self._ledger.settings().is_paused(self._time.now()):
                    self._preferences.change(NAMED, PauseAll(None) if paused else ResumeAll())
            case DeclineRequest(request):
                if declinable(self.look()) != request:
                    raise Refused("not-asked", "it is not the one request that waits for an answer")
                self._ledger.decline_unsigned(request, NAMED, self._time.now())
                self._bulletin.tell("requests", request)
