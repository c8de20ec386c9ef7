"""Time as Doorward keeps it: UTC nanoseconds, spans of it, and how far a moment can be trusted.

Inside the program there is no local time; screens make that. Never reads a clock: shells pass readings in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

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


MAY_LIE_WITHIN_NS = 12 * 3600 * 1_000_000_000
"""A clip that began within so long a time is looked for all over it; one known worse, only where its best time is."""


def looked_for(start_ns: int, earliest_ns: int | None, latest_ns: int | None, trust: Trust) -> Span:
    """Between which moments a clip whose best time is `start_ns` is looked for (docs/design/time.md)."""
    if trust is not Trust.PROVISIONAL or earliest_ns is None or latest_ns is None:
        return Span(start_ns, start_ns)
    narrow = 0 <= latest_ns - earliest_ns <= MAY_LIE_WITHIN_NS
    return Span(earliest_ns, latest_ns) if narrow else Span(start_ns, start_ns)


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


@dataclass(frozen=True, slots=True)
class Until:
    """A moment to come: in UTC, and on the clock of the boot in which it was fixed. ns."""

    utc_ns: int
    boot: str
    boot_ns: int


class DoorbellTime(Protocol):
    """What the doorbell knows of the time. Source: docs/design/time.md."""

    @property
    def boot(self) -> str:
        """This boot's id."""

    def now(self) -> int:
        """UTC ns as best known."""

    def known(self) -> bool:
        """Whether that is right to within a minute."""

    def boot_ns(self) -> int:
        """The boot clock: it only runs forward."""


def until(time: DoorbellTime, utc_ns: int) -> Until:
    """The moment `utc_ns`, which lies near in the future."""
    return Until(utc_ns, time.boot, time.boot_ns() + utc_ns - time.now())


def left_ns(moment: Until, time: DoorbellTime) -> int:
    """How long it is until then; negative afterwards. Told too long, never too short, after the machine restarted."""
    if moment.boot == time.boot:
        return moment.boot_ns - time.boot_ns()
    return moment.utc_ns + 2 * KNOWN_WITHIN_NS - time.now()


def parse_span(start: str, end: str) -> Span:
    """A span from two RFC 3339 times; BadInput names what is wrong with it."""
    return Span(parse_time(start), parse_time(end))
