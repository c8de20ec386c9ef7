"""A source that is lost is tried again, for ever: the waits between tries, and a source around one that can give up.

Owns the wait (doubling, with chance, up to a minute) and the one gap that each loss is. It ends only when told to.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from agent.adapters import clock as machine
from agent.core.backoff import Backoff
from agent.core.errors import BadInput, Stuck, Unavailable
from agent.core.fmp4 import SECOND_NS
from agent.core.frame import Away, EncodedPacket, Gap, SourceItem, VideoFormat

log = logging.getLogger(__name__)

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 60.0
_LONGEST_SLEEP_S: Final = 0.5  # how long `stopped` may go unnoticed
_SAY_AGAIN_NS: Final = 5 * SECOND_NS


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The clock packets are timed on (ns), how to wait some seconds, and chance (0 to 1) for the waits."""

    now_ns: Callable[[], int] = machine.boot_ns
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random

    def wait(self, backoff: Backoff, stopped: Callable[[], bool], reason: str) -> Iterator[Away]:
        """Wait before the next try, or until `stopped`; says at once and every five seconds what is missing."""
        left_s = backoff.next_s(self.chance())
        said_ns: int | None = None
        while left_s > 0 and not stopped():
            now_ns = self.now_ns()
            if said_ns is None or now_ns - said_ns >= _SAY_AGAIN_NS:
                said_ns = now_ns
                yield Away(now_ns, reason)
            self.sleep(min(left_s, _LONGEST_SLEEP_S))
            left_s -= _LONGEST_SLEEP_S


class PatientSource:
    """The items of what `begin` opens, until `stopped`; begun again whenever that ends or cannot be had, but for Stuck.

    All that `begin` yields is timed on the boot clock, so that times rise across losses.
    """

    def __init__(
        self,
        begin: Callable[[], Iterable[SourceItem]],
        stopped: Callable[[], bool],
        surroundings: Surroundings | None = None,
    ) -> None:
        self._begin = begin
        self._stopped = stopped
        self._around = surroundings or Surroundings()
        self._backoff = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S)
        self._format: VideoFormat | None = None
        self._reached_ns: int | None = None
        self._loss: str | None = None

    def __iter__(self) -> Iterator[SourceItem]:
        told = None
        while not self._stopped():
            reason = "The camera stopped sending."
            try:
                yield from self._continued(self._begin())
            except Stuck:
                raise  # waiting would not help
            except (BadInput, Unavailable) as error:
                reason = str(error)
            if self._stopped():
                return
            # Once for a reason: a camera that is away for a night must not fill the log.
            if reason != told or not self._backoff.failures:
                log.warning("no camera: %s", reason)
                told = reason
            self._loss = self._loss or reason
            yield from self._around.wait(self._backoff, self._stopped, reason)

    def _continued(self, items: Iterable[SourceItem]) -> Iterator[SourceItem]:
        """One opening's items behind those of the last, with the one gap between them."""
        new_format: VideoFormat | None = None
        begun = False
        for item in items:
            if isinstance(item, VideoFormat):
                new_format = item if item != self._format else None
            elif isinstance(item, EncodedPacket):
                if self._loss is not None and self._reached_ns is not None:
                    log.info("the camera is back")
                    yield Gap(min(self._reached_ns, item.pts_ns), item.pts_ns, self._loss)
                begun, self._loss = True, None
                self._backoff.reset()
                if new_format is not None:
                    self._format, new_format = new_format, None
                    yield self._format
                yield item
                self._reached_ns = max(self._reached_ns or 0, item.pts_ns + item.duration_ns)
            elif begun:
                yield item
