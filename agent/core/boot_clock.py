"""What the clock of one boot was worth: stretches in which the wall clock ran beside the boot clock, and what follows.

Places a moment of the boot clock in UTC with its error, or between bounds where the clock was never set. Pure: readings
come in as arguments. Source: docs/spec/clock.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.core import statements
from agent.core.encoding import b64u, format_time, from_b64u, key_id, parse_time
from agent.core.errors import BadInput, Corrupt, Refused
from agent.core.statements import Kind
from agent.core.timeline import KNOWN_WITHIN_NS, Trust

STRETCHES_LIMIT = 64
ERROR_FLOOR_NS = 1_000_000_000
_SLIP_PPM = 500
_SAME_NS = 100_000_000  # farther than this from the stretch it would belong to, a reading shows a step
_BRIDGED_NS = 3600 * 1_000_000_000  # a silence longer than this ends a stretch
_LARGEST_US = 2**53
_YEARS_NS = (0, parse_time("2200-01-01T00:00:00Z"))


@dataclass(frozen=True, slots=True)
class Reading:
    """Both clocks at one moment, ns. `error_ns`: how far from the truth `utc_ns` may be where it is synchronised."""

    boot_ns: int
    utc_ns: int
    synchronised: bool
    error_ns: int


class ClockStretch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The wall clock showed `utc` at `from_us` of the boot clock and ran beside it until `to_us`."""

    from_us: int
    to_us: int
    utc: str
    error_us: int
    synchronised: bool

    @property
    def offset_ns(self) -> int:
        """UTC minus boot clock."""
        return parse_time(self.utc) - self.from_us * 1000


class BootClock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payload of `doorward.clock.v1`."""

    device: str
    boot: str
    number: int
    began_after: str
    ended_before: str
    until_us: int
    stretches: list[ClockStretch]

    @property
    def was_set(self) -> bool:
        """Whether the wall clock was synchronised at any time in this boot."""
        return any(stretch.synchronised for stretch in self.stretches)


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a moment of a boot clock lies in UTC, ns; None is what is not known."""

    best_ns: int | None
    earliest_ns: int | None
    latest_ns: int | None


@dataclass(frozen=True, slots=True)
class ClipTime:
    """When a clip began, as best known. The bounds are None where nothing is known."""

    start_ns: int
    earliest_ns: int | None
    latest_ns: int | None
    trust: Trust


def boot_id(device_key: bytes, kernel_boot_id: str) -> str:
    """The id under which clips name this boot; `device_key` is the raw public key."""
    return b64u(hashlib.sha256(b"doorward boot v1" + device_key + kernel_boot_id.encode()).digest()[:16])


def slip_ns(distance_ns: int) -> int:
    """How far a boot clock may go wrong over a distance."""
    return -(-abs(distance_ns) * _SLIP_PPM // 1_000_000)


def begin(before: BootClock | None, device: str, boot: str, taken: int = 0) -> BootClock:
    """A boot of which nothing was read yet, after the boot `before` it. Numbers up to `taken` are another's, too."""
    after_ns = None if before is None else place(before, before.until_us * 1000).earliest_ns
    number = max(before.number if before else 0, taken) + 1
    return BootClock(device, boot, number, _told(after_ns), "", 0, [])


def observe(clock: BootClock, reading: Reading) -> BootClock:
    """With one more reading, later than those before it. BadInput where its wall clock shows no year 1970 to 2200."""
    if not _YEARS_NS[0] <= reading.utc_ns < _YEARS_NS[1]:
        raise BadInput(f"the wall clock shows no time of this age ({reading.utc_ns} ns); set it")
    at_us = max(clock.until_us, reading.boot_ns // 1000)
    stretches = list(clock.stretches)
    if stretches and _goes_on(stretches[-1], reading):
        stretches[-1] = msgspec.structs.replace(stretches[-1], to_us=at_us)
    else:
        utc = format_time(max(0, reading.utc_ns - reading.boot_ns + at_us * 1000))
        # Twice what is known, so that the stretch has room for slightly worse readings to come.
        error_us = min(-(-2 * _error_ns(reading) // 1000), KNOWN_WITHIN_NS // 1000) if reading.synchronised else 0
        stretches.append(ClockStretch(at_us, at_us, utc, error_us, reading.synchronised))
    return msgspec.structs.replace(clock, until_us=at_us, stretches=_limited(stretches))


def _goes_on(last: ClockStretch, reading: Reading) -> bool:
    off_ns = abs(reading.utc_ns - reading.boot_ns - last.offset_ns)
    silence_ns = max(0, reading.boot_ns - last.to_us * 1000)
    if last.synchronised != reading.synchronised or off_ns > _SAME_NS or silence_ns > _BRIDGED_NS:
        return False
    return not last.synchronised or _error_ns(reading) + off_ns + slip_ns(silence_ns) <= last.error_us * 1000


def _error_ns(reading: Reading) -> int:
    return max(ERROR_FLOOR_NS, reading.error_ns)


def _limited(stretches: list[ClockStretch]) -> list[ClockStretch]:
    """Of too many the least telling goes: the oldest in which the clock was not set, else the second."""
    if len(stretches) <= STRETCHES_LIMIT:
        return stretches
    spare = next((n for n, stretch in enumerate(stretches[:-1]) if not stretch.synchronised), 1)
    return stretches[:spare] + stretches[spare + 1 :]


def place(clock: BootClock, boot_ns: int) -> Moment:
    """Where `boot_ns` of the boot clock lies (docs/spec/clock.md "Placing a moment")."""
    found: tuple[int, int] | None = None
    for stretch in clock.stretches:
        if stretch.synchronised:
            distance_ns = max(0, stretch.from_us * 1000 - boot_ns, boot_ns - stretch.to_us * 1000)
            error_ns = stretch.error_us * 1000 + slip_ns(distance_ns)
            if found is None or error_ns <= found[0]:
                found = error_ns, stretch.offset_ns + boot_ns
    if found is not None:
        return Moment(found[1], found[1] - found[0], found[1] + found[0])
    earliest_ns = latest_ns = None
    if clock.began_after:
        earliest_ns = parse_time(clock.began_after) + boot_ns - slip_ns(boot_ns)
    if clock.ended_before:
        before_end_ns = max(0, clock.until_us * 1000 - boot_ns)
        latest_ns = parse_time(clock.ended_before) - before_end_ns + slip_ns(before_end_ns)
    return Moment(None, earliest_ns, latest_ns)


def bounded(earlier: Sequence[BootClock], now: BootClock) -> list[BootClock]:
    """Those of the boots before `now` that were never set and now get their `ended_before`.

    `earlier` in order of their numbers; `now` has been set. Goes back to the newest boot that was set itself.
    """
    began_ns = place(now, 0).latest_ns
    found: list[BootClock] = []
    for clock in reversed(earlier):
        if clock.was_set or clock.ended_before or began_ns is None:
            break
        ended = msgspec.structs.replace(clock, ended_before=_told(began_ns))
        began_ns = place(ended, 0).latest_ns
        found.append(ended)
    return found


def clip_time(written_ns: int, written: Trust, boot_us: int, clock: BootClock | None) -> ClipTime:
    """When a clip began whose header says `written_ns` and `written`, given the clock of its boot, if there is one."""
    if written is not Trust.PROVISIONAL:
        return ClipTime(written_ns, written_ns, written_ns, written)
    if clock is None:
        return ClipTime(written_ns, None, None, written)
    moment = place(clock, boot_us * 1000)
    earliest_ns, latest_ns = moment.earliest_ns, moment.latest_ns
    if moment.best_ns is None:
        best_ns = written_ns if latest_ns is None else min(written_ns, latest_ns)
        best_ns = best_ns if earliest_ns is None else max(best_ns, earliest_ns)
        return ClipTime(best_ns, earliest_ns, latest_ns, Trust.PROVISIONAL)
    known = latest_ns is not None and latest_ns - moment.best_ns <= KNOWN_WITHIN_NS
    return ClipTime(moment.best_ns, earliest_ns, latest_ns, Trust.CORRECTED if known else Trust.PROVISIONAL)


def sign_clock(clock: BootClock, key: Ed25519PrivateKey) -> bytes:
    """The clock statement."""
    return statements.sign(Kind.CLOCK, clock, key)


def read_clock(token: bytes, device: Ed25519PublicKey) -> BootClock:
    """The well-formed clock statement in `token` if `device` signed it; else Refused."""
    kid = key_id(statements.raw_public(device))
    clock = statements.read(Kind.CLOCK, token, {kid: device}, BootClock)
    try:
        from_b64u(clock.boot, 16)
        times = [stretch.utc for stretch in clock.stretches]
        for text in (*times, *filter(None, (clock.began_after, clock.ended_before))):
            if not text.endswith("Z") or not _YEARS_NS[0] <= parse_time(text) < _YEARS_NS[1]:
                raise Corrupt(f"'{text[:40]}' is no time of this age in UTC")
    except (Corrupt, BadInput) as e:
        raise Refused("malformed", f"the clock statement: {e}") from e
    if clock.device != kid:
        raise Refused("wrong-device", "the clock statement is about another doorbell than the one that signed it")
    at_us = 0
    for stretch in clock.stretches:
        if not at_us <= stretch.from_us <= stretch.to_us or not 0 <= stretch.error_us * 1000 <= KNOWN_WITHIN_NS:
            raise Refused("malformed", "the stretches of the clock statement are not in order, or one's error is odd")
        at_us = stretch.to_us
    if not at_us <= clock.until_us < _LARGEST_US or clock.number < 1 or len(clock.stretches) > STRETCHES_LIMIT:
        raise Refused("malformed", "the clock statement's numbers are not as specified")
    return clock


def _told(utc_ns: int | None) -> str:
    return "" if utc_ns is None else format_time(min(max(utc_ns, _YEARS_NS[0]), _YEARS_NS[1] - 1))
