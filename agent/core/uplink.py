"""How fast a home may send: a bucket of bytes that fills at the rate the owner allows.

Says how long to wait, never waits. Time comes in as monotonic nanoseconds. Source: the token bucket of RFC 2697.
"""

from __future__ import annotations

_NS = 1_000_000_000


class Uplink:
    """At most `bytes_per_s` over any stretch of time, plus what was sent last: whatever is sent goes out whole."""

    def __init__(self, bytes_per_s: float) -> None:
        self._ns_per_byte = _NS / bytes_per_s
        self._free_ns = 0

    def wait_ns(self, now_ns: int) -> int:
        """How long until something may be sent; 0: now."""
        return max(0, self._free_ns - now_ns)

    def sent(self, length: int, now_ns: int) -> None:
        """`length` bytes leave now. What was not used before is not made up for."""
        self._free_ns = max(self._free_ns, now_ns) + round(length * self._ns_per_byte)
