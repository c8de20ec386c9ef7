"""What a broker or requester can say on the wire of a transfer."""

from __future__ import annotations

import secrets

from agent.core.encoding import b64u, to_json
from agent.core.transfer import Get
from tests.attacks.bench import HOUR, House, Named, Table, add_owner, take_out
from tests.household import SECOND, new_keys

ATTACKS = Table()


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


@ATTACKS.attack("transfer", "silence")
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


@ATTACKS.attack("transfer", "silence")
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


@ATTACKS.attack("transfer", "silence")
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


@ATTACKS.attack("transfer", "silence")
async def a_receipt_for_what_was_never_sent(house: House) -> str:
    await house.sending.on_receipt(b64u(b"t" * 16), secrets.token_bytes(300))
    return "silence"
