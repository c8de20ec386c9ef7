"""Notices a part that is stuck. systemd hears that all is well only while every part has moved lately.

Owns one thread and the heartbeats of the others. It mends nothing: a stuck thread in Python cannot be ended, so the
process is left to systemd, which ends it and starts it anew (`WatchdogSec` in systemd/doorward.service). What is lost
by that is at most the record being written.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from agent.adapters.supervisor import Supervisor

log = logging.getLogger(__name__)

STUCK_S = 20.0  # longer than a slow memory card takes for one write, and than a lost camera is silent about itself
_LOOK_EVERY_S = 5.0


class Heartbeat:
    """Of one part. `now_ns` is a clock that only runs forward."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._beat: tuple[str, int] | None = None

    def beat(self, doing: str) -> None:
        """Still moving; `doing` says at what, should it get stuck there."""
        self._beat = (doing, self._now_ns())

    def rest(self) -> None:
        """Nothing is expected to move."""
        self._beat = None

    def stuck(self) -> str | None:
        """What it has been at for too long."""
        beat = self._beat
        if beat is None or self._now_ns() - beat[1] < STUCK_S * 1e9:
            return None
        return beat[0]


class Watchdog:
    """Looks at `hearts` every few seconds between `start` and `stop`."""

    def __init__(self, supervisor: Supervisor, hearts: list[Heartbeat]) -> None:
        self._supervisor = supervisor
        self._hearts = hearts
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._told: list[str] = []

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """No more looks; returns when the last is over."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """One look: tell systemd that all is well, or the log what is not."""
        stuck = [doing for heart in self._hearts if (doing := heart.stuck()) is not None]
        if not stuck:
            self._supervisor.alive()
        if stuck != self._told:
            self._told = stuck
            for doing in stuck:
                log.critical("stuck for %d seconds: %s; systemd will start Doorward anew", STUCK_S, doing)
                self._supervisor.status(f"Stuck: {doing}")

    def _run(self) -> None:
        every_s = _LOOK_EVERY_S
        if self._supervisor.watchdog_s is not None:
            every_s = min(every_s, self._supervisor.watchdog_s / 3)
        self.look()
        while not self._stop.wait(every_s):
            self.look()
