"""The machine's clocks: UTC, and the boot clock that only runs forward (suspend included)."""

from __future__ import annotations

import ctypes
import time
from typing import Final

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
