"""The ring's limits while the doorbell runs, also when nothing is recorded: a look every ten minutes, in a thread.

Owns nothing but the rhythm; what leaves is store.keeping's concern. Where very many clips must go, because a limit was
lowered, they go in steps with pauses, so that recording and the owner's page get on. The age limit waits for a
synchronised clock: a wrong one could make every clip look old.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterator

from agent.core.errors import Unavailable
from agent.core.retention import Limits
from agent.core.timeline import DoorbellTime
from agent.disclosure.bulletin import Bulletin
from agent.setup import Opened
from agent.store.clips import ClipStore
from agent.store.database import connect
from agent.store.index import ClipRow
from agent.store.keeping import Keeper
from agent.store.ledger import Ledger
from agent.store.ring import Ring

log = logging.getLogger(__name__)

_EVERY_S = 600.0
_PAUSE_S = 0.2


class AgeLimit:
    """Evicts what has outlived `limits`, or is above them since they were lowered."""

    def __init__(self, opened: Opened, limits: Limits, time: DoorbellTime, bulletin: Bulletin) -> None:
        self._opened = opened
        self._limits = limits
        self._time = time
        self._bulletin = bulletin
        self._stopped = threading.Event()

    async def run(self) -> None:
        """Until cancelled. A disk that fails is asked again the next time."""
        try:
            while True:
                try:
                    if await asyncio.to_thread(self.evict) > 0:
                        self._bulletin.tell("clips")
                except (OSError, Unavailable) as e:
                    log.error("clips past the ring's limits could not be deleted, trying again in ten minutes: %s", e)
                await asyncio.sleep(_EVERY_S)
        finally:
            self._stopped.set()

    def evict(self) -> int:
        """Evict now, until the limits are kept or `run` was cancelled; how many clips."""
        opened = self._opened
        with contextlib.closing(connect(opened.state.database)) as db:
            store = ClipStore(Ring(opened.state.ring), db, opened.device)
            keeper = Keeper(store, Ledger(db), self._limits, self._time.now)
            old = self._step_by_step(keeper.evict_outlived()) if self._time.known() else 0
            above = self._step_by_step(keeper.shrink())
        if old or above:
            log.info("%d clips were past the age limit, %d above the ring's other limits", old, above)
        return old + above

    def _step_by_step(self, steps: Iterator[list[ClipRow]]) -> int:
        """Take `steps` with pauses between; how many clips went."""
        count = 0
        for rows in steps:
            count += len(rows)
            if self._stopped.wait(_PAUSE_S):
                break
        return count
