"""How another phone or computer becomes an owner: the secret an owner's device makes, and what it proves.

The doorbell is the letter box in between and never sees the secret, so it cannot put a key of its own in the
newcomer's place. Owns the proofs and the next owner set; keeps nothing. Source: docs/spec/identity.md "Another phone".
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import urlsplit

from agent.core import identity, statements
from agent.core.encoding import b64u, format_time, from_b64u, from_json, to_json
from agent.core.errors import BadInput, Corrupt, Refused
from agent.core.identity import Owner, OwnerSet
from agent.core.statements import Kind

JOINING_LIFE_NS = 600 * 1_000_000_000
ENTRY_LIMIT = 1024
_SLOT = b"doorward join slot v1"


@dataclass(frozen=True, slots=True)
class Invitation:
    """What an owner's device shows a newcomer: where the doorbell is, which it is, and the secret (16 bytes)."""

    url: str
    device: str
    secret: bytes

    @property
    def slot(self) -> str:
        """The letter box at the doorbell: nobody who does not know the secret can name it."""
        return b64u(hashlib.sha256(_SLOT + self.secret).digest()[:16])

    @property
    def link(self) -> str:
        """To be opened on the new phone."""
        return f"{self.url}/pair#2.{b64u(self.secret)}.{self.device}."

    def mac(self, label: str, message: bytes) -> bytes:
        """HMAC-SHA256(secret, label ‖ message)."""
        return identity.pairing_mac(self.secret, label, message)


def read_invitation(text: str) -> Invitation:
    """An invitation link; BadInput for anything else."""
    try:
        parts = urlsplit(text.strip())
        fields = parts.fragment.split(".")
        if parts.scheme not in ("http", "https") or parts.path != "/pair" or len(fields) != 4 or fields[0] != "2":
            raise Corrupt("it must look like https://NAME.local:8443/pair#2.…")
        from_b64u(fields[2], 16)
        return Invitation(f"{parts.scheme}://{parts.netloc}", fields[2], from_b64u(fields[1], identity.SECRET_BYTES))
    except (Corrupt, ValueError) as e:
        raise BadInput(f"this is not an invitation link: {e}") from e


def introduce(invitation: Invitation, newcomer: Owner) -> tuple[bytes, bytes]:
    """(entry, mac): what the newcomer puts into the letter box."""
    entry = to_json(newcomer)
    return entry, invitation.mac("doorward join v1", entry)


def read_entry(invitation: Invitation, entry: bytes, mac: bytes) -> Owner:
    """Who is in the letter box, proved to have seen the invitation. Refused: wrong-secret, malformed."""
    if not hmac.compare_digest(invitation.mac("doorward join v1", entry), mac):
        raise Refused("wrong-secret", "somebody else answered this invitation; make a new one")
    try:
        newcomer = from_json(entry, Owner, "the newcomer's entry")
        from_b64u(newcomer.opens, 32)
        from_b64u(newcomer.decides, 32)
    except Corrupt as e:
        raise Refused("malformed", str(e)) from e
    if not 1 <= len(newcomer.name) <= 64:
        raise Refused("malformed", "an owner's name has 1 to 64 characters")
    return newcomer


def read_welcome(invitation: Invitation, owners: bytes, mac: bytes, newcomer: Owner) -> OwnerSet:
    """The owner set the inviting owner made, with the newcomer in it. Refused: wrong-secret, wrong-owner-set."""
    if not hmac.compare_digest(invitation.mac("doorward joined v1", owners), mac):
        raise Refused("wrong-secret", "this answer is not from the phone that invited; ask for a new invitation")
    taken = identity.read_owner_set(owners, invitation.device)
    if newcomer not in taken.owners:
        raise Refused("wrong-owner-set", "the new list of owners does not have this phone's keys in it")
    return taken


def next_owner_set(
    current: bytes, device: str, owners: list[Owner], issued_ns: int, signs: identity.KeyPair
) -> tuple[OwnerSet, bytes]:
    """(set, statement): the set after `current` with these `owners` and the same recovery, signed."""
    old = identity.read_owner_set(current, device)
    new = OwnerSet(
        device=device,
        version=old.version + 1,
        issued=format_time(issued_ns),
        previous=b64u(statements.digest(current)),
        owners=owners,
        recovery=old.recovery,
    )
    return new, statements.sign(Kind.OWNERS, new, signs.signs)
