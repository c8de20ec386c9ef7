"""The doorbell that is attacked (all its parts but the network), and the table of attacks.

The attacker signs with keys of their own, replays what they saw, holds a pinned requester's key, a removed phone, or
the broker.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core import identity, statements
from agent.core.errors import DoorwardError, NotThere, Refused
from agent.core.joining import next_owner_set
from agent.core.owner_api import OwnersBody
from agent.core.release import Decision, build_decision, seal_releases, share_clip, sign_decision
from agent.core.sealing import ClipKeys, header_hash, unwrap_clip_key
from agent.core.statements import Kind
from agent.core.timeline import Span
from agent.disclosure.desk import asked_of
from agent.disclosure.intake import Intake
from agent.disclosure.sending import Sending
from agent.store.clips import clip_facts
from agent.store.early import Early
from tests.household import HOME, NOW, SECOND, new_keys
from tests.unit.test_http import Served

HOUR = 3600 * SECOND
SPAN = Span(NOW - 900 * SECOND, NOW)
MALLORY = new_keys()


class House(Served):
    """A doorbell with one clip somebody may ask for, its sender at work on a wire that remembers."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.sent: list[tuple[str, bytes]] = []
        self.clip = self.home.record_clip(NOW - 60 * SECOND)
        self.intake = Intake(
            self.home.ledger, Early(self.home.db), self.home.clips.index, HOME, self.trusted, self.bulletin, self.time,
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


class Table(list[Named]):
    """The attacks of one module."""

    def attack(self, group: str, reason: str) -> Callable[[Attack], Attack]:
        """Keeps the function below under its own name, in words."""

        def keep(do: Attack) -> Attack:
            self.append(Named(getattr(do, "__name__", "").replace("_", " "), group, reason, do))
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
