"""Named attacks on a whole doorbell (all its parts but the network): each is refused by its name and moves no byte.

The attacker signs with keys of their own, replays what they saw, holds a pinned requester's key, a removed phone, or
the broker. `docs/attacks.md` is this table; the last test keeps it so.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hmac
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.jwk import OKPKey

from agent.core import identity, statements
from agent.core.area import Circle, Polygon
from agent.core.encoding import b64u, format_time, key_id, to_json
from agent.core.errors import DoorwardError, NotThere, Refused
from agent.core.identity import SessionProof
from agent.core.joining import Invitation, introduce, next_owner_set, read_entry
from agent.core.owner_api import OwnersBody
from agent.core.release import Decision, build_decision, seal_releases, share_clip, sign_decision
from agent.core.request import FootageRequest
from agent.core.sealing import ClipKeys, header_hash, unwrap_clip_key
from agent.core.settings import Blocked, Pause, Settings
from agent.core.statements import Kind
from agent.core.timeline import Span
from agent.core.transfer import Get
from agent.core.withdrawal import sign_withdrawal
from agent.disclosure.desk import asked_of
from agent.disclosure.intake import Intake
from agent.disclosure.sending import Sending
from agent.store.clips import clip_facts
from tests.conftest import ROOT
from tests.fuzzing import signed
from tests.household import HOME, NOW, SECOND, new_keys
from tests.unit.test_http import Served

HOUR = 3600 * SECOND
SPAN = Span(NOW - 900 * SECOND, NOW)


class House(Served):
    """A doorbell with one clip somebody may ask for, its sender at work on a wire that remembers."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.sent: list[tuple[str, bytes]] = []
        self.clip = self.home.record_clip(NOW - 60 * SECOND)
        self.intake = Intake(
            self.home.ledger, self.home.clips.index, HOME, self.trusted, self.bulletin, self.time,
            lambda utc_ns, _zone: utc_ns // (60 * SECOND) % 1440, lambda: None, 10**9,
        )  # fmt: skip
        self.sending = Sending(
            self.home.ledger, self.home.clips, self.home.device, self._publish, self._listen, self.bulletin, self.time
        )

    async def _publish(self, topic: str, payload: bytes, _qos: int) -> bool:
        self.sent.append((topic, payload))
        return True

    async def _listen(self, _topics: list[str]) -> None:
        return None

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.sending.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self.sending.close()

    async def settle(self, later_ns: int = 0) -> None:
        self.now += later_ns
        self.sending.look_again()
        await asyncio.sleep(0.02)

    # -- what the broker brings

    def request(self, by: Ed25519PrivateKey | None = None, **changes: Any) -> bytes:
        """A pinned requester's request, with `changes`, whatever the rules say, signed `by`."""
        _, said = self.home.request(SPAN)
        return statements.sign(Kind.REQUEST, msgspec.structs.replace(said, **changes), by or self.home.requester.signs)

    def heard(self, payload: bytes) -> str:
        """What the log says of the newest refusal after this came in; "asked" if the owner was."""
        before = len(self.home.ledger.requests())
        self.intake.on_request(payload)
        if len(self.home.ledger.requests()) > before:
            return "asked"
        notes = [e.details for e in self.home.ledger.entries() if e.what in ("request-refused", "withdrawal-refused")]
        return str(msgspec.json.decode(notes[-1])["reason"])

    # -- what an owner (or one who would be) sends

    def ask(self) -> str:
        """An honest request; its id."""
        token, said = self.home.request(SPAN)
        assert self.heard(token) == "asked"
        return said.id

    def yes(self, request: str, *, sound: bool = False, **changes: Any) -> tuple[Decision, ClipKeys]:
        """An honest decision over the clip, with `changes`, and the keys for it."""
        file = self.home.clips.ring.read(self.clip.sequence)
        keys = ClipKeys(unwrap_clip_key(file.header, file.wraps, self.home.owner.opens), header_hash(file.header))
        part = share_clip(clip_facts(file), SPAN, sound=sound)
        assert part is not None
        asked = asked_of(self.home.ledger.request(request))
        decision = build_decision(asked, self.home.device_id, [part], now_ns=self.now, undo_ns=0)
        return msgspec.structs.replace(decision, **changes), keys

    async def decide(
        self, request: str, decision: Decision, keys: ClipKeys, *, by: Ed25519PrivateKey | None = None,
        to: bytes | None = None, releases: list[bytes] | None = None,
    ) -> None:  # fmt: skip
        token = sign_decision(decision, by or self.home.owner.signs)
        if releases is None and any(t.track not in ("video", "audio") for c in decision.clips for t in c.tracks):
            releases = [bytes(80)]
        if releases is None:
            recipient = to or self.home.requester.opens_public
            releases = seal_releases(token, decision, [keys] * len(decision.clips), recipient)
        await self.desk.decide(request, token, releases)


Attack = Callable[[House], Awaitable[str]]


@dataclass(frozen=True)
class Named:
    name: str
    group: str
    reason: str
    do: Attack


ATTACKS: list[Named] = []


def attack(group: str, reason: str) -> Callable[[Attack], Attack]:
    def keep(do: Attack) -> Attack:
        ATTACKS.append(Named(getattr(do, "__name__", "").strip("_").replace("_", " "), group, reason, do))
        return do

    return keep


async def reason_of(work: Awaitable[object] | Callable[[], object]) -> str:
    """The name of the refusal; "accepted" where there is none."""
    try:
        if callable(work):
            work()
        else:
            await work
    except Refused as e:
        return e.reason
    except NotThere:
        return "not-found"
    except DoorwardError as e:
        return type(e).__name__
    return "accepted"


# -- requests


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


MALLORY = new_keys()
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


@attack("request", "replayed")
async def the_same_request_again(house: House) -> str:
    token = house.request()
    house.heard(token)
    return house.heard(token)


@attack("request", "case-limit")
async def a_third_time_in_one_case(house: House) -> str:
    for _ in range(2):
        assert house.heard(house.home.request(SPAN)[0]) == "asked"
    return house.heard(house.home.request(SPAN)[0])


@attack("request", "requester-limit")
async def every_hour_another_case(house: House) -> str:
    for n in range(10):
        assert house.heard(house.home.request(SPAN, case=f"case {n}")[0]) == "asked"
    return house.heard(house.home.request(SPAN, case="one more")[0])


@attack("request", "blocked")
async def after_being_blocked(house: House) -> str:
    blocked = [Blocked(house.home.requester.kid, "Springfield Police", format_time(NOW))]
    house.home.ledger.put_settings(Settings(blocked=blocked), NOW, {})
    return house.heard(house.request())


@attack("request", "paused")
async def while_paused(house: House) -> str:
    house.home.ledger.put_settings(Settings(paused=Pause(None)), NOW, {})
    return house.heard(house.request())


@attack("request", "unknown-requester")
async def with_a_pinned_statement_that_ran_out(house: House) -> str:
    house.now += 2 * 10**9 * SECOND
    house.time.stepped_ns = 0
    _, said = house.home.request(SPAN)
    later = msgspec.structs.replace(said, issued=format_time(house.now), expires=format_time(house.now + HOUR))
    return house.heard(statements.sign(Kind.REQUEST, later, house.home.requester.signs))


@attack("request", "wrong-replaced")
async def in_place_of_somebody_elses_request(house: House) -> str:
    house.ask()
    (row,) = house.home.ledger.requests()
    theirs = dataclasses.replace(row, id=b64u(b"theirs".ljust(16)), hash=b64u(bytes(32)), requester=MALLORY.kid)
    house.home.ledger.admit(theirs, [], [])
    return house.heard(house.request(replaces=theirs.hash))


@attack("request", "unknown-requester")
async def a_stranger_withdraws_it(house: House) -> str:
    house.ask()
    (row,) = house.home.ledger.requests()
    return house.heard(sign_withdrawal(row.hash, MALLORY.kid, MALLORY.signs, NOW))


# -- decisions


def decides(name: str, reason: str, change: Callable[[House, Decision], Decision]) -> None:
    async def do(house: House) -> str:
        request = house.ask()
        decision, keys = house.yes(request)
        return await reason_of(house.decide(request, change(house, decision), keys))

    ATTACKS.append(Named(name, "decision", reason, do))


def part(decision: Decision, **changes: Any) -> Decision:
    (clip,) = decision.clips
    video = msgspec.structs.replace(clip.tracks[0], **changes)
    return msgspec.structs.replace(decision, clips=[msgspec.structs.replace(clip, tracks=[video])])


def other(**changes: Any) -> Callable[[House, Decision], Decision]:
    return lambda _house, decision: msgspec.structs.replace(decision, **changes)


def times(issued_h: int, expires_h: int) -> dict[str, str]:
    issued = format_time(NOW + issued_h * HOUR)
    return {"issued": issued, "not_before": issued, "expires": format_time(NOW + expires_h * HOUR)}


def of_clip(**changes: Any) -> Callable[[House, Decision], Decision]:
    return lambda _house, d: msgspec.structs.replace(d, clips=[msgspec.structs.replace(d.clips[0], **changes)])


decides("for another doorbell", "wrong-device", other(device=MALLORY.kid))
decides("for another request", "unknown-request", other(request=b64u(bytes(32))))
decides("to another requester", "wrong-requester", other(requester=MALLORY.kid))
decides("to another key of the requester", "wrong-requester", other(key=MALLORY.kid))
decides("for another purpose", "wrong-requester", other(purpose="Something else"))
decides("issued next week", "stale", other(**times(168, 200)))
decides("signed last week", "stale", other(**times(-200, -100)))
decides("good for a month", "malformed", other(expires=format_time(NOW + 720 * HOUR)))
decides("neither yes nor no", "malformed", other(answer="perhaps"))
decides("a yes to nothing", "malformed", other(clips=[]))
decides("a no with clips in it", "malformed", other(answer="decline"))
decides("a clip that nobody asked about", "unknown-clip", of_clip(clip=b64u(b"elsewhere".ljust(16))))
decides("another clip's header", "unknown-clip", of_clip(header=b64u(bytes(32))))
decides("records other than those seen", "changed", lambda _h, d: part(d, digest=b64u(bytes(32))))
decides("beyond the clip's end", "changed", lambda _h, d: part(d, last=99))
decides("from behind a key frame", "changed", lambda _h, d: part(d, first=2))
decides("from back to front", "malformed", lambda _h, d: part(d, first=5, last=3))
decides("a track that is never released", "malformed", lambda _h, d: part(d, track="about"))
decides("a track that does not exist", "malformed", lambda _h, d: part(d, track="thoughts"))
decides("the same clip twice", "malformed", lambda _h, d: msgspec.structs.replace(d, clips=[*d.clips, *d.clips]))


@attack("decision", "not-an-owner")
async def a_stranger_says_yes(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    return await reason_of(house.decide(request, decision, keys, by=MALLORY.signs))


@attack("decision", "not-an-owner")
async def the_requester_says_yes(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    return await reason_of(house.decide(request, decision, keys, by=house.home.requester.signs))


@attack("decision", "not-an-owner")
async def the_doorbell_says_yes_itself(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    return await reason_of(house.decide(request, decision, keys, by=house.home.device))


@attack("decision", "not-an-owner")
async def a_recovery_code_found_in_a_drawer_says_yes(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    return await reason_of(house.decide(request, decision, keys, by=house.home.recovery.signs))


@attack("decision", "not-an-owner")
async def a_phone_that_was_taken_out_says_yes(house: House) -> str:
    second = new_keys()
    add_owner(house, second)
    take_out(house)
    request = house.ask()
    decision, keys = house.yes(request)
    return await reason_of(house.decide(request, decision, keys, by=second.signs))


@attack("decision", "bad-signature")
async def one_bit_of_a_decision_flipped(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    token = bytearray(sign_decision(decision, house.home.owner.signs))
    token[-1] = ord("A") if token[-1] != ord("A") else ord("Q")
    releases = seal_releases(bytes(token), decision, [keys], house.home.requester.opens_public)
    return await reason_of(house.desk.decide(request, bytes(token), releases))


@attack("decision", "wrong-type")
async def an_older_version_of_the_statement(house: House) -> str:
    request = house.ask()
    decision, _ = house.yes(request)
    head = {"alg": "Ed25519", "typ": "doorward.decision.v0", "kid": house.home.owner.kid}
    token = jws.serialize_compact(
        head, to_json(decision), OKPKey.import_key(house.home.owner.signs), algorithms=["Ed25519"]
    )
    return await reason_of(house.desk.decide(request, token.encode(), []))


@attack("decision", "not-asked")
async def the_same_yes_again(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    house.home.ledger.decline(request, sign_decline(house, request), house.home.owner.kid, NOW)
    return await reason_of(house.decide(request, decision, keys))


@attack("decision", "void")
async def a_yes_that_was_taken_back(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    token = sign_decision(decision, house.home.owner.signs)
    releases = seal_releases(token, decision, [keys], house.home.requester.opens_public)
    await house.desk.decide(request, token, releases)
    house.desk.undo(request)
    return await reason_of(house.desk.decide(request, token, releases))


@attack("decision", "bad-release")
async def a_key_more_than_agreed(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    token = sign_decision(decision, house.home.owner.signs)
    (release,) = seal_releases(token, decision, [keys], house.home.requester.opens_public)
    return await reason_of(house.desk.decide(request, token, [release + bytes(32)]))


@attack("decision", "bad-release")
async def no_keys_at_all(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    return await reason_of(house.decide(request, decision, keys, releases=[]))


@attack("decision", "outside-span")
async def more_of_the_clip_than_was_asked_about(house: House) -> str:
    late = Span(NOW - 900 * SECOND - 55 * SECOND, NOW - 55 * SECOND)  # only the clip's first five seconds lie in it
    token, said = house.home.request(late)
    assert house.heard(token) == "asked"
    decision, keys = house.yes(said.id)
    return await reason_of(house.decide(said.id, decision, keys))


@attack("decision", "unknown-clip")
async def over_a_clip_that_was_deleted_since(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    house.desk.delete(house.clip.id, house.home.owner.kid)
    return await reason_of(house.decide(request, decision, keys))


@attack("decision", "not-trusted")
async def to_a_requester_whose_pin_ran_out_since(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    house.trusted._pinned.clear()
    return await reason_of(house.decide(request, decision, keys))


@attack("decision", "clock-not-set")
async def while_the_doorbell_does_not_know_the_time(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    house.time.is_known = False
    return await reason_of(house.decide(request, decision, keys))


def sign_decline(house: House, request: str) -> bytes:
    decision, _ = house.yes(request, answer="decline", clips=[])
    return sign_decision(decision, house.home.owner.signs)


# -- the list of owners, and the way in


def add_owner(house: House, keys: identity.KeyPair) -> bytes:
    current = house.home.ledger.owners()
    assert current is not None
    everybody = [*house.home.owner_set.owners, identity.owner_entry("Second phone", keys)]
    _, token = next_owner_set(current, house.home.device_id, everybody, NOW, house.home.owner)
    house.newcomers.take_over(OwnersBody(token.decode()))
    return token


def take_out(house: House) -> bytes:
    current = house.home.ledger.owners()
    assert current is not None
    _, token = next_owner_set(current, house.home.device_id, house.home.owner_set.owners, NOW, house.home.owner)
    house.newcomers.take_over(OwnersBody(token.decode()))
    return token


def owners(name: str, reason: str, make: Callable[[House], bytes]) -> None:
    async def do(house: House) -> str:
        token = make(house)
        return await reason_of(lambda: house.newcomers.take_over(OwnersBody(token.decode())))

    ATTACKS.append(Named(name, "owners", reason, do))


def next_set(house: House, signs: identity.KeyPair, *, device: str | None = None, people: int = 1) -> bytes:
    current = house.home.ledger.owners()
    assert current is not None
    new = [identity.owner_entry(f"phone {n}", new_keys()) for n in range(people)]
    made, _ = next_owner_set(current, house.home.device_id, new, NOW, signs)
    if device:
        made = msgspec.structs.replace(made, device=device)
    return statements.sign(Kind.OWNERS, made, signs.signs)


def replayed_set(house: House) -> bytes:
    second = new_keys()
    older = add_owner(house, second)
    take_out(house)
    return older


owners("a stranger makes themself an owner", "unknown-signer", lambda h: next_set(h, MALLORY))
owners("the requester makes themself an owner", "unknown-signer", lambda h: next_set(h, h.home.requester))
owners("an older list put back in force", "stale-owner-set", replayed_set)
owners("the first list again", "stale-owner-set", lambda h: h.home.owner_set_statement)
owners("a list made for another doorbell", "wrong-device", lambda h: next_set(h, h.home.owner, device=MALLORY.kid))
owners("a list with nobody in it", "no-owner", lambda h: next_set(h, h.home.owner, people=0))
owners("more than a list may have", "too-large", lambda _: b"A" * 20_000)
owners("a list of seventeen", "malformed", lambda h: next_set(h, h.home.owner, people=17))


@attack("owners", "stale-owner-set")
async def a_list_that_skips_a_version(house: House) -> str:
    current = house.home.ledger.owners()
    assert current is not None
    made, _ = next_owner_set(current, house.home.device_id, house.home.owner_set.owners, NOW, house.home.owner)
    token = statements.sign(Kind.OWNERS, msgspec.structs.replace(made, version=7), house.home.owner.signs)
    return await reason_of(lambda: house.newcomers.take_over(OwnersBody(token.decode())))


@attack("owners", "no-pairing")
async def pairing_when_nobody_opened_it(house: House) -> str:
    return await reason_of(lambda: house.doorkeeper.hello(b64u(bytes(32))))


@attack("owners", "wrong-secret")
async def pairing_by_guessing_the_code(house: House) -> str:
    house.home.ledger.open_pairing(secrets.token_bytes(16), NOW + HOUR, 5)
    return await reason_of(lambda: house.doorkeeper.hello(b64u(bytes(32))))


@attack("owners", "no-pairing")
async def guessing_the_code_a_sixth_time(house: House) -> str:
    house.home.ledger.open_pairing(secrets.token_bytes(16), NOW + HOUR, 5)
    for _ in range(5):
        assert await reason_of(lambda: house.doorkeeper.hello(b64u(bytes(32)))) == "wrong-secret"
    return await reason_of(lambda: house.doorkeeper.hello(b64u(bytes(32))))


@attack("owners", "wrong-secret")
async def the_doorbell_puts_its_own_key_into_an_invitation(house: House) -> str:
    invitation = Invitation("http://door.local", house.home.device_id, secrets.token_bytes(16))
    entry, _ = introduce(invitation, identity.owner_entry("Second phone", MALLORY))
    guessed = Invitation("http://door.local", house.home.device_id, bytes(16)).mac("doorward join v1", entry)
    return await reason_of(lambda: read_entry(invitation, entry, guessed))


@attack("owners", "not-found")
async def answering_an_invitation_nobody_made(house: House) -> str:
    return await reason_of(lambda: house.newcomers.put(b64u(bytes(16)), "{}", b64u(bytes(32))))


def session(house: House, keys: identity.KeyPair, *, device: str | None = None, later_ns: int = 0) -> str:
    challenge = house.doorkeeper.challenge()
    house.now += later_ns
    proof = SessionProof(device or house.home.device_id, challenge.challenge, format_time(NOW))
    return statements.sign(Kind.SESSION, proof, keys.signs).decode()


@attack("session", "unknown-signer")
async def a_stranger_signs_in(house: House) -> str:
    return await reason_of(lambda: house.doorkeeper.open_session(session(house, MALLORY)))


@attack("session", "no-session")
async def with_a_proof_made_for_another_doorbell(house: House) -> str:
    return await reason_of(lambda: house.doorkeeper.open_session(session(house, house.home.owner, device=MALLORY.kid)))


@attack("session", "no-session")
async def with_a_proof_seen_before(house: House) -> str:
    proof = session(house, house.home.owner)
    house.doorkeeper.open_session(proof)
    return await reason_of(lambda: house.doorkeeper.open_session(proof))


@attack("session", "no-session")
async def with_a_proof_that_comes_too_late(house: House) -> str:
    return await reason_of(
        lambda: house.doorkeeper.open_session(session(house, house.home.owner, later_ns=61 * SECOND))
    )


@attack("session", "no-session")
async def with_a_token_that_was_made_up(house: House) -> str:
    return await reason_of(lambda: house.doorkeeper.owner_of(b64u(secrets.token_bytes(32))))


@attack("session", "no-session")
async def with_the_token_of_a_phone_that_was_taken_out(house: House) -> str:
    second = new_keys()
    add_owner(house, second)
    token = house.doorkeeper.open_session(session(house, second)).token
    take_out(house)
    return await reason_of(lambda: house.doorkeeper.owner_of(token))


# -- the wire of a transfer


def pulls(name: str, payload: bytes, transfer: bytes = b"t" * 16) -> None:
    """A get that is none: nothing is said to it, neither a block nor a word."""

    async def do(house: House) -> str:
        await house.sending.on_get(b64u(transfer), payload)
        return "silence"

    ATTACKS.append(Named(name, "transfer", "silence", do))


pulls("asking for blocks nobody offered", to_json(Get(seq=1, ranges=[(0, 9)])))
pulls("asking with noise", secrets.token_bytes(500))
pulls("asking with a megabyte", b"[" * 1_000_000)
pulls("asking for everything there is", to_json(Get(seq=1, ranges=[(0, 2**62)])))


@attack("transfer", "silence")
async def asking_inside_the_undo_window(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    await house.decide(request, decision, keys)
    row = house.home.ledger.transfer(request)
    assert row is not None
    await house.sending.on_get(row.id, to_json(Get(seq=1, ranges=[(0, 3)])))
    await house.settle(SECOND)
    house.desk.undo(request)
    return "silence"


@attack("transfer", "silence")
async def asking_after_the_yes_was_taken_back(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    await house.decide(request, decision, keys)
    row = house.home.ledger.transfer(request)
    assert row is not None
    house.desk.undo(request)
    await house.settle(HOUR)
    await house.sending.on_get(row.id, to_json(Get(seq=1, ranges=[(0, 3)])))
    return "silence"


@attack("transfer", "silence")
async def a_yes_of_a_phone_that_is_taken_out_inside_the_window(house: House) -> str:
    """Stolen phone: it said yes; another owner takes it out before anything has left."""
    second = new_keys()
    add_owner(house, second)
    request = house.ask()
    decision, keys = house.yes(request)
    await house.decide(request, decision, keys, by=second.signs)
    take_out(house)
    await house.settle(HOUR)
    return "silence"


@attack("transfer", "silence")
async def a_receipt_for_what_was_never_sent(house: House) -> str:
    await house.sending.on_receipt(b64u(b"t" * 16), secrets.token_bytes(300))
    return "silence"


# -- all of them


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.mark.parametrize("named", ATTACKS, ids=lambda a: f"{a.group}: {a.name}")
async def test_each_attack_is_refused_by_name_and_moves_no_byte(house: House, named: Named) -> None:
    async with house.at_work():
        assert await named.do(house) == named.reason
        await house.settle()
        await house.settle(HOUR)
    assert house.sent == []


async def test_the_same_bench_sends_where_the_owner_says_yes(house: House) -> None:
    """The eyes of the test above are open: an honest yes is heard on the same wire."""
    async with house.at_work():
        request = house.ask()
        decision, keys = house.yes(request)
        await house.decide(request, decision, keys)
        await house.settle(HOUR)
    assert any(topic.endswith("/offer") for topic, _ in house.sent)


def test_there_are_sixty_attacks_and_the_page_names_them_all() -> None:
    assert len(ATTACKS) >= 60
    assert len({(a.group, a.name) for a in ATTACKS}) == len(ATTACKS)
    page = (ROOT / "docs" / "attacks.md").read_text()
    for one in ATTACKS:
        assert f"| {one.group} | {one.name} | `{one.reason}` |" in page, "python -m tests.unit.test_attacks writes it"


HEAD = """# Attacks

Each of these is made against a whole doorbell in `tests/unit/test_attacks.py`: it is refused by the name
beside it, and not a byte leaves. *silence*: nothing is said at all. On the wire every refusal of a request
is silence; the name stands in the owner's log. What a lying broker or doorbell can do to a requester is in
`tests/unit/test_evidence.py` and `tests/unit/test_receiving.py`: any change of any file is found and the
file named.

| what | attack | refused as |
|---|---|---|
"""


if __name__ == "__main__":
    rows = "".join(f"| {a.group} | {a.name} | `{a.reason}` |\n" for a in ATTACKS)
    (ROOT / "docs" / "attacks.md").write_text(HEAD + rows)
