"""From a film file's ticks to nanoseconds on the replay's one timeline.

Owns what is done about a file whose times are missing, run backwards or begin anywhere: decoding times always rise, the
first picture of the first file is shown at 0, the next file begins where the last one ended. Never invents video.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import av.video

from agent.core.fmp4 import MAX_TIMESCALE, SECOND_NS

# A step back by more is a clock set anew in the middle of the file; by less, a muxer's untidiness.
_UNTIDY_NS: Final = SECOND_NS
_USUAL_RATE: Final = Fraction(25)
_FASTEST_RATE: Final = 1000


@dataclass(frozen=True, slots=True)
class Times:
    """When a packet is shown and decoded. `jumped`: the file's clock was set back before it."""

    pts_ns: int
    dts_ns: int
    duration_ns: int
    jumped: bool


class TickClock:
    """Stamps the packets of one track, in decoding order.

    `start_ns`: where on the timeline the file begins; `after_dts_ns`: the last decoding time before it, if any.
    `frame_ticks`: how long a picture usually lasts.
    """

    def __init__(self, track: av.video.VideoStream, start_ns: int, after_dts_ns: int | None) -> None:
        time_base = track.time_base or Fraction(1, 90_000)
        rate = track.average_rate or track.guessed_rate or _USUAL_RATE
        if not 1 <= rate <= _FASTEST_RATE:
            rate = _USUAL_RATE
        self._base = time_base
        # Whole ticks of the file stay whole in the film, unless the file's clock is finer than a film's may be.
        self.timescale = time_base.denominator if time_base.denominator <= MAX_TIMESCALE else 1_000_000
        self.frame_ticks = max(1, round(1 / (rate * time_base)))
        self._last_dts_ticks = None if after_dts_ns is None else self._ceil_ticks(after_dts_ns)
        self._start_ticks = self._ceil_ticks(start_ns)
        self._shift: int | None = None
        self.end_ns = start_ns
        self.last_dts_ns = after_dts_ns

    def stamp(self, pts: int | None, dts: int, duration: int) -> Times:
        """The times of the next packet. `pts` None: shown when decoded. A `duration` of 0 or less is not known."""
        duration = duration if duration > 0 else self.frame_ticks
        shown = dts if pts is None else pts
        jumped = False
        if self._shift is None:
            self._shift = self._start_ticks - shown
            if self._last_dts_ticks is not None:
                self._shift = max(self._shift, self._last_dts_ticks + 1 - dts)
        elif self._last_dts_ticks is not None and self._ns(self._last_dts_ticks - dts - self._shift) > _UNTIDY_NS:
            self._shift = max(self._ceil_ticks(self.end_ns) - shown, self._last_dts_ticks + 1 - dts)
            jumped = True
        decoded = dts + self._shift
        if self._last_dts_ticks is not None:
            decoded = max(decoded, self._last_dts_ticks + 1)
        self._last_dts_ticks = decoded
        self.last_dts_ns = self._ns(decoded)
        # No picture is shown before it is decoded, whatever a damaged file says.
        times = Times(self._ns(max(shown + self._shift, decoded)), self.last_dts_ns, self._ns(duration), jumped)
        self.end_ns = max(self.end_ns, times.pts_ns + times.duration_ns)
        return times

    def _ns(self, ticks: int) -> int:
        numerator, denominator = self._base.numerator * SECOND_NS, self._base.denominator
        return (2 * ticks * numerator + denominator) // (2 * denominator)

    def _ceil_ticks(self, time_ns: int) -> int:
        return -(-time_ns * self._base.denominator // (self._base.numerator * SECOND_NS))
