"""Decisions that no owner made, or not about this, or not now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from joserfc import jws
from joserfc.jwk import OKPKey

from agent.core.encoding import b64u, format_time, to_json
from agent.core.release import Decision, seal_releases, sign_decision
from agent.core.timeline import Span
from tests.attacks.bench import HOUR, MALLORY, House, Named, Table, add_owner, reason_of, take_out
from tests.household import NOW, SECOND, new_keys

ATTACKS = Table()


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


@ATTACKS.attack("decision", "not-an-owner")
async def a_stranger_says_yes(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    return await reason_of(house.decide(request, decision, keys, by=MALLORY.signs))


@ATTACKS.attack("decision", "not-an-owner")
async def the_requester_says_yes(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    return await reason_of(house.decide(request, decision, keys, by=house.home.requester.signs))


@ATTACKS.attack("decision", "not-an-owner")
async def the_doorbell_says_yes_itself(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    return await reason_of(house.decide(request, decision, keys, by=house.home.device))


@ATTACKS.attack("decision", "not-an-owner")
async def a_recovery_code_found_in_a_drawer_says_yes(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    return await reason_of(house.decide(request, decision, keys, by=house.home.recovery.signs))


@ATTACKS.attack("decision", "not-an-owner")
async def a_phone_that_was_taken_out_says_yes(house: House) -> str:
    second = new_keys()
    add_owner(house, second)
    take_out(house)
    request = house.ask()
    decision, keys = house.yes(request)
    return await reason_of(house.decide(request, decision, keys, by=second.signs))


@ATTACKS.attack("decision", "bad-signature")
async def one_bit_of_a_decision_flipped(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    token = bytearray(sign_decision(decision, house.home.owner.signs))
    token[-1] = ord("A") if token[-1] != ord("A") else ord("Q")
    releases = seal_releases(bytes(token), decision, [keys], house.home.requester.opens_public)
    return await reason_of(house.desk.decide(request, bytes(token), releases))


@ATTACKS.attack("decision", "wrong-type")
async def an_older_version_of_the_statement(house: House) -> str:
    request = house.ask()
    decision, _ = house.yes(request)
    head = {"alg": "Ed25519", "typ": "doorward.decision.v0", "kid": house.home.owner.kid}
    token = jws.serialize_compact(
        head, to_json(decision), OKPKey.import_key(house.home.owner.signs), algorithms=["Ed25519"]
    )
    return await reason_of(house.desk.decide(request, token.encode(), []))


@ATTACKS.attack("decision", "not-asked")
async def a_yes_after_the_no(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    house.home.ledger.decline(request, sign_decline(house, request), house.home.owner.kid, NOW)
    return await reason_of(house.decide(request, decision, keys))


@ATTACKS.attack("decision", "void")
async def a_yes_that_was_taken_back(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    token = sign_decision(decision, house.home.owner.signs)
    releases = seal_releases(token, decision, [keys], house.home.requester.opens_public)
    await house.desk.decide(request, token, releases)
    house.desk.undo(request)
    return await reason_of(house.desk.decide(request, token, releases))


@ATTACKS.attack("decision", "bad-release")
async def a_key_more_than_agreed(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    token = sign_decision(decision, house.home.owner.signs)
    (release,) = seal_releases(token, decision, [keys], house.home.requester.opens_public)
    return await reason_of(house.desk.decide(request, token, [release + bytes(32)]))


@ATTACKS.attack("decision", "bad-release")
async def no_keys_at_all(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    return await reason_of(house.decide(request, decision, keys, releases=[]))


@ATTACKS.attack("decision", "outside-span")
async def more_of_the_clip_than_was_asked_about(house: House) -> str:
    late = Span(NOW - 900 * SECOND - 55 * SECOND, NOW - 55 * SECOND)  # only the clip's first five seconds lie in it
    token, said = house.home.request(late)
    assert house.heard(token) == "asked"
    decision, keys = house.yes(said.id)
    return await reason_of(house.decide(said.id, decision, keys))


@ATTACKS.attack("decision", "unknown-clip")
async def over_a_clip_that_was_deleted_since(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    house.desk.delete(house.clip.id, house.home.owner.kid)
    return await reason_of(house.decide(request, decision, keys))


@ATTACKS.attack("decision", "not-trusted")
async def to_a_requester_whose_pin_ran_out_since(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    house.trusted._pinned.clear()
    return await reason_of(house.decide(request, decision, keys))


@ATTACKS.attack("decision", "clock-not-set")
async def while_the_doorbell_does_not_know_the_time(house: House) -> str:
    request = house.ask()
    decision, keys = house.yes(request)
    house.time.is_known = False
    return await reason_of(house.decide(request, decision, keys))


def sign_decline(house: House, request: str) -> bytes:
    decision, _ = house.yes(request, answer="decline", clips=[])
    return sign_decision(decision, house.home.owner.signs)
