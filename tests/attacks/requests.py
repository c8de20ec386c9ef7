"""Forged, replayed, oversized, misdirected and unwelcome requests."""

from __future__ import annotations

import dataclasses
import hmac
import secrets
from collections.abc import Callable
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core import statements
from agent.core.area import Circle, Polygon
from agent.core.encoding import b64u, format_time, key_id, to_json
from agent.core.request import FootageRequest
from agent.core.settings import Blocked, Pause, Settings
from agent.core.statements import Kind
from agent.core.withdrawal import sign_withdrawal
from tests.attacks.bench import HOUR, MALLORY, SPAN, House, Named, Table
from tests.fuzzing import signed
from tests.household import HOME, NOW, SECOND

ATTACKS = Table()


def asks(name: str, reason: str, make: Callable[[House], bytes]) -> None:
    async def do(house: House) -> str:
        return house.heard(make(house))

    ATTACKS.append(Named(name, "request", reason, do))


def edited(payload: Callable[[FootageRequest], dict[str, Any]]) -> Callable[[House], bytes]:
    def make(house: House) -> bytes:
        _, said = house.home.request(SPAN)
        return signed(Kind.REQUEST, house.home.requester.signs, to_json(payload(said)))

    return make


def as_dict(said: FootageRequest, **changes: Any) -> dict[str, Any]:
    return {**msgspec.to_builtins(said), **changes}


def half_forged(house: House) -> bytes:
    head, _, signature = house.request().split(b".")
    other = b64u(to_json(as_dict(house.home.request(SPAN)[1], message="Another text"))).encode()
    return b".".join((head, other, signature))


def unsigned(house: House) -> bytes:
    head = b64u(b'{"alg":"none","typ":"doorward.request.v1","kid":"' + house.home.requester.kid.encode() + b'"}')
    return f"{head}.{house.request().split(b'.')[1].decode()}.".encode()


def by_hmac_of_the_public_key(house: House) -> bytes:
    head = b64u(b'{"alg":"HS256","typ":"doorward.request.v1","kid":"' + house.home.requester.kid.encode() + b'"}')
    body = f"{head}.{house.request().split(b'.')[1].decode()}"
    mac = hmac.digest(house.home.requester.signs_public, body.encode(), "sha256")
    return f"{body}.{b64u(mac)}".encode()


def with_its_own_key_inside(house: House) -> bytes:
    mallory = Ed25519PrivateKey.generate()
    token = house.request(mallory)
    kid = key_id(statements.raw_public(mallory)).encode()
    head = b'{"alg":"Ed25519","typ":"doorward.request.v1","kid":"' + kid + b'","jwk":{}}'
    return b".".join((b64u(head).encode(), *token.split(b".")[1:]))


def as_another_type(house: House) -> bytes:
    _, said = house.home.request(SPAN)
    return signed(Kind.DECISION, house.home.requester.signs, to_json(said))


def said_by(said: FootageRequest, **changes: str) -> dict[str, Any]:
    return as_dict(said, requester={**msgspec.to_builtins(said.requester), **changes})


def bow_tie(lat: float, lon: float, side: float) -> Polygon:
    return Polygon([[(lon, lat), (lon + side, lat + side), (lon + side, lat), (lon, lat + side), (lon, lat)]])


def square(lon: float, lat: float, side: float) -> Polygon:
    corners = [(lon, lat), (lon + side, lat), (lon + side, lat + side), (lon, lat + side), (lon, lat)]
    return Polygon([corners])


asks("a stranger's request", "unknown-requester", lambda h: h.request(MALLORY.signs))
asks("a stranger's key with the pinned name", "unknown-requester", lambda h: h.request(MALLORY.signs))
asks("a payload put under another's signature", "bad-signature", half_forged)
asks("no signature at all, alg none", "bad-signature", unsigned)
asks("an HMAC made with the public key", "bad-signature", by_hmac_of_the_public_key)
asks("a key carried in the header", "bad-signature", with_its_own_key_inside)
asks("a statement of another type", "bad-signature", as_another_type)
asks("nothing but noise", "bad-signature", lambda _: secrets.token_bytes(200))
asks("nothing at all", "bad-signature", lambda _: b"")
asks("more bytes than a request may have", "too-large", lambda _: b"A" * 70_000)
asks("the recipient key swapped", "wrong-key", lambda h: h.request(key=b64u(MALLORY.opens_public)))
asks("in another requester's name", "wrong-key", edited(lambda s: said_by(s, agency="Somebody trusted")))
asks("a field too many", "malformed", edited(lambda s: as_dict(s, also="this")))
asks("a field too few", "malformed", edited(lambda s: {k: v for k, v in as_dict(s).items() if k != "purpose"}))
asks("a message of 100,000 characters", "too-large", edited(lambda s: as_dict(s, message="A" * 100_000)))
asks("a message of 2,001 characters", "malformed", edited(lambda s: as_dict(s, message="A" * 2_001)))
asks("control characters in a name", "malformed", edited(lambda s: said_by(s, officer="Det.\u202eevil\x00")))
asks("a time of another zone", "malformed", edited(lambda s: as_dict(s, issued="2026-09-21T10:00:00+02:00")))
asks("a span from back to front", "malformed",
     edited(lambda s: as_dict(s, **{"from": s.span_to, "to": s.span_from})))  # fmt: skip
asks("a whole day", "span", lambda h: h.request(span_from=format_time(NOW - 24 * HOUR)))
asks("a single minute", "span", lambda h: h.request(span_from=format_time(NOW - 60 * SECOND)))
asks("the future", "future-span", lambda h: h.request(span_to=format_time(NOW + HOUR)))
asks("issued tomorrow", "issued-in-future",
     lambda h: h.request(issued=format_time(NOW + 24 * HOUR), expires=format_time(NOW + 25 * HOUR)))  # fmt: skip
asks("good for a year", "expired", lambda h: h.request(expires=format_time(NOW + 8760 * HOUR)))
asks("expired yesterday", "expired",
     lambda h: h.request(issued=format_time(NOW - 48 * HOUR), expires=format_time(NOW - 24 * HOUR)))  # fmt: skip
asks("the whole town", "area-size", lambda h: h.request(area=Circle((HOME[1], HOME[0]), 5000.0)))
asks("this one house", "area-size", lambda h: h.request(area=Circle((HOME[1], HOME[0]), 20.0)))
asks("a polygon that crosses itself", "area-shape", lambda h: h.request(area=bow_tie(*HOME, 0.01)))
asks("round the next block", "not-here", lambda h: h.request(area=square(HOME[1] + 0.01, HOME[0], 0.008)))
asks("when nothing was filmed", "no-clips",
     lambda h: h.request(span_from=format_time(NOW - 9 * HOUR), span_to=format_time(NOW - 8 * HOUR)))  # fmt: skip


@ATTACKS.attack("request", "replayed")
async def the_same_request_again(house: House) -> str:
    token = house.request()
    house.heard(token)
    return house.heard(token)


@ATTACKS.attack("request", "case-limit")
async def a_third_time_in_one_case(house: House) -> str:
    for _ in range(2):
        assert house.heard(house.home.request(SPAN)[0]) == "asked"
    return house.heard(house.home.request(SPAN)[0])


@ATTACKS.attack("request", "requester-limit")
async def every_hour_another_case(house: House) -> str:
    for n in range(10):
        assert house.heard(house.home.request(SPAN, case=f"case {n}")[0]) == "asked"
    return house.heard(house.home.request(SPAN, case="one more")[0])


@ATTACKS.attack("request", "blocked")
async def after_being_blocked(house: House) -> str:
    blocked = [Blocked(house.home.requester.kid, "Springfield Police", format_time(NOW))]
    house.home.ledger.put_settings(Settings(blocked=blocked), NOW, {})
    return house.heard(house.request())


@ATTACKS.attack("request", "paused")
async def while_paused(house: House) -> str:
    house.home.ledger.put_settings(Settings(paused=Pause(None)), NOW, {})
    return house.heard(house.request())


@ATTACKS.attack("request", "unknown-requester")
async def with_a_pinned_statement_that_ran_out(house: House) -> str:
    house.now += 2 * 10**9 * SECOND
    house.time.stepped_ns = 0
    _, said = house.home.request(SPAN)
    later = msgspec.structs.replace(said, issued=format_time(house.now), expires=format_time(house.now + HOUR))
    return house.heard(statements.sign(Kind.REQUEST, later, house.home.requester.signs))


@ATTACKS.attack("request", "wrong-replaced")
async def in_place_of_somebody_elses_request(house: House) -> str:
    house.ask()
    (row,) = house.home.ledger.requests()
    theirs = dataclasses.replace(row, id=b64u(b"theirs".ljust(16)), hash=b64u(bytes(32)), requester=MALLORY.kid)
    house.home.ledger.admit(theirs, [], [])
    return house.heard(house.request(replaces=theirs.hash))


@ATTACKS.attack("request", "unknown-requester")
async def a_stranger_withdraws_it(house: House) -> str:
    house.ask()
    (row,) = house.home.ledger.requests()
    return house.heard(sign_withdrawal(row.hash, MALLORY.kid, MALLORY.signs, NOW))
