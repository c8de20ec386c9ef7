"""The vectors of the clock statement: one statement, one outcome, and where moments lie.

`places` are [µs of the boot clock, best, earliest, latest] with times or null, worked out here by the letter of
docs/spec/clock.md and not by the product's code.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.vectors.request_vectors import Party, b64u

DOORBELL, OTHER = Party(b"d", ""), Party(b"o", "")
BOOT = b64u(bytes(range(16)))
DAY_US = 86_400_000_000
OUT = "accepted"
KIND = "doorward.clock.v1"


def us(time: str) -> int:
    """UTC µs of a time with whole seconds."""
    return round(datetime.fromisoformat(time).timestamp()) * 1_000_000


def at(utc_ns: int) -> str:
    seconds, ns = divmod(utc_ns, 10**9)
    fraction = f".{ns:09d}".rstrip("0") if ns else ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


def stretch(from_us: int, to_us: int, utc: str, error_us: int = 1_000_000, *, synchronised: bool = True) -> Any:
    return {"from_us": from_us, "to_us": to_us, "utc": utc, "error_us": error_us, "synchronised": synchronised}


SET = stretch(60_000_000, 3_600_000_000, "2026-11-23T18:00:00Z")
UNSET = stretch(0, 59_000_000, "1970-01-01T00:00:10Z", 0, synchronised=False)


def payload(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "device": DOORBELL.kid,
        "boot": BOOT,
        "number": 3,
        "began_after": "2026-11-22T10:00:00Z",
        "ended_before": "",
        "until_us": 3_600_000_000,
        "stretches": [UNSET, SET],
    }
    return {k: v for k, v in (fields | changes).items() if v is not ...}


def says(**changes: Any) -> str:
    return DOORBELL.sign(KIND, payload(**changes))


def altered(token: str) -> str:
    return token[:-8] + ("AAAAAAAA" if not token.endswith("AAAAAAAA") else "BBBBBBBB")


def slip(distance_ns: int) -> int:
    return (distance_ns * 500 + 999_999) // 1_000_000


def by(one: dict[str, Any], moment_us: int) -> list[Any]:
    """Rule 1: by this synchronised stretch."""
    distance = max(0, one["from_us"] - moment_us, moment_us - one["to_us"]) * 1000
    best = (us(one["utc"]) + moment_us - one["from_us"]) * 1000
    error = one["error_us"] * 1000 + slip(distance)
    return [moment_us, at(best), at(best - error), at(best + error)]


def between(began_after: str, ended_before: str, until_us: int, moment_us: int) -> list[Any]:
    """Rule 2: of a boot that was never set."""
    into, left = moment_us * 1000, max(0, until_us - moment_us) * 1000
    earliest = at(us(began_after) * 1000 + into - slip(into)) if began_after else None
    latest = at(us(ended_before) * 1000 - left + slip(left)) if ended_before else None
    return [moment_us, None, earliest, latest]


SURER = stretch(4_000_000_000, 4_100_000_000, "2026-11-23T19:05:41Z", 500_000)
STEPPED = stretch(3_600_000_001, 3_700_000_000, "2031-01-01T00:00:00Z", 0, synchronised=False)
NEVER = {"stretches": [UNSET], "until_us": 7 * DAY_US}
# name, outcome, statement, moments
CASES: list[tuple[str, str, str, list[list[Any]]]] = [
    ("set-after-a-minute", OUT, says(), [by(SET, m) for m in (0, 30_000_000, 60_000_000, 3_600_000_000)]),
    ("long-after-the-last-stretch", OUT, says(), [by(SET, m) for m in (DAY_US, 33 * 3_600_000_000, 30 * DAY_US)]),
    ("of-two-the-surer-one", OUT, says(stretches=[SET, SURER], until_us=4_100_000_000),
     [by(SURER, 3_900_000_000), by(SET, 1_000_000_000), by(SURER, 5_000_000_000)]),
    ("of-equals-the-last", OUT,
     says(stretches=[SET, SURER | {"error_us": 1_000_000}], until_us=4_100_000_000),
     [by(SURER | {"error_us": 1_000_000}, 3_800_000_000)]),
    ("a-step-nobody-vouched-for", OUT, says(stretches=[UNSET, SET, STEPPED], until_us=3_700_000_000),
     [by(SET, 3_650_000_000)]),
    ("never-set-nothing-known", OUT, says(**NEVER, began_after=""), [between("", "", 7 * DAY_US, DAY_US)]),
    ("never-set-after-another", OUT, says(**NEVER), [between("2026-11-22T10:00:00Z", "", 7 * DAY_US, DAY_US)]),
    ("never-set-between-two", OUT, says(**NEVER, ended_before="2026-11-30T10:00:00Z"),
     [between("2026-11-22T10:00:00Z", "2026-11-30T10:00:00Z", 7 * DAY_US, m) for m in (0, DAY_US + 1, 9 * DAY_US)]),
    ("nothing-read-yet", OUT, says(stretches=[], until_us=0, began_after=""), [between("", "", 0, 5)]),
    ("stretches-most", OUT, says(stretches=[stretch(n, n, "2026-11-23T18:00:00Z") for n in range(64)]), []),
    ("error-largest", OUT, says(stretches=[SET | {"error_us": 60_000_000}]), []),
    ("empty", "malformed", "", []),
    ("alg-none", "malformed", DOORBELL.sign(KIND, payload(), alg="none"), []),
    ("another-type", "wrong-type", DOORBELL.sign("doorward.manifest.v1", payload()), []),
    ("another-device", "unknown-signer", OTHER.sign(KIND, payload(device=OTHER.kid)), []),
    ("signed-by-another", "bad-signature", OTHER.sign(KIND, payload(), kid=DOORBELL.kid), []),
    ("altered", "bad-signature", altered(says()), []),
    ("about-another-device", "wrong-device", says(device=OTHER.kid), []),
    ("too-large", "too-large", says(began_after=" " * 16_384), []),
    ("unknown-field", "malformed", says(extra=1), []),
    ("field-missing", "malformed", says(until_us=...), []),
    ("boot-too-short", "malformed", says(boot="AAAA"), []),
    ("number-nothing", "malformed", says(number=0), []),
    ("time-before-1970", "malformed", says(began_after="1969-12-31T23:59:59Z"), []),
    ("time-of-2200", "malformed", says(ended_before="2200-01-01T00:00:00Z"), []),
    ("time-with-a-zone", "malformed", says(began_after="2026-11-22T10:00:00+01:00"), []),
    ("stretches-too-many", "malformed", says(stretches=[stretch(n, n, "2026-11-23T18:00:00Z") for n in range(65)]), []),
    ("stretches-overlap", "malformed", says(stretches=[SET, SURER | {"from_us": 3_599_999_999}]), []),
    ("a-stretch-that-ends-before-it-begins", "malformed", says(stretches=[SET | {"to_us": 59_999_999}]), []),
    ("a-stretch-from-before-the-boot", "malformed", says(stretches=[SET | {"from_us": -1}]), []),
    ("a-stretch-behind-the-last-reading", "malformed", says(until_us=3_599_999_999), []),
    ("error-too-large", "malformed", says(stretches=[SET | {"error_us": 60_000_001}]), []),
    ("error-negative", "malformed", says(stretches=[SET | {"error_us": -1}]), []),
    ("until-too-large", "malformed", says(until_us=2**53), []),
]  # fmt: skip


def vectors() -> list[tuple[str, dict[str, Any]]]:
    key = b64u(DOORBELL.public)
    return [
        (name, {"name": name, "outcome": outcome, "key": key, "statement": token, "places": places})
        for name, outcome, token, places in CASES
    ]
