"""The doorbell's time: reads the machine's clocks once a second and knows how far they can be trusted.

Keeps this boot's clock statement, writes it when it says something new, and has the index correct what was recorded
before the clock was set. Everybody else asks here what time it is. Source: docs/design/time.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core import boot_clock
from agent.core.boot_clock import BootClock, Reading
from agent.core.errors import BadInput, Unavailable
from agent.core.statements import raw_public
from agent.core.timeline import KNOWN_WITHIN_NS, TimeBase, Trust
from agent.store.clocks import ClockFolder
from agent.store.index import Index
from agent.store.state import StateDirectory, device_id

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_WRITE_EVERY_NS = 600 * 1_000_000_000


class Clock:
    """What time it is, by this boot's statement and the clocks now. Reads the disk once, writes nothing.

    `trusted`: this machine's wall clock is believed though no time server vouches for it.
    """

    def __init__(
        self,
        state: StateDirectory,
        device: Ed25519PrivateKey,
        read: Callable[[], Reading],
        kernel_boot_id: str,
        *,
        trusted: bool,
    ) -> None:
        self._read_clocks = read
        self._trusted = trusted
        self.folder = ClockFolder(state.clock, device)
        self.found = self.folder.read()
        self.boot = boot_clock.boot_id(raw_public(device), kernel_boot_id)
        clocks = [clock for clock, _ in self.found.clocks]
        now = next((clock for clock in clocks if clock.boot == self.boot), None)
        self.earlier = [clock for clock in clocks if clock.boot != self.boot]
        self.statement = now or boot_clock.begin(
            clocks[-1] if clocks else None, device_id(device), self.boot, self.found.last_number
        )
        try:
            self.statement = boot_clock.observe(self.statement, self.read())
        except BadInput as e:
            raise Unavailable(str(e)) from e

    def read(self) -> Reading:
        """The clocks now."""
        reading = self._read_clocks()
        return replace(reading, synchronised=True, error_ns=0) if self._trusted else reading

    def boot_ns(self) -> int:
        """The boot clock."""
        return self._read_clocks().boot_ns

    def now(self) -> int:
        """UTC ns as best known."""
        return self.base().utc_ns

    def known(self) -> bool:
        """Whether that is right to within a minute."""
        return self.base().trust is Trust.SYNCHRONISED

    def base(self) -> TimeBase:
        """What the boot clock's reading at this moment means."""
        reading = self._read_clocks()
        moment = boot_clock.place(self.statement, reading.boot_ns)
        if moment.best_ns is None or moment.latest_ns is None:
            utc_ns = max(reading.utc_ns, moment.earliest_ns or 0)  # no earlier than former boots prove
            return TimeBase(reading.boot_ns, utc_ns, Trust.PROVISIONAL, self.boot)
        known = moment.latest_ns - moment.best_ns <= KNOWN_WITHIN_NS
        trust = Trust.SYNCHRONISED if known else Trust.PROVISIONAL
        return TimeBase(reading.boot_ns, moment.best_ns, trust, self.boot)


class Timekeeper:
    """Keeps `clock` up with the machine's clocks, in the event loop's thread, and the index up with the clock.

    `moved(from_ns, to_ns)` hears when the doorbell's time jumps, `became_known()` when it is known after it was not.
    """

    def __init__(
        self, clock: Clock, index: Index, moved: Callable[[int, int], None], became_known: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._index = index
        self._moved = moved
        self._became_known = became_known
        self._base = clock.base()
        self._written: BootClock | None = None

    def begin(self) -> None:
        """Tell the index what is on the disk, and the disk that this process began. Before clips are recovered."""
        for problem in self._clock.found.unreadable:
            log.error("%s; 'doorward check' says more", problem)
        self._index.put_boots(
            [(c, token) for c, token in self._clock.found.clocks if self._index.clock_statement(c.boot) != token]
        )
        self._write()

    async def run(self) -> None:
        """Look once a second until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            self.look()

    def look(self) -> None:
        """Read the clocks; what is new goes to the disk, the index, and those who want to hear of it."""
        clock = self._clock
        try:
            clock.statement = boot_clock.observe(clock.statement, clock.read())
        except BadInput as e:
            log.error("%s", e)
            return
        now = clock.base()
        if self._tells_more():
            self._write()
        before, self._base = self._base, now
        if abs(now.utc_ns - before.utc(now.source_ns)) > boot_clock.ERROR_FLOOR_NS:
            self._moved(before.utc(now.source_ns), now.utc_ns)
        if now.trust is Trust.SYNCHRONISED and before.trust is not Trust.SYNCHRONISED:
            self._became_known()

    def close(self) -> None:
        """Write down how far this boot has come: the process is about to end."""
        self.look()
        self._write()

    def _tells_more(self) -> bool:
        written, now = self._written, self._clock.statement
        if written is None or (now.until_us - written.until_us) * 1000 >= _WRITE_EVERY_NS:
            return True
        return [s.from_us for s in written.stretches] != [s.from_us for s in now.stretches]

    def _write(self) -> None:
        clock = self._clock
        self._written = clock.statement
        try:
            changed = [(clock.statement, clock.folder.write(clock.statement))]
            if clock.statement.was_set:
                ended = boot_clock.bounded(clock.earlier, clock.statement)
                changed += [(each, clock.folder.write(each)) for each in ended]
                by_number = {each.number: each for each in ended}
                clock.earlier = [by_number.get(each.number, each) for each in clock.earlier]
            corrected = self._index.put_boots(changed)
        except Unavailable as e:
            log.error("what the clock was worth could not be written down, trying again in ten minutes: %s", e)
            return
        if corrected:
            log.info("%d clips have a better time now", corrected)
