"""The machine's clocks: UTC, and the boot clock that only runs forward (suspend included)."""

from __future__ import annotations

import time


def utc_ns() -> int:
    """CLOCK_REALTIME."""
    return time.time_ns()


def boot_ns() -> int:
    """CLOCK_BOOTTIME."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
