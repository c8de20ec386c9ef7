"""Changes of the owner set after the first pairing: letter boxes for newcomers, and the next signed set.

Letter boxes live in memory, ten minutes each; what is in them means nothing to the doorbell. A set is taken over
because an owner (or the recovery code) signed it. Source: docs/spec/identity.md "Another phone", "Owner set".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core import identity, statements
from agent.core.encoding import b64u, format_time, from_b64u
from agent.core.errors import NotThere, Refused
from agent.core.identity import Paired
from agent.core.joining import ENTRY_LIMIT, JOINING_LIFE_NS
from agent.core.owner_api import JoiningState, OwnersBody, Taken, Welcome
from agent.core.statements import Kind
from agent.core.timeline import DoorbellTime
from agent.store.ledger import Ledger
from agent.store.state import device_id

_SLOTS_LIMIT = 8


@dataclass(slots=True)
class _Box:
    closes_boot_ns: int
    entry: str | None = None
    mac: str = ""
    welcome: tuple[str, str] | None = None


class Newcomers:
    """`changed` is called when another owner set is in force.

    Boxes close by the boot clock, whatever the other is set to.
    """

    def __init__(
        self, ledger: Ledger, device: Ed25519PrivateKey, time: DoorbellTime, changed: Callable[[], None]
    ) -> None:
        self._ledger = ledger
        self._device = device
        self._time = time
        self._changed = changed
        self._boxes: dict[str, _Box] = {}

    def open(self, slot: str) -> JoiningState:
        """An owner opens a letter box. Refused("too-many") when there are eight."""
        from_b64u(slot, 16)
        now = self._time.boot_ns()
        self._boxes = {name: box for name, box in self._boxes.items() if box.closes_boot_ns > now}
        if len(self._boxes) >= _SLOTS_LIMIT and slot not in self._boxes:
            raise Refused("too-many", "too many invitations are open; wait ten minutes")
        self._boxes.setdefault(slot, _Box(now + JOINING_LIFE_NS))
        return self.look(slot)

    def look(self, slot: str) -> JoiningState:
        """What is in it, for the owner who opened it. NotThere when it has closed."""
        box = self._box(slot)
        closes = self._time.now() + box.closes_boot_ns - self._time.boot_ns()
        return JoiningState(format_time(closes), box.entry, box.mac)

    def put(self, slot: str, entry: str, mac: str) -> Welcome:
        """A newcomer's entry, once. Refused: too-large, taken."""
        box = self._box(slot)
        if len(entry.encode()) > ENTRY_LIMIT:
            raise Refused("too-large", f"a newcomer's entry has at most {ENTRY_LIMIT} bytes")
        from_b64u(mac, 32)
        if (box.entry, box.mac) not in ((None, ""), (entry, mac)):
            raise Refused("taken", "somebody has answered this invitation already; ask for a new one")
        box.entry, box.mac = entry, mac
        self._changed()
        return self.welcome(slot)

    def welcome(self, slot: str) -> Welcome:
        """What the newcomer waits for: the set it is in, once there is one."""
        owners, mac = self._box(slot).welcome or (None, "")
        return Welcome(owners, mac)

    def take_over(self, body: OwnersBody) -> Taken:
        """The next owner set, signed by somebody in the one in force. Refused by name, nothing changes then."""
        token = body.owners.encode()
        current = self._ledger.owners()
        new = identity.accept_owner_set(current, token, device_id(self._device), authorised_here=False)
        if not new.owners:
            raise Refused("no-owner", "a doorbell keeps at least one owner; let another phone in first")
        self._ledger.put_owners(new.version, token, self._time.now())
        box = self._boxes.get(body.slot or "")
        if box is not None:
            box.welcome = (body.owners, body.mac)
        self._changed()
        digest = b64u(statements.digest(token))
        return Taken(statements.sign(Kind.PAIRED, Paired(device_id(self._device), digest), self._device).decode())

    def _box(self, slot: str) -> _Box:
        box = self._boxes.get(slot)
        if box is None or box.closes_boot_ns <= self._time.boot_ns():
            raise NotThere("this invitation is not open any more; ask the owner for a new one")
        return box
