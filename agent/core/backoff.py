"""How long to wait before trying again: twice as long each time up to a limit, half of it left to chance.

Pure: whoever waits brings the clock and the chance. The reason for chance: doorbells that lost the same thing at the
same moment must not come back in step.
"""

from __future__ import annotations

from dataclasses import dataclass

_DOUBLINGS = 30  # more would only make a float grow


@dataclass(slots=True)
class Backoff:
    """Waits in seconds: from `first_s`, doubling, to `longest_s`."""

    first_s: float
    longest_s: float
    failures: int = 0

    def next_s(self, chance: float) -> float:
        """The next wait; `chance` lies between 0 and 1."""
        longest_s = min(self.longest_s, self.first_s * float(2 ** min(self.failures, _DOUBLINGS)))
        self.failures += 1
        return longest_s * (0.5 + 0.5 * chance)

    def reset(self) -> None:
        """It works again: the next wait is the first once more."""
        self.failures = 0
