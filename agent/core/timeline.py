"""Time as Doorward keeps it: UTC nanoseconds, spans of it, and how far a moment can be trusted.

Inside the program there is no local time; screens make that. Never reads a clock: shells pass readings in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from agent.core.encoding import format_time, parse_time
from agent.core.errors import BadInput


class Trust(Enum):
    """How a clip's UTC was known when it was recorded."""

    SYNCHRONISED = "synchronised"
    PROVISIONAL = "provisional"  # the clock had not been set since the machine started
    REPLAYED = "replayed"  # whoever replayed the footage named the time


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
    """What a source's clock means: its reading `source_ns` was the moment `utc_ns`."""

    source_ns: int
    utc_ns: int
    trust: Trust

    def utc(self, source_ns: int) -> int:
        """UTC nanoseconds of a reading of the source's clock."""
        return self.utc_ns + source_ns - self.source_ns


def parse_span(start: str, end: str) -> Span:
    """A span from two RFC 3339 times; BadInput names what is wrong with it."""
    return Span(parse_time(start), parse_time(end))
