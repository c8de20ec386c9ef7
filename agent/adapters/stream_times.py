"""From a live camera's ticks to this machine's boot clock.

Owns what is done about a camera whose clock is not ours: the first packet's arrival anchors it, a clock that runs a
little fast or slow is followed by stretching each picture by a tenth at most, one that jumps is anchored anew and that
is said. Decoding times always rise, across connections too. Never reads a clock: arrivals are passed in.

The network delays packets but never brings one early, so the promptest packet of each window tells how far we are off
(the minimum filter of NTP, RFC 5905 section 10).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import av.video

from agent.adapters.times import Times
from agent.core.fmp4 import MAX_TIMESCALE, SECOND_NS

_WINDOW_NS: Final = 10 * SECOND_NS
# Farther off than this, or this far back at once, is a clock set anew and not one that drifts.
_JUMP_NS: Final = 2 * SECOND_NS
_STEP_BACK_NS: Final = SECOND_NS // 10
_STRETCH: Final = 10
_USUAL_RATE: Final = Fraction(25)
_FASTEST_RATE: Final = 1000


class LiveClock:
    """Stamps the packets of one connection, in decoding order; `passthrough` and `transcode` use it as a TickClock.

    `after_dts_ns`, `after_end_ns`: the last decoding time before this connection, and where its video ended, if any.
    Set `arrived_ns` (boot clock) before each packet is stamped.
    """

    def __init__(self, track: av.video.VideoStream, after_dts_ns: int | None, after_end_ns: int) -> None:
        time_base = track.time_base or Fraction(1, 90_000)
        rate = track.average_rate or track.guessed_rate or _USUAL_RATE
        if not 1 <= rate <= _FASTEST_RATE:
            rate = _USUAL_RATE
        self._base = time_base
        self.timescale = time_base.denominator if time_base.denominator <= MAX_TIMESCALE else 1_000_000
        self.frame_ticks = max(1, round(1 / (rate * time_base)))
        self.arrived_ns = 0
        self.end_ns = after_end_ns
        self.last_dts_ns = after_dts_ns
        self._last_ticks = None if after_dts_ns is None else self._ticks(after_dts_ns) + 1
        self._last_raw: int | None = None
        self._shift: int | None = None
        self._window_begins_ns = 0
        self._promptest_ns: int | None = None
        self._owed = 0  # ticks still to be stretched by
        self._jumped = False

    def stamp(self, pts: int | None, dts: int, duration: int) -> Times:
        """The times of the next packet. `pts` None: shown when decoded. A `duration` of 0 or less is not known.

        `Times.jumped` is never set: a jump is told once by `take_jump`.
        """
        duration = duration if duration > 0 else self.frame_ticks
        shown = dts if pts is None else pts
        # A decoding time that libav had to guess may lie behind the time of showing; the camera meant the latter.
        raw = min(dts, shown)
        # After its clock was set forward, libav gives a picture the decoding time of one from before: no camera holds
        # one back for so long.
        if self._ns(shown - raw) > _JUMP_NS:
            shown = raw
        if self._shift is None:
            self._shift = max(self._ticks(self.arrived_ns), self._ticks(self.end_ns)) - raw
            self._window_begins_ns = self.arrived_ns
        elif self._is_jump(raw):
            self._anchor_anew(raw)
        else:
            self._follow(raw, duration)
        decoded = raw + self._shift
        if self._last_ticks is not None:
            decoded = max(decoded, self._last_ticks + 1)
        self._last_raw, self._last_ticks = raw, decoded
        self.last_dts_ns = self._ns(decoded)
        times = Times(self._ns(max(shown + self._shift, decoded)), self.last_dts_ns, self._ns(duration), False)
        self.end_ns = max(self.end_ns, times.pts_ns + times.duration_ns)
        return times

    def heard_ns(self, seconds: Fraction) -> int | None:
        """When what the camera places at `seconds` of its own time was; None before its first picture."""
        if self._shift is None:
            return None
        return round((seconds + self._shift * self._base) * SECOND_NS)

    def take_jump(self) -> bool:
        """Whether the camera's clock was set anew since the last call."""
        jumped, self._jumped = self._jumped, False
        return jumped

    @property
    def jumped(self) -> bool:
        """Whether there is a jump not taken yet."""
        return self._jumped

    def _is_jump(self, raw: int) -> bool:
        assert self._shift is not None, "the first packet anchors"
        if self._last_raw is not None and self._ns(self._last_raw - raw) > _STEP_BACK_NS:
            return True
        # Ahead of its own arrival no picture can be; far behind it may be late, unless the promptest is.
        if self._ns(raw + self._shift) - self.arrived_ns > _JUMP_NS:
            return True
        return self._promptest_ns is not None and self._window_is_over() and self._promptest_ns > _JUMP_NS

    def _anchor_anew(self, raw: int) -> None:
        after = 0 if self._last_ticks is None else self._last_ticks + 1
        self._shift = max(self._ticks(self.arrived_ns), after) - raw
        self._window_begins_ns, self._promptest_ns, self._owed = self.arrived_ns, None, 0
        self._jumped = True

    def _follow(self, raw: int, duration: int) -> None:
        """Takes the packet into account, and stretches or squeezes the time before it by what is owed."""
        assert self._shift is not None, "the first packet anchors"
        late_ns = self.arrived_ns - self._ns(raw + self._shift)
        self._promptest_ns = late_ns if self._promptest_ns is None else min(self._promptest_ns, late_ns)
        if self._window_is_over():
            self._owed = round(self._promptest_ns * self._base.denominator / (self._base.numerator * SECOND_NS))
            self._window_begins_ns, self._promptest_ns = self.arrived_ns, None
        most = min(duration, self.frame_ticks) // _STRETCH
        step = max(-most, min(most, self._owed))
        self._owed -= step
        self._shift += step
        if step and self._promptest_ns is not None:
            self._promptest_ns -= self._ns(step)

    def _window_is_over(self) -> bool:
        return self.arrived_ns - self._window_begins_ns >= _WINDOW_NS

    def _ns(self, ticks: int) -> int:
        numerator, denominator = self._base.numerator * SECOND_NS, self._base.denominator
        return (2 * ticks * numerator + denominator) // (2 * denominator)

    def _ticks(self, time_ns: int) -> int:
        return -(-time_ns * self._base.denominator // (self._base.numerator * SECOND_NS))
