"""The first start of a state directory: device key, database, and a recovery code where no phone makes one.

Also opens a directory that was set up before. Sits beside the daemon because `replay` and `demo` need it as well.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core import identity, statements
from agent.core.encoding import b64u, format_time
from agent.core.identity import OwnerSet
from agent.core.statements import Kind
from agent.core.timeline import DoorbellTime
from agent.store.database import connect
from agent.store.ledger import Ledger
from agent.store.state import StateDirectory, device_id


@dataclass(frozen=True, slots=True)
class Opened:
    """A state directory ready for use. `recovery_code` only when this very call made it: show it, never keep it."""

    state: StateDirectory
    db: sqlite3.Connection
    device: Ed25519PrivateKey
    recovery_code: str | None


def open_state(state: StateDirectory, now_ns: int, random: Callable[[int], bytes], *, make_recovery: bool) -> Opened:
    """Set up what is missing. The caller holds the state directory's lock.

    Unavailable where the device key is gone: with another, nothing here is this doorbell's any more.
    """
    device = state.device_key(None if state.database.exists() else random(32))
    db = connect(state.database)
    ledger = Ledger(db)
    code = None
    if make_recovery and ledger.owners() is None:
        secret = identity.new_recovery_secret(random)
        keys = identity.recovery_keys(secret)
        code = identity.recovery_code(secret)
        first = OwnerSet(
            device=device_id(device),
            version=1,
            issued=format_time(now_ns),
            previous="",
            owners=[],
            recovery=[identity.recovery_entry(keys)],
        )
        token = statements.sign(Kind.OWNERS, first, keys.signs)
        identity.accept_owner_set(None, token, device_id(device), authorised_here=True)
        ledger.put_owners(1, token, now_ns)
    return Opened(state, db, device, code)


def pairing_link(
    ledger: Ledger,
    device: Ed25519PrivateKey,
    origin: str,
    time: DoorbellTime,
    secret: bytes,
    authority_hash: bytes = b"",
) -> str:
    """Open pairing for one phone; the link to show as a QR code. `authority_hash`: of the page's own CA, if any."""
    until_boot_ns = time.boot_ns() + identity.PAIRING_LIFE_NS
    ledger.open_pairing(secret, time.boot, until_boot_ns, identity.PAIRING_TRIES)
    return f"{origin}/pair#1.{b64u(secret)}.{device_id(device)}.{b64u(authority_hash)}"
