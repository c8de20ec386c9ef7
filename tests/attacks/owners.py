"""The list of owners, pairing, invitations and sessions."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import msgspec

from agent.core import identity, statements
from agent.core.encoding import b64u, format_time
from agent.core.identity import SessionProof
from agent.core.joining import Invitation, introduce, next_owner_set, read_entry
from agent.core.owner_api import OwnersBody
from agent.core.statements import Kind
from tests.attacks.bench import HOUR, MALLORY, House, Named, Table, add_owner, reason_of, take_out
from tests.household import NOW, SECOND, new_keys

ATTACKS = Table()


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


@ATTACKS.attack("owners", "stale-owner-set")
async def a_list_that_skips_a_version(house: House) -> str:
    current = house.home.ledger.owners()
    assert current is not None
    made, _ = next_owner_set(current, house.home.device_id, house.home.owner_set.owners, NOW, house.home.owner)
    token = statements.sign(Kind.OWNERS, msgspec.structs.replace(made, version=7), house.home.owner.signs)
    return await reason_of(lambda: house.newcomers.take_over(OwnersBody(token.decode())))


@ATTACKS.attack("owners", "no-pairing")
async def pairing_when_nobody_opened_it(house: House) -> str:
    return await reason_of(lambda: house.doorkeeper.hello(b64u(bytes(32))))


@ATTACKS.attack("owners", "wrong-secret")
async def pairing_by_guessing_the_code(house: House) -> str:
    house.home.ledger.open_pairing(secrets.token_bytes(16), house.time.boot, NOW + HOUR, 5)
    return await reason_of(lambda: house.doorkeeper.hello(b64u(bytes(32))))


@ATTACKS.attack("owners", "no-pairing")
async def guessing_the_code_a_sixth_time(house: House) -> str:
    house.home.ledger.open_pairing(secrets.token_bytes(16), house.time.boot, NOW + HOUR, 5)
    for _ in range(5):
        assert await reason_of(lambda: house.doorkeeper.hello(b64u(bytes(32)))) == "wrong-secret"
    return await reason_of(lambda: house.doorkeeper.hello(b64u(bytes(32))))


@ATTACKS.attack("owners", "wrong-secret")
async def the_doorbell_puts_its_own_key_into_an_invitation(house: House) -> str:
    invitation = Invitation("http://door.local", house.home.device_id, secrets.token_bytes(16))
    entry, _ = introduce(invitation, identity.owner_entry("Second phone", MALLORY))
    guessed = Invitation("http://door.local", house.home.device_id, bytes(16)).mac("doorward join v1", entry)
    return await reason_of(lambda: read_entry(invitation, entry, guessed))


@ATTACKS.attack("owners", "not-found")
async def answering_an_invitation_nobody_made(house: House) -> str:
    return await reason_of(lambda: house.newcomers.put(b64u(bytes(16)), "{}", b64u(bytes(32))))


def session(house: House, keys: identity.KeyPair, *, device: str | None = None, later_ns: int = 0) -> str:
    challenge = house.doorkeeper.challenge()
    house.now += later_ns
    proof = SessionProof(device or house.home.device_id, challenge.challenge, format_time(NOW))
    return statements.sign(Kind.SESSION, proof, keys.signs).decode()


@ATTACKS.attack("session", "unknown-signer")
async def a_stranger_signs_in(house: House) -> str:
    return await reason_of(lambda: house.doorkeeper.open_session(session(house, MALLORY)))


@ATTACKS.attack("session", "no-session")
async def with_a_proof_made_for_another_doorbell(house: House) -> str:
    return await reason_of(lambda: house.doorkeeper.open_session(session(house, house.home.owner, device=MALLORY.kid)))


@ATTACKS.attack("session", "no-session")
async def with_a_proof_seen_before(house: House) -> str:
    proof = session(house, house.home.owner)
    house.doorkeeper.open_session(proof)
    return await reason_of(lambda: house.doorkeeper.open_session(proof))


@ATTACKS.attack("session", "no-session")
async def with_a_proof_that_comes_too_late(house: House) -> str:
    return await reason_of(
        lambda: house.doorkeeper.open_session(session(house, house.home.owner, later_ns=61 * SECOND))
    )


@ATTACKS.attack("session", "no-session")
async def with_a_challenge_of_ones_own_making(house: House) -> str:
    made_up = (NOW + HOUR).to_bytes(8, "big") + secrets.token_bytes(24)
    proof = SessionProof(house.home.device_id, b64u(made_up), format_time(NOW))
    signed = statements.sign(Kind.SESSION, proof, house.home.owner.signs).decode()
    return await reason_of(lambda: house.doorkeeper.open_session(signed))


@ATTACKS.attack("session", "accepted")
async def a_stranger_asks_for_challenges_until_none_is_left(house: House) -> str:
    """There is no last one: the owner still comes in, by a challenge of before the flood and by one of after."""
    before = session(house, house.home.owner)
    for _ in range(10_000):
        house.doorkeeper.challenge()
    house.doorkeeper.open_session(before)
    return await reason_of(lambda: house.doorkeeper.open_session(session(house, house.home.owner)))


@ATTACKS.attack("session", "no-session")
async def with_a_token_that_was_made_up(house: House) -> str:
    return await reason_of(lambda: house.doorkeeper.owner_of(b64u(secrets.token_bytes(32))))


@ATTACKS.attack("session", "no-session")
async def with_the_token_of_a_phone_that_was_taken_out(house: House) -> str:
    second = new_keys()
    add_owner(house, second)
    token = house.doorkeeper.open_session(session(house, second)).token
    take_out(house)
    return await reason_of(lambda: house.doorkeeper.owner_of(token))
