"""The people of one doorbell, from an owner's side: let another phone in, join, remove, come back by recovery code.

Source: docs/spec/identity.md "Another phone", "Coming back".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from agent.adapters.owner_client import OwnerClient
from agent.core import identity, statements
from agent.core.encoding import b64u, from_b64u, key_id
from agent.core.errors import BadInput, Refused, Unavailable
from agent.core.identity import KeyPair, Owner, OwnerSet, Paired
from agent.core.joining import Invitation, introduce, next_owner_set, read_entry, read_welcome
from agent.core.owner_api import Device, JoinBody, JoiningBody, JoiningState, OwnersBody, Taken, Welcome
from agent.core.statements import Kind
from agent.owner.key_file import PairedDoorbell
from agent.owner.session import OwnerSession

_ASK_AGAIN_S = 0.5
_SHORTEST_KID = 6


async def people(session: OwnerSession) -> OwnerSet:
    """Who can open this doorbell's clips from now on."""
    return identity.read_owner_set(await session.owners(), session.doorbell.id)


async def newcomer(session: OwnerSession, invitation: Invitation, patience_s: float) -> Owner:
    """Wait at the letter box for whoever opens the invitation. Unavailable when nobody does."""
    await session.client.post("/api/joining", JoiningBody(invitation.slot), JoiningState)
    async with _patience(patience_s, "nobody opened the invitation"):
        while True:
            state = await session.client.get(f"/api/joining/{invitation.slot}", JoiningState)
            if state.entry is not None:
                return read_entry(invitation, state.entry.encode(), from_b64u(state.mac, 32))
            await asyncio.sleep(_ASK_AGAIN_S)


async def admit(session: OwnerSession, invitation: Invitation, who: Owner, now_ns: int) -> None:
    """Sign the newcomer into the owner set."""
    current = await session.owners()
    old = identity.read_owner_set(current, session.doorbell.id)
    _, token = next_owner_set(current, session.doorbell.id, [*old.owners, who], now_ns, session.keys)
    mac = b64u(invitation.mac("doorward joined v1", token))
    await _hand_over(session, OwnersBody(token.decode(), invitation.slot, mac))


async def remove(session: OwnerSession, name: str, now_ns: int) -> Owner:
    """Take an owner out, by name or the beginning of the key's id. BadInput unless exactly one is meant."""
    current = await session.owners()
    old = identity.read_owner_set(current, session.doorbell.id)
    meant = [o for o in old.owners if o.name == name or (len(name) >= _SHORTEST_KID and _kid(o).startswith(name))]
    if len(meant) != 1:
        names = ", ".join(f"'{o.name}' ({_kid(o)[:8]})" for o in old.owners)
        raise BadInput(f"'{name}' means {len(meant) or 'none'} of the owners {names}; write a name or a key's id")
    if len(old.owners) == 1:
        raise Refused("no-owner", "this is the only owner; let another phone in first")
    rest = [o for o in old.owners if o is not meant[0]]
    _, token = next_owner_set(current, session.doorbell.id, rest, now_ns, session.keys)
    await _hand_over(session, OwnersBody(token.decode()))
    return meant[0]


async def join(
    client: OwnerClient, invitation: Invitation, name: str, keys: KeyPair, patience_s: float
) -> PairedDoorbell:
    """Answer an invitation and wait until its owner has let this computer in."""
    device = await _device(client, invitation.device)
    who = identity.owner_entry(name, keys)
    entry, mac = introduce(invitation, who)
    path = f"/api/join/{invitation.slot}"
    await client.post(path, JoinBody(entry.decode(), b64u(mac)), Welcome)
    async with _patience(patience_s, "the owner did not answer"):
        while True:
            welcome = await client.get(path, Welcome)
            if welcome.owners is not None:
                read_welcome(invitation, welcome.owners.encode(), from_b64u(welcome.mac, 32), who)
                return PairedDoorbell(invitation.url, device.id, device.key)
            await asyncio.sleep(_ASK_AGAIN_S)


async def come_back(
    client: OwnerClient,
    url: str,
    recovery: KeyPair,
    me: Owner,
    *,
    alone: bool,
    now: Callable[[], int],
    keep_keys: Callable[[], None],
) -> PairedDoorbell:
    """Become an owner again with nothing but the recovery code; `alone` takes out everybody else (lost, stolen).

    `keep_keys` is called when the doorbell has taken the code, before it is told of `me`: until then nothing is lost
    with the keys, and from then on everything.
    """
    device = await client.get("/api/device", Device)
    doorbell = PairedDoorbell(url, device.id, device.key)
    session = OwnerSession(client, doorbell, recovery, now)
    try:
        await session.open()
    except Refused as e:
        raise Refused("not-an-owner", "this recovery code is not one of this doorbell's") from e
    current = await session.owners()
    old = identity.read_owner_set(current, device.id)
    others = [] if alone else old.owners
    _, token = next_owner_set(current, device.id, [*others, me], now(), recovery)
    keep_keys()
    await _hand_over(session, OwnersBody(token.decode()))
    return doorbell


async def _device(client: OwnerClient, expected: str) -> Device:
    device = await client.get("/api/device", Device)
    if device.id != expected or key_id(from_b64u(device.key, 32)) != expected:
        raise Refused("wrong-device", "this is not the doorbell the invitation is for")
    return device


async def _hand_over(session: OwnerSession, body: OwnersBody) -> None:
    taken = await session.client.post("/api/owners", body, Taken)
    keys = identity.public_key(from_b64u(session.doorbell.key, 32))
    said = statements.read(Kind.PAIRED, taken.paired.encode(), keys, Paired)
    if said.owners != b64u(statements.digest(body.owners.encode())):
        raise Refused("wrong-owner-set", "the doorbell took over another owner set than the one sent")


def _kid(owner: Owner) -> str:
    return key_id(from_b64u(owner.decides, 32))


@asynccontextmanager
async def _patience(seconds: float, what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as e:
        raise Unavailable(f"{what} within {seconds:.0f} s; try again") from e
