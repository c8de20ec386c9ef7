"""The machine's clocks: UTC, the boot clock that only runs forward (suspend included), and clocks elsewhere."""

from __future__ import annotations

import ctypes
import time
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agent.core.errors import BadInput

_TIMEX_BYTES: Final = 512  # struct timex takes 208 of them; zeros ask for nothing to be changed
_CLOCK_NOT_SET: Final = 5  # TIME_ERROR


def utc_ns() -> int:
    """CLOCK_REALTIME."""
    return time.time_ns()


def boot_ns() -> int:
    """CLOCK_BOOTTIME."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def synchronised() -> bool:
    """Whether the kernel says that its UTC is kept right by NTP (adjtimex(2)); False where it does not say."""
    state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return 0 <= state < _CLOCK_NOT_SET


def minute_of_day(utc: int, zone: str) -> int:
    """The minute (0…1439) on the clocks of an IANA time zone at UTC ns `utc`; BadInput where the zone is unknown."""
    try:
        there = datetime.fromtimestamp(utc / 1e9, ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError) as e:
        raise BadInput(f"this doorbell does not know the time zone '{zone[:40]}'; is the package tzdata there?") from e
    return there.hour * 60 + there.minute
