"""Whether the log's chain is unbroken, at the cost of what is new or shown.

The first look of a process, and one a day, goes through the whole chain, in steps between which the doorbell does other
things. After it what has come since is checked, and always what is shown. Keeps the newest entry it found good; decides
nothing. `doorward check` and `doorward audit verify` read everything every time. Source: docs/spec/audit.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent.core.audit import AuditEntry, check_chain
from agent.core.errors import Corrupt
from agent.store.ledger import Ledger

WHOLE_AGAIN_NS = 24 * 3600 * 1_000_000_000
_STEP = 1_000


class LogCheck:
    """One process's knowledge of the chain. `boot_ns` is the boot clock."""

    def __init__(self, ledger: Ledger, boot_ns: Callable[[], int]) -> None:
        self._ledger = ledger
        self._boot_ns = boot_ns
        self._good: AuditEntry | None = None  # everything up to here was found unbroken
        self._whole_ns = boot_ns()
        self._one_at_a_time = asyncio.Lock()

    async def head(self) -> AuditEntry | None:
        """The newest entry of the chain, checked as far as is new; None when there is none. Corrupt where it breaks."""
        async with self._one_at_a_time:
            if self._boot_ns() - self._whole_ns >= WHOLE_AGAIN_NS:
                self._good, self._whole_ns = None, self._boot_ns()
            if self._good is not None and self._ledger.entry(self._good.n) != self._good:
                raise Corrupt(f"entry {self._good.n} of the log was altered or removed")
            while step := list(self._ledger.entries(self._good.n if self._good else 0, _STEP)):
                self._good = check_chain(step, self._good)
                await asyncio.sleep(0)
            return self._good

    def shown(self, after: int, limit: int) -> tuple[list[AuditEntry], bool]:
        """Up to `limit` entries behind number `after`, and whether they follow unbroken from the one before."""
        entries = list(self._ledger.entries(after, limit))
        try:
            check_chain(entries, self._ledger.entry(entries[0].n - 1) if entries else None)
        except Corrupt:
            return entries, False
        return entries, True
