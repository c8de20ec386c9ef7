"""The audit chain: what was asked, prompted, decided, sent and received, each entry holding the hash of the one before.

Owns the bytes that are hashed and the check of a chain; the ledger stores it. Taking an entry out or altering one
breaks every later link. Source: docs/spec/audit.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from agent.core.encoding import b64u, format_time, to_json
from agent.core.errors import Corrupt

GENESIS = bytes(32)
Details = dict[str, str | int]


class AuditEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One link. `details` is JSON text, kept verbatim because it is hashed; `hash` and `previous` are b64u."""

    n: int
    time: str
    what: str
    details: str
    previous: str
    hash: str


def link(previous: AuditEntry | None, utc_ns: int, what: str, details: Details) -> AuditEntry:
    """The entry that follows `previous`."""
    n = previous.n + 1 if previous else 1
    before = previous.hash if previous else b64u(GENESIS)
    text = to_json(details).decode()
    time = format_time(utc_ns)
    return AuditEntry(n, time, what, text, before, _hash(n, time, what, text, before))


def _hash(n: int, time: str, what: str, details: str, previous: str) -> str:
    return b64u(hashlib.sha256(to_json([n, time, what, details, previous])).digest())


def check_chain(entries: Iterable[AuditEntry], after: AuditEntry | None = None) -> AuditEntry | None:
    """The head of an unbroken chain (None when empty), or of one that goes on from `after`, which was found good.

    Corrupt names the first entry that does not fit.
    """
    head = after
    for entry in entries:
        if entry.n != (head.n + 1 if head else 1) or entry.previous != (head.hash if head else b64u(GENESIS)):
            raise Corrupt(f"the log is broken before entry {entry.n}: an entry was removed, added or moved")
        if entry.hash != _hash(entry.n, entry.time, entry.what, entry.details, entry.previous):
            raise Corrupt(f"entry {entry.n} of the log was altered")
        head = entry
    return head
