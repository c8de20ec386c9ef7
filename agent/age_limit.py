"""The age limit while the doorbell runs, also when nothing is recorded: a look every ten minutes, in a thread.

Owns nothing but the rhythm; what leaves is store.keeping's concern. It waits for a synchronised clock: a wrong one
could make every clip look old.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from agent.core.errors import Unavailable
from agent.core.retention import Limits
from agent.core.timeline import DoorbellTime
from agent.disclosure.bulletin import Bulletin
from agent.setup import Opened
from agent.store.clips import ClipStore
from agent.store.database import connect
from agent.store.keeping import Keeper
from agent.store.ledger import Ledger
from agent.store.ring import Ring

log = logging.getLogger(__name__)

_EVERY_S = 600.0


class AgeLimit:
    """Evicts what has outlived `limits`."""

    def __init__(self, opened: Opened, limits: Limits, time: DoorbellTime, bulletin: Bulletin) -> None:
        self._opened = opened
        self._limits = limits
        self._time = time
        self._bulletin = bulletin

    async def run(self) -> None:
        """Until cancelled. A disk that fails is asked again the next time."""
        while True:
            try:
                if self._time.known() and await asyncio.to_thread(self.evict) > 0:
                    self._bulletin.tell("clips")
            except (OSError, Unavailable) as e:
                log.error("clips past the age limit could not be deleted, trying again in ten minutes: %s", e)
            await asyncio.sleep(_EVERY_S)

    def evict(self) -> int:
        """Evict now; how many clips."""
        opened = self._opened
        with contextlib.closing(connect(opened.state.database)) as db:
            store = ClipStore(Ring(opened.state.ring), db, opened.device)
            evicted = Keeper(store, Ledger(db), self._limits, self._time.now).evict_outlived()
        if evicted:
            log.info("%d clips were past the age limit", len(evicted))
        return len(evicted)
