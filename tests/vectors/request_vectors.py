"""The vectors of requests and withdrawals: one input, one outcome, one named reason.

Everything in them is fixed: keys are made from constant seeds and Ed25519 signatures are deterministic.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

NOW = "2026-11-23T18:00:00Z"
HOME = [48.2082, 16.3738]
SQUARE = [[16.37, 48.205], [16.378, 48.205], [16.378, 48.212], [16.37, 48.212], [16.37, 48.205]]


def b64u(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Party:
    """A requester with keys from a seed letter. Signs by the letter of RFC 7515, not by the product's code."""

    def __init__(self, seed: bytes, agency: str) -> None:
        self.signs = Ed25519PrivateKey.from_private_bytes(seed * 32)
        self.public = self.signs.public_key().public_bytes_raw()
        self.opens = X25519PrivateKey.from_private_bytes(seed * 32).public_key().public_bytes_raw()
        self.kid = b64u(hashlib.sha256(self.public).digest()[:16])
        self.agency = agency

    def sign(self, typ: str, payload: Any, **header: Any) -> str:
        head = {"alg": "Ed25519", "typ": typ, "kid": self.kid} | header
        body = payload if isinstance(payload, bytes) else json.dumps(payload, ensure_ascii=False).encode()
        signed = b64u(json.dumps({k: v for k, v in head.items() if v is not None}).encode()) + "." + b64u(body)
        return signed + "." + b64u(self.signs.sign(signed.encode()))

    def statement(self, **changes: Any) -> str:
        fields = {
            "id": self.kid,
            "agency": self.agency,
            "signs": b64u(self.public),
            "opens": b64u(self.opens),
            "issued": "2026-01-01T00:00:00Z",
            "expires": "2027-01-01T00:00:00Z",
        }
        return self.sign("doorward.requester.v1", fields | changes)


POLICE = Party(b"p", "Example Police Department")
STRANGER = Party(b"s", "Example Police Department")


def payload(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "id": b64u(b"request number 1"),
        "requester": {"id": POLICE.kid, "agency": POLICE.agency, "officer": "J. Doe", "contact": "desk@example.org"},
        "case_number": "26-04711",
        "incident_type": "Burglary",
        "message": "We look for a person in a red jacket.\nThank you.",
        "area": {"type": "Polygon", "coordinates": [SQUARE]},
        "from": "2026-11-23T14:00:00Z",
        "to": "2026-11-23T15:00:00Z",
        "issued": "2026-11-23T17:55:00Z",
        "expires": "2026-11-25T17:55:00Z",
        "key": b64u(POLICE.opens),
        "purpose": "To find a witness.",
        "retention": "Until the case is closed.",
        "replaces": "",
    }
    return {k: v for k, v in (fields | changes).items() if v is not ...}


def asks(**changes: Any) -> str:
    return POLICE.sign("doorward.request.v1", payload(**changes))


def circle(radius_m: float, lon: float = 16.3738, lat: float = 48.2082) -> dict[str, Any]:
    return {"type": "Circle", "center": [lon, lat], "radius_m": radius_m}


def ring(*positions: tuple[float, float]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[list(position) for position in positions]]}


def hash_of(token: str) -> str:
    return b64u(hashlib.sha256(token.encode()).digest())


def withdraws(by: Party = POLICE, **changes: Any) -> str:
    fields = {"request": hash_of(asks()), "requester": POLICE.kid, "issued": NOW}
    return by.sign("doorward.withdrawal.v1", {k: v for k, v in (fields | changes).items() if v is not ...})


def with_asker(**changes: Any) -> str:
    return asks(requester=payload()["requester"] | changes)


def flipped(token: str) -> str:
    """The same statement with one bit of its payload changed."""
    head, body, signature = token.split(".")
    raw = bytearray(base64.urlsafe_b64decode(body + "=="))
    raw[raw.index(b"red")] ^= 1
    return f"{head}.{b64u(bytes(raw))}.{signature}"


GOOD = asks()
OUT = "accepted"
OLD = b64u(b"the hash of an earlier request !")
# name, outcome, token, what differs from the ordinary circumstances
CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("polygon", OUT, GOOD, {}),
    ("circle", OUT, asks(area=circle(400)), {}),
    ("clockwise-polygon", OUT, asks(area={"type": "Polygon", "coordinates": [SQUARE[::-1]]}), {}),
    ("span-shortest", OUT, asks(to="2026-11-23T14:15:00Z"), {}),
    ("span-longest", OUT, asks(**{"from": "2026-11-23T03:00:00Z"}), {}),
    ("life-longest", OUT, asks(expires="2026-11-26T17:55:00Z"), {}),
    ("issued-five-minutes-ahead", OUT, asks(issued="2026-11-23T18:05:00Z"), {}),
    ("texts-at-their-limits", OUT, asks(message="ü" * 2000, case_number="c" * 64, purpose="", retention="r" * 200), {}),
    ("second-of-the-case", OUT, GOOD, {"asked_for_case": 1}),
    ("tenth-of-the-week", OUT, GOOD, {"asked_this_week": 9}),
    ("too-large", "too-large", asks(message="x" * 70_000), {}),
    ("no-statement", "bad-signature", "hello", {}),
    ("empty", "bad-signature", "", {}),
    ("alg-none", "bad-signature", POLICE.sign("doorward.request.v1", payload(), alg="none"), {}),
    ("alg-hs256", "bad-signature", POLICE.sign("doorward.request.v1", payload(), alg="HS256"), {}),
    ("crit-header", "bad-signature", POLICE.sign("doorward.request.v1", payload(), crit=["exp"]), {}),
    ("key-in-header", "bad-signature", POLICE.sign("doorward.request.v1", payload(), jwk={"kty": "OKP"}), {}),
    ("other-type", "bad-signature", POLICE.sign("doorward.receipt.v1", payload()), {}),
    ("altered", "bad-signature", flipped(GOOD), {}),
    ("cut-short", "bad-signature", GOOD[:-4], {}),
    ("signed-by-another", "bad-signature", STRANGER.sign("doorward.request.v1", payload(), kid=POLICE.kid), {}),
    ("not-pinned", "unknown-requester", STRANGER.sign("doorward.request.v1", payload()), {}),
    ("pinned-but-expired", "unknown-requester", GOOD, {"pinned": [POLICE.statement(expires=NOW)]}),
    ("not-json", "malformed", POLICE.sign("doorward.request.v1", b"\xff{"), {}),
    ("deep-json", "malformed", POLICE.sign("doorward.request.v1", b"[" * 40_000), {}),
    ("unknown-field", "malformed", asks(extra=1), {}),
    ("field-missing", "malformed", asks(message=...), {}),
    ("message-too-long", "malformed", asks(message="x" * 2001), {}),
    ("message-empty", "malformed", asks(message=" "), {}),
    ("message-turns-direction", "malformed", asks(message="pay \u202elast"), {}),
    ("case-number-with-escape", "malformed", asks(case_number="1\u001b[2J"), {}),
    ("id-too-short", "malformed", asks(id="abc"), {}),
    ("time-without-zone", "malformed", asks(**{"from": "2026-11-23T14:00:00"}), {}),
    ("time-in-another-zone", "malformed", asks(**{"from": "2026-11-23T15:00:00+01:00"}), {}),
    ("span-backwards", "malformed", asks(to="2026-11-23T13:00:00Z"), {}),
    ("ring-open", "area-shape", asks(area={"type": "Polygon", "coordinates": [SQUARE[:4]]}), {}),
    (
        "ring-crosses-itself",
        "area-shape",
        asks(area={"type": "Polygon", "coordinates": [[SQUARE[i] for i in (0, 2, 1, 3, 0)]]}),
        {},
    ),
    ("ring-with-hole", "area-shape", asks(area={"type": "Polygon", "coordinates": [SQUARE, SQUARE]}), {}),
    ("area-of-another-kind", "malformed", asks(area={"type": "Point", "coordinates": [16.37, 48.2]}), {}),
    ("requester-id-of-another", "wrong-key", with_asker(id=STRANGER.kid), {}),
    ("agency-of-another", "wrong-key", with_asker(agency="Interpol"), {}),
    ("key-of-another", "wrong-key", asks(key=b64u(STRANGER.opens)), {}),
    ("issued-in-future", "issued-in-future", asks(issued="2026-11-23T18:05:01Z"), {}),
    ("expired", "expired", asks(expires=NOW), {}),
    ("life-too-long", "expired", asks(expires="2026-11-26T17:55:01Z"), {}),
    ("expires-before-issued", "expired", asks(issued="2026-11-23T18:04:00Z", expires="2026-11-23T18:03:00Z"), {}),
    ("span-too-short", "span", asks(to="2026-11-23T14:14:59.999Z"), {}),
    ("span-too-long", "span", asks(**{"from": "2026-11-23T02:59:59Z"}), {}),
    ("future-span", "future-span", asks(to="2026-11-23T18:05:01Z"), {}),
    ("ring-touches-itself", "area-shape", asks(area=ring(*SQUARE[:2], SQUARE[0], *SQUARE[2:])), {}),
    (
        "ring-of-too-many-positions",
        "area-shape",
        asks(area=ring(*((16.37 + n * 1e-5, 48.205) for n in range(100)), (16.374, 48.212), (16.37, 48.205))),
        {},
    ),
    ("ring-around-the-pole", "area-shape", asks(area=ring((0, 84), (120, 84), (-120, 84), (0, 84))), {}),
    ("beyond-85-degrees", "area-shape", asks(area=circle(400, 16.3738, 85.01)), {}),
    ("off-the-map", "area-shape", asks(area=circle(400, 180.5, 48.2082)), {}),
    ("radius-nothing", "area-shape", asks(area=circle(0)), {}),
    ("area-too-small", "area-size", asks(area=circle(140)), {}),
    ("area-smallest", OUT, asks(area=circle(143.6)), {}),
    ("area-too-large", "area-size", asks(area=circle(650)), {}),
    ("area-largest", OUT, asks(area=circle(642)), {}),
    ("polygon-too-large", "area-size", asks(area=ring(*((16.37 + 4 * (lon - 16.37), lat) for lon, lat in SQUARE))), {}),
    (
        "across-the-180th-meridian",
        OUT,
        asks(area=ring((179.997, -16.5), (-179.997, -16.5), (-179.997, -16.493), (179.997, -16.493), (179.997, -16.5))),
        {"home": [-16.4965, -179.9999]},
    ),
    ("home-on-the-outline", OUT, GOOD, {"home": [48.205, 16.374]}),
    ("longitude-and-latitude-swapped", "not-here", asks(area=circle(400, 48.2082, 16.3738)), {}),
    ("not-here", "not-here", GOOD, {"home": [48.2082, 16.379]}),
    ("blocked", "blocked", GOOD, {"blocked": [POLICE.kid]}),
    ("paused", "paused", GOOD, {"paused": True}),
    ("replayed", "replayed", GOOD, {"seen": [payload()["id"]]}),
    ("withdrawn-before-it-came", "withdrawn", GOOD, {"taken_back": [[hash_of(GOOD), POLICE.kid]]}),
    ("withdrawn-by-another", OUT, GOOD, {"taken_back": [[hash_of(GOOD), STRANGER.kid]]}),
    ("another-withdrawn-before-it-came", OUT, GOOD, {"taken_back": [[OLD, POLICE.kid]]}),
    ("third-of-the-case", "case-limit", GOOD, {"asked_for_case": 2}),
    ("eleventh-of-the-week", "requester-limit", GOOD, {"asked_this_week": 10}),
    ("replaces-an-own-request", OUT, asks(replaces=OLD), {"asked_by": {OLD: POLICE.kid}}),
    ("replaces-one-that-is-not-here", OUT, asks(replaces=OLD), {}),
    ("replaces-anothers-request", "wrong-replaced", asks(replaces=OLD), {"asked_by": {OLD: STRANGER.kid}}),
    ("replaces-no-hash", "malformed", asks(replaces="the last one"), {}),
    ("no-clips", "no-clips", GOOD, {"clips": []}),
    ("rule-incident", "declined: incident", GOOD, {"decline": {"incidents": ["noise", "BURGLAR"]}}),
    ("rule-other-incident", OUT, GOOD, {"decline": {"incidents": ["noise"]}}),
    ("rule-longer", "declined: longer", GOOD, {"decline": {"longer_than_min": 59}}),
    ("rule-as-long-as-allowed", OUT, GOOD, {"decline": {"longer_than_min": 60}}),
    ("rule-lacking", "declined: lacking-purpose", asks(purpose=""), {"decline": {"lacking": ["contact", "purpose"]}}),
    ("rule-nothing-lacking", OUT, GOOD, {"decline": {"lacking": ["officer", "contact", "purpose", "retention"]}}),
    ("limits-go-before-rules", "no-clips", GOOD, {"clips": [], "decline": {"incidents": ["burglary"]}}),
    ("blocked-goes-before-paused", "blocked", GOOD, {"blocked": [POLICE.kid], "paused": True}),
    ("expired-goes-before-span", "expired", asks(expires=NOW, to="2026-11-23T14:01:00Z"), {}),
]


def vectors() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name, outcome, token, changes in CASES:
        vector = {
            "name": name,
            "outcome": outcome,
            "now": NOW,
            "home": HOME,
            "pinned": [POLICE.statement()],
            "blocked": [],
            "paused": False,
            "decline": {},
            "asked_by": {},
            "seen": [],
            "taken_back": [],
            "asked_for_case": 0,
            "asked_this_week": 0,
            "clips": ["clip"],
        } | changes
        found.append((name, vector | {"statement": token}))
    return found


# name, outcome, token
WITHDRAWALS: list[tuple[str, str, str]] = [
    ("good", OUT, withdraws()),
    ("too-large", "too-large", withdraws(request="x" * 4096)),
    ("empty", "bad-signature", ""),
    ("a-request", "bad-signature", GOOD),
    ("alg-none", "bad-signature", POLICE.sign("doorward.withdrawal.v1", {}, alg="none")),
    ("altered", "bad-signature", withdraws()[:-8] + "AAAAAAAA"),
    ("signed-by-another", "bad-signature", STRANGER.sign("doorward.withdrawal.v1", {}, kid=POLICE.kid)),
    ("by-somebody-who-never-asked", "unknown-requester", withdraws(STRANGER)),
    ("unknown-field", "malformed", withdraws(extra=1)),
    ("field-missing", "malformed", withdraws(issued=...)),
    ("time-without-zone", "malformed", withdraws(issued="2026-11-23T18:00:00")),
    ("request-no-hash", "malformed", withdraws(request="abc")),
    ("of-a-request-that-is-not-here", "unknown-request", withdraws(request=OLD)),
    ("of-anothers-request", "unknown-request", withdraws(request=hash_of("another's"))),
    ("names-another-requester", "unknown-request", withdraws(requester=STRANGER.kid)),
]


def withdrawal_vectors() -> list[tuple[str, dict[str, Any]]]:
    asked_by = {hash_of(GOOD): POLICE.kid, hash_of("another's"): b64u(b"another requeste")}
    have_asked = [POLICE.statement()]
    return [
        (
            name,
            {"name": name, "outcome": outcome, "have_asked": have_asked, "asked_by": asked_by, "statement": token},
        )
        for name, outcome, token in WITHDRAWALS
    ]
