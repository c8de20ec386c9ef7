"""The directory vectors: one input, one outcome, one named reason.

`current` is the newest directory the doorbell has seen under the pinned `key`, or null.
"""

from __future__ import annotations

from typing import Any

from tests.vectors.request_vectors import POLICE, STRANGER, Party, b64u

KEEPER = Party(b"k", "Example County")
OUT = "accepted"


def payload(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "name": "Example County register",
        "version": 3,
        "issued": "2026-11-01T00:00:00Z",
        "expires": "2027-01-30T00:00:00Z",
        "requesters": [POLICE.statement(), STRANGER.statement(agency="Example Sheriff")],
    }
    return {k: v for k, v in (fields | changes).items() if v is not ...}


def lists(**changes: Any) -> str:
    return KEEPER.sign("doorward.directory.v1", payload(**changes))


def altered(token: str) -> str:
    return token[:-8] + ("AAAAAAAA" if not token.endswith("AAAAAAAA") else "BBBBBBBB")


NEWEST = lists()
FORGED = POLICE.statement()
# name, outcome, token, current
CASES: list[tuple[str, str, str, str | None]] = [
    ("first", OUT, NEWEST, None),
    ("nobody-in-it", OUT, lists(requesters=[]), None),
    ("next-version", OUT, lists(version=4), NEWEST),
    ("a-version-left-out", OUT, lists(version=9), NEWEST),
    ("the-same-again", OUT, NEWEST, NEWEST),
    ("life-longest", OUT, lists(expires="2027-12-06T00:00:00Z"), None),
    ("older", "stale-directory", lists(version=2), NEWEST),
    ("another-of-the-same-version", "stale-directory", lists(requesters=[]), NEWEST),
    ("empty", "malformed", "", None),
    ("no-statement", "malformed", "hello", None),
    ("alg-none", "malformed", KEEPER.sign("doorward.directory.v1", payload(), alg="none"), None),
    ("other-type", "wrong-type", KEEPER.sign("doorward.requester.v1", payload()), None),
    ("another-key", "unknown-signer", STRANGER.sign("doorward.directory.v1", payload()), None),
    ("signed-by-another", "bad-signature", STRANGER.sign("doorward.directory.v1", payload(), kid=KEEPER.kid), None),
    ("altered", "bad-signature", altered(NEWEST), None),
    ("unknown-field", "malformed", lists(extra=1), None),
    ("field-missing", "malformed", lists(expires=...), None),
    ("version-nothing", "malformed", lists(version=0), None),
    ("name-empty", "malformed", lists(name=" "), None),
    ("name-too-long", "malformed", lists(name="n" * 201), None),
    ("time-without-zone", "malformed", lists(expires="2027-01-30T00:00:00"), None),
    ("expires-before-issued", "malformed", lists(expires="2026-10-30T00:00:00Z"), None),
    ("life-too-long", "malformed", lists(expires="2027-12-06T00:00:01Z"), None),
    ("one-listed-twice", "malformed", lists(requesters=[POLICE.statement(), POLICE.statement(agency="Other")]), None),
    ("too-many", "malformed", lists(requesters=["x"] * 257), None),
    ("a-listed-one-is-forged", "malformed", lists(requesters=[altered(FORGED)]), None),
    ("a-listed-one-signed-by-another", "malformed", lists(requesters=[STRANGER.statement(id=POLICE.kid)]), None),
]


def vectors() -> list[tuple[str, dict[str, Any]]]:
    key = b64u(KEEPER.public)
    return [
        (name, {"name": name, "outcome": outcome, "key": key, "current": current, "statement": token})
        for name, outcome, token, current in CASES
    ]
