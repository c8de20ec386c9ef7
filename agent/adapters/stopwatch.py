"""How much CPU and time a piece of work takes, all threads of this process counted; telling of it left out.

Decides when enough was measured: a while on a fast machine, not for ever on a slow one. Judges nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final

_TOLD_EVERY_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to measure at least, and at most where the work to be done is not done by then."""

    least_s: float = 1.5
    longest_s: float = 6.0


class Stopwatch:
    """Runs while it is entered, as often as that is. `cpu_s`, `wall_s`: so far; `told` hears the share that is done."""

    def __init__(self, told: Callable[[float], None], patience: Patience) -> None:
        self._patience = patience
        self._told = told
        self._told_s = 0.0
        self._begun: tuple[float, float] | None = None
        self.cpu_s = 0.0
        self.wall_s = 0.0

    def __enter__(self) -> Stopwatch:
        self._begun = (time.process_time(), time.perf_counter())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._take()
        self._begun = None

    def enough(self, done: float, wanted: float) -> bool:
        """Whether to stop with `done`, at least `wanted` being done unless that takes too long."""
        running = self._begun is not None
        if running:
            self._take()
        if self.wall_s - self._told_s >= _TOLD_EVERY_S:
            self._told_s = self.wall_s
            share = min(self.wall_s / self._patience.least_s, done / wanted)
            self._told(min(1.0, max(share, self.wall_s / self._patience.longest_s)))
        if running:
            self._begun = (time.process_time(), time.perf_counter())
        return done > 0 and (
            self.wall_s >= self._patience.longest_s or (self.wall_s >= self._patience.least_s and done >= wanted)
        )

    def _take(self) -> None:
        assert self._begun is not None, "it runs"
        self.cpu_s += time.process_time() - self._begun[0]
        self.wall_s += time.perf_counter() - self._begun[1]
        self._begun = (time.process_time(), time.perf_counter())
