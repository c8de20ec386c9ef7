"""What `doorward doctor` makes of what it measured: for each thing a doorbell needs, whether it holds and what to do.

Owns the limits and the words; looks at nothing itself. Sources: Raspberry Pi documentation ("Frequency management and
thermal control", `vcgencmd get_throttled`); one second of video is written and synced at a time
(docs/design/storage.md).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

SYNCS: Final = 8
SLOW_SYNC_S: Final = 0.5
HOT_C: Final = 80.0
SOON_DAYS: Final = 14
_SECOND_NS: Final = 1_000_000_000
_KEPT_UP: Final = 0.8
_POWER_NOW, _SLOWED_NOW, _POWER_ONCE, _SLOWED_ONCE = 0x1, 0xE, 0x10000, 0xE0000


class Verdict(Enum):
    """`OFF`: not in use, or not to be known here."""

    OK = "ok"
    BAD = "bad"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `do`: what to do, a sentence or a command; empty where there is nothing."""

    check: str
    verdict: Verdict
    text: str
    do: str = ""


def ok(check: str, text: str) -> Finding:
    """It holds."""
    return Finding(check, Verdict.OK, text)


def bad(check: str, text: str, do: str) -> Finding:
    """It does not."""
    return Finding(check, Verdict.BAD, text, do)


def off(check: str, text: str, do: str = "") -> Finding:
    """Nothing to say yes or no to."""
    return Finding(check, Verdict.OFF, text, do)


@dataclass(frozen=True, slots=True)
class Sample:
    """Some seconds of a camera: size in pixels, times of its pictures and how long each is meant to last (ns)."""

    width: int
    height: int
    times_ns: tuple[int, ...]
    lasting_ns: int


def camera(sample: Sample) -> list[Finding]:
    """That pictures come, and as many as are meant to."""
    size = f"{sample.width}×{sample.height}"
    if len(sample.times_ns) < 2:
        return [bad("camera", f"only one picture of {size} came in time", "look at the camera's cable or network")]
    meant = _SECOND_NS / sample.lasting_ns
    came = (len(sample.times_ns) - 1) * _SECOND_NS / max(1, sample.times_ns[-1] - sample.times_ns[0])
    if came >= _KEPT_UP * meant:
        return [ok("camera", f"{size} comes"), ok("encoder", f"{came:.1f} pictures a second, {meant:.0f} are meant to")]
    return [
        ok("camera", f"{size} comes"),
        bad(
            "encoder",
            f"only {came:.1f} pictures a second come, {meant:.0f} are meant to",
            "lower camera.width, camera.height or camera.fps ('doorward bench' says how far), or leave masks to the "
            "camera",
        ),
    ]


def disk(second_bytes: int, syncs_s: Sequence[float], free_bytes: int, wanted_bytes: int, left_bytes: int) -> Finding:
    """Seconds that each of some seconds of video took to be safe on the disk, and whether the ring will have room.

    `wanted_bytes`: what the ring may still grow by; `left_bytes`: what must stay free beside it.
    """
    median_s, worst_s = statistics.median(syncs_s), max(syncs_s)
    speed = f"a second of video ({second_bytes / 1000:.0f} kB) is safe after {1000 * median_s:.0f} ms"
    if median_s > SLOW_SYNC_S:
        return bad("disk", f"{speed}: too slow to record", "use a faster card (class A1 or A2) or a USB disk")
    if free_bytes <= left_bytes:
        return bad(
            "disk", f"only {_megabytes(free_bytes)} are free: nothing can be recorded",
            f"make room, or lower ring.min_free_mb ({left_bytes // 10**6})",
        )  # fmt: skip
    room = f"{_megabytes(free_bytes)} free"
    if free_bytes - left_bytes < wanted_bytes:
        room += f" (the ring may want {_megabytes(wanted_bytes)} more; clips will go earlier)"
    return ok("disk", f"{room}; {speed}, {1000 * worst_s:.0f} ms at worst")


def clock(synchronised: bool, error_ns: int, trusted: bool) -> Finding:
    """Whether requests and clips have a time that holds."""
    if synchronised:
        return ok("clock", f"kept right by a time server, to within {error_ns / _SECOND_NS:.1f} s")
    if trusted:
        return ok("clock", "believed because clock.trusted says so; no time server keeps it right")
    return bad("clock", "no time server keeps it right: requests wait, and clips have an uncertain time",
               "timedatectl; sudo timedatectl set-ntp true")  # fmt: skip


def certificate(check: str, whose: str, ends_utc_s: float, now_utc_s: float, do: str) -> Finding:
    """For how long what encrypts a connection is good; `whose` begins the sentence, `do` is for when it ends soon."""
    days = int((ends_utc_s - now_utc_s) // 86400)
    if days < SOON_DAYS:
        return bad(check, f"{whose} certificate ends in {days} days", do)
    return ok(check, f"{whose} certificate is good for {days} days")


def temperature(celsius: float | None) -> Finding:
    """The processor's; None where the machine does not tell."""
    if celsius is None:
        return off("temperature", "this machine does not tell")
    if celsius >= HOT_C:
        return bad("temperature", f"{celsius:.0f} °C: from {HOT_C:.0f} °C on the processor slows down",
                   "shade the doorbell, or give it a heat sink")  # fmt: skip
    return ok("temperature", f"{celsius:.0f} °C")


def power(throttled: int | None) -> Finding:
    """The bits of `get_throttled`: the lower 16 for now, the upper for any time since the Pi started."""
    if throttled is None:
        return off("power", "this machine does not tell")
    supply = "use the Pi's own power supply and a short, thick cable"
    if throttled & _POWER_NOW:
        return bad("power", "the voltage is too low", supply)
    if throttled & _SLOWED_NOW:
        return bad("power", "the processor is slowed down because it is too hot", "shade the doorbell")
    if throttled & _POWER_ONCE:
        return bad("power", "the voltage was too low at some time since the start", supply)
    if throttled & _SLOWED_ONCE:
        return bad("power", "the processor was too hot at some time since the start", "shade the doorbell")
    return ok("power", "never too low since the start")


def _megabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 10**9 else f"{count / 1e6:.0f} MB"
