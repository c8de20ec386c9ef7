"""Tells the owner's phones through an ntfy server: a request once, who is at the door now, what keeps from recording.

A request is told once and never again, also across restarts; one that came in quiet hours when they are over. It is
tried until the server takes it or the request is over. A visit that cannot be told at once is not told later: it would
be no longer true. Source: docs/design/notifications.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from agent.core import notice
from agent.core.backoff import Backoff
from agent.core.errors import Unavailable
from agent.core.notice import Notice
from agent.core.owner_api import Changed, Trouble
from agent.disclosure.bulletin import Bulletin
from agent.store.ledger import Ledger

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 10.0
_TROUBLE_AFTER_S = 30.0  # a camera that is back in a moment is nothing to wake anybody for
_LONGEST_WAIT_S = 900.0


class Doorbell(Protocol):
    """What is wrong with it."""

    @property
    def troubles(self) -> list[Trouble]:
        """What keeps it from recording."""


class PhoneTalk:
    """One doorbell's, in the event loop's thread. `tell` raises Unavailable; `now` is UTC ns, `chance` 0 to 1."""

    def __init__(
        self,
        tell: Callable[[Notice], Awaitable[None]],
        ledger: Ledger,
        doorbell: Doorbell,
        bulletin: Bulletin,
        now: Callable[[], int],
        chance: Callable[[], float],
        trouble_after_s: float = _TROUBLE_AFTER_S,
    ) -> None:
        self._tell = tell
        self._ledger = ledger
        self._doorbell = doorbell
        self._bulletin = bulletin
        self._now = now
        self._chance = chance
        self._trouble_after_s = trouble_after_s
        self._since: dict[str, float] = {}  # part → when its trouble was first seen, by the loop's clock
        self._told: set[str] = set()
        self._not_noted: set[str] = set()  # requests told of, and not yet noted as such
        self._backoff = Backoff(5.0, _LONGEST_WAIT_S)

    async def run(self) -> None:
        """Until cancelled."""
        with self._bulletin.listen() as news, self._bulletin.listen() as visits:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tell_visits(visits))
                while True:
                    await self._next(news, await self._tell_what_stands())

    async def _tell_visits(self, news: asyncio.Queue[Changed]) -> None:
        while True:
            changed = await news.get()
            said = notice.visit(changed.label) if changed.what == "visit" and changed.label else None
            if said is None:
                continue
            try:
                await self._tell(said)
            except Unavailable as e:
                log.warning("a visit could not be told: %s", e)
                while not news.empty():  # what came while the server did not answer is over as well
                    news.get_nowait()

    async def _tell_what_stands(self) -> float:
        """Tell what has not been told; returns how long to wait before looking again, seconds."""
        try:
            await self._tell_requests()
            await self._tell_troubles()
        except Unavailable as e:
            if not self._backoff.failures:
                log.warning("the owner's phone is not told yet: %s", e)
            return self._backoff.next_s(self._chance())
        self._backoff.reset()
        return _LOOK_EVERY_S

    async def _tell_requests(self) -> None:
        for row in self._ledger.untold():
            if row.id not in self._not_noted:
                await self._tell(notice.REQUEST)
                self._not_noted.add(row.id)
            self._ledger.told(row.id, self._now())  # a full disk refuses that, and must not make the phone ring again
            self._not_noted.discard(row.id)

    async def _tell_troubles(self) -> None:
        now_s = asyncio.get_running_loop().time()
        parts = {trouble.part for trouble in self._doorbell.troubles}
        self._since = {part: self._since.get(part, now_s) for part in parts}
        for part, since_s in self._since.items():
            if part not in self._told and now_s - since_s >= self._trouble_after_s:
                await self._tell(notice.trouble(part))
                self._told.add(part)
        if self._told and not parts:
            await self._tell(notice.MENDED)
            self._told.clear()

    async def _next(self, news: asyncio.Queue[Changed], wait_s: float) -> None:
        """Until something changed that may have to be told, or it is time to look anyway; after a failure only then."""
        try:
            async with asyncio.timeout(wait_s):
                while (await news.get()).what == "visit" or self._backoff.failures:
                    pass
        except TimeoutError:
            return
