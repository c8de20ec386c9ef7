"""From a film file's ticks to nanoseconds on the replay's one timeline.

Owns what is done about a file whose times are missing, run backwards or begin anywhere: decoding times always rise, the
first picture of the first file is shown at 0, the next file begins where the last one ended. Never invents video.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Protocol

from agent.core.fmp4 import MAX_TIMESCALE, SECOND_NS

# A step back by more is a clock set anew in the middle of the file; by less, a muxer's untidiness.
_UNTIDY_NS: Final = SECOND_NS
# Nothing is filmed with a longer pause, and no decoder holds a picture back for longer: the times are damaged.
_LONGEST_PAUSE_NS: Final = 24 * 3600 * SECOND_NS
_LONGEST_DELAY_NS: Final = 60 * SECOND_NS
_USUAL_RATE: Final = Fraction(25)
_FASTEST_RATE: Final = 1000


@dataclass(frozen=True, slots=True)
class Times:
    """When a packet is shown and decoded. `jumped`: the file's clock was set anew before it."""

    pts_ns: int
    dts_ns: int
    duration_ns: int
    jumped: bool


class PacketClock(Protocol):
    """What reads packets needs to know of time: `TickClock` for films, `LiveClock` for cameras."""

    timescale: int
    frame_ticks: int
    end_ns: int
    last_dts_ns: int | None

    def stamp(self, pts: int | None, dts: int, duration: int) -> Times:
        """The times of the next packet, in decoding order."""


def lasting_ticks(duration: int | None, clock: PacketClock) -> int:
    """How long libav says that a picture lasts; as long as usual where it does not know.

    Of a byte stream that does not tell its rate it knows that of the first two seconds, and says one tick from then on.
    """
    if duration is None or duration * _FASTEST_RATE < clock.timescale:
        return clock.frame_ticks
    return duration


class TickClock:
    """Stamps the packets of one track, in decoding order.

    `time_base`: seconds a tick. `rate`: pictures a second as far as the file says, else None. `start_ns`: where on the
    timeline the file begins; `after_dts_ns`: the last decoding time before it, if any. Of its attributes,
    `frame_ticks` is how long a picture usually lasts, in the file's ticks.
    """

    def __init__(self, time_base: Fraction, rate: Fraction | None, start_ns: int, after_dts_ns: int | None) -> None:
        rate = rate if rate and 1 <= rate <= _FASTEST_RATE else _USUAL_RATE
        self.frame_ticks = max(1, round(1 / (rate * time_base)))
        # Whole ticks of the file stay whole in the film, unless the file's clock is finer than a film's may be.
        fine = time_base.denominator > MAX_TIMESCALE
        self._base = Fraction(1, 1_000_000) if fine else time_base
        self.timescale = self._base.denominator
        self._per_file_tick = time_base / self._base
        self._last_dts = None if after_dts_ns is None else self._ceil_ticks(after_dts_ns)
        self._start = self._ceil_ticks(start_ns)
        self._shift: int | None = None
        self.end_ns = start_ns
        self.last_dts_ns = after_dts_ns

    def stamp(self, pts: int | None, dts: int, duration: int) -> Times:
        """The times of the next packet. `pts` None: shown when decoded. A `duration` of 0 or less is not known."""
        lasting = max(1, self._ticks(duration if duration > 0 else self.frame_ticks))
        decode = self._ticks(dts)
        delay = 0 if pts is None else self._ticks(pts) - decode
        if abs(self._ns(delay)) > _LONGEST_DELAY_NS:
            delay = 0
        jumped = self._shift is not None and self._jumps(decode)
        if self._shift is None or jumped:
            begin = self._start if self._shift is None else self._ceil_ticks(self.end_ns)
            self._shift = begin - decode - delay
            if self._last_dts is not None:
                self._shift = max(self._shift, self._last_dts + 1 - decode)
        decoded = decode + self._shift
        if self._last_dts is not None:
            decoded = max(decoded, self._last_dts + 1)
        # No picture is shown before it is decoded, whatever a damaged file says.
        shown = max(decode + self._shift + delay, decoded)
        self._last_dts = decoded
        self.last_dts_ns = self._ns(decoded)
        times = Times(self._ns(shown), self.last_dts_ns, self._ns(lasting), jumped)
        self.end_ns = max(self.end_ns, times.pts_ns + times.duration_ns)
        return times

    def heard_ns(self, seconds: Fraction) -> int | None:
        """When what the file places at `seconds` of its own time is on the timeline; None before its first picture."""
        if self._shift is None:
            return None
        return round((seconds + self._shift * self._base) * SECOND_NS)

    def _jumps(self, decode: int) -> bool:
        if self._last_dts is None or self._shift is None:
            return False
        step_ns = self._ns(decode + self._shift - self._last_dts)
        return step_ns < -_UNTIDY_NS or step_ns > _LONGEST_PAUSE_NS

    def _ticks(self, file_ticks: int) -> int:
        return file_ticks if self._per_file_tick == 1 else int(file_ticks * self._per_file_tick)

    def _ns(self, ticks: int) -> int:
        numerator, denominator = self._base.numerator * SECOND_NS, self._base.denominator
        return (2 * ticks * numerator + denominator) // (2 * denominator)

    def _ceil_ticks(self, time_ns: int) -> int:
        return -(-time_ns * self._base.denominator // (self._base.numerator * SECOND_NS))
