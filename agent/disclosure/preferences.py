"""The owner's settings about requests, and who may ask: shown and changed in a session.

Each change is one transaction with its entry in the log, naming the owner whose session made it. What they mean for a
request is agent/core/settings.py's to say. Source: docs/spec/request.md "The owner's settings".
"""

from __future__ import annotations

from collections.abc import Callable

from agent.core.errors import NotThere
from agent.core.owner_api import DirectoryStatement, KnownRequester, SettingsAnswer
from agent.core.settings import Block, Change, SetQuiet, changed
from agent.disclosure.bulletin import Bulletin
from agent.disclosure.trusted import Trusted
from agent.store.ledger import Ledger


class Preferences:
    """One doorbell's, in the event loop's thread. `minute_of_day` raises BadInput for a time zone unknown here."""

    def __init__(
        self,
        ledger: Ledger,
        trusted: Trusted,
        bulletin: Bulletin,
        now: Callable[[], int],
        minute_of_day: Callable[[int, str], int],
    ) -> None:
        self._ledger = ledger
        self._trusted = trusted
        self._bulletin = bulletin
        self._now = now
        self._minute_of_day = minute_of_day

    def show(self) -> SettingsAnswer:
        """Everything there is to set, and everybody who may ask."""
        known = [
            KnownRequester(said.id, said.agency, said.expires, via)
            for _, said in self._trusted.known().values()
            if (via := self._trusted.where(said.id)) is not None
        ]
        ordered = sorted(known, key=lambda r: (r.agency.casefold(), r.id))
        return SettingsAnswer(self._ledger.settings(), ordered, self._trusted.info())

    def directory(self) -> DirectoryStatement:
        """The directory in force, for a phone to check; NotThere where there is none."""
        found = self._trusted.statement()
        if found is None:
            raise NotThere("this doorbell has no directory of requesters")
        return found

    def change(self, owner: str, change: Change) -> SettingsAnswer:
        """Make one change. BadInput when it cannot be; nothing changes then."""
        now = self._now()
        agency = self._agency(change.requester) if isinstance(change, Block) else ""
        settings, details = changed(self._ledger.settings(), change, agency=agency, now_ns=now)
        if isinstance(change, SetQuiet) and change.hours is not None:
            self._minute_of_day(now, change.hours.zone)
        for ended in self._ledger.put_settings(settings, now, {"owner": owner, **details}):
            self._bulletin.tell("requests", ended)
        self._bulletin.tell("status")
        return self.show()

    def _agency(self, requester: str) -> str:
        """How somebody who asks, or has asked, is known."""
        known = self._trusted.known().get(requester)
        if known is not None:
            return known[1].agency
        found = self._ledger.agency(requester)
        if found is None:
            raise NotThere(f"nobody with the key id '{requester[:40]}' may ask here or has asked")
        return found
