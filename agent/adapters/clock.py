"""The machine's clocks: UTC, the boot clock that only runs forward (suspend included), and clocks elsewhere."""

from __future__ import annotations

import ctypes
import time
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agent.core.boot_clock import Reading
from agent.core.errors import BadInput, Unavailable

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_TIMEX_LONGS: Final = 64  # struct timex takes 26 of them; zeros ask for nothing to be changed
_MAXERROR_AT: Final = 3  # after modes, offset and freq: microseconds
_CLOCK_NOT_SET: Final = 5  # TIME_ERROR
_LIBC: Final = ctypes.CDLL(None)


def utc_ns() -> int:
    """CLOCK_REALTIME."""
    return time.time_ns()


def boot_ns() -> int:
    """CLOCK_BOOTTIME."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def synchronised() -> bool:
    """Whether the kernel says that its UTC is kept right by NTP (adjtimex(2)); False where it does not say."""
    return _kernel_says()[0]


def reading() -> Reading:
    """Both clocks at one moment: of three tries the one in which least time went by between them."""
    synchronised, error_ns = _kernel_says()
    best = min((_both() for _ in range(3)), key=lambda found: found[0])
    return Reading(best[1], best[2], synchronised, error_ns)


def kernel_boot_id() -> str:
    """What the kernel calls this boot. Unavailable where there is no /proc."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError as e:
        raise Unavailable(f"{_BOOT_ID} cannot be read: {e.strerror}; mount /proc") from e


def minute_of_day(utc: int, zone: str) -> int:
    """The minute (0…1439) on the clocks of an IANA time zone at UTC ns `utc`; BadInput where the zone is unknown."""
    try:
        there = datetime.fromtimestamp(utc / 1e9, ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError) as e:
        raise BadInput(f"this doorbell does not know the time zone '{zone[:40]}'; is the package tzdata there?") from e
    return there.hour * 60 + there.minute


def _both() -> tuple[int, int, int]:
    before = boot_ns()
    utc = utc_ns()
    after = boot_ns()
    return after - before, (before + after) // 2, utc


def _kernel_says() -> tuple[bool, int]:
    """(synchronised, largest error in ns)."""
    timex = (ctypes.c_long * _TIMEX_LONGS)()
    state: int = _LIBC.adjtimex(timex)
    return 0 <= state < _CLOCK_NOT_SET, max(0, timex[_MAXERROR_AT]) * 1000
