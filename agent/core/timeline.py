"""Time as Doorward keeps it: UTC nanoseconds, spans of it, and how far a moment can be trusted.

Inside the program there is no local time; screens make that. Never reads a clock: shells pass readings in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from agent.core.encoding import format_time, parse_time
from agent.core.errors import BadInput

KNOWN_WITHIN_NS = 60_000_000_000
"""A time known worse than this is not known."""


class Trust(Enum):
    """How a clip's UTC is known: when it was recorded, or since."""

    SYNCHRONISED = "synchronised"
    PROVISIONAL = "provisional"  # the clock had not been set since the machine started
    REPLAYED = "replayed"  # whoever replayed the footage named the time
    CORRECTED = "corrected"  # recorded as provisional, placed since by a clock statement; never in a header


@dataclass(frozen=True, slots=True)
class Span:
    """From `start_ns` up to, not including, `end_ns`, in UTC nanoseconds. BadInput when it runs backwards."""

    start_ns: int
    end_ns: int

    def __post_init__(self) -> None:
        if self.end_ns < self.start_ns:
            raise BadInput(f"the span ends before it begins: {self}")

    def __str__(self) -> str:
        return f"{format_time(self.start_ns)} to {format_time(self.end_ns)}"


@dataclass(frozen=True, slots=True)
class TimeBase:
    """What a source's clock means: its reading `source_ns` was the moment `utc_ns`.

    `boot`: the boot whose clock it reads (docs/spec/clock.md), empty where the source has a clock of its own.
    """

    source_ns: int
    utc_ns: int
    trust: Trust
    boot: str = ""

    def utc(self, source_ns: int) -> int:
        """UTC nanoseconds of a reading of the source's clock."""
        return self.utc_ns + source_ns - self.source_ns


def parse_span(start: str, end: str) -> Span:
    """A span from two RFC 3339 times; BadInput names what is wrong with it."""
    return Span(parse_time(start), parse_time(end))
