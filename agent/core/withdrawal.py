"""A requester takes a request back: the statement, and the doorbell's judgement of it.

It can only lessen what happens, so it is taken from whoever signed the request even when that requester is no longer
trusted to ask. Never answered on the wire. Source: docs/spec/request.md "Withdrawal".
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core import identity, statements
from agent.core.encoding import ID_BYTES, format_time, from_b64u, from_json, parse_time
from agent.core.errors import BadInput, Corrupt, Refused
from agent.core.identity import RequesterStatement
from agent.core.statements import Kind


class Withdrawal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payload of `doorward.withdrawal.v1`. `request`: hash of the request statement, b64u."""

    request: str
    requester: str
    issued: str


def sign_withdrawal(request_hash: str, requester: str, key: Ed25519PrivateKey, now_ns: int) -> bytes:
    """The statement that takes a request back."""
    return statements.sign(Kind.WITHDRAWAL, Withdrawal(request_hash, requester, format_time(now_ns)), key)


def judge_withdrawal(
    token: bytes,
    statement_of: Callable[[str], RequesterStatement | None],
    asker_of: Callable[[str], str | None],
) -> Withdrawal:
    """A withdrawal of a request that is here, by who asked it; Refused by the reasons of docs/spec/request.md.

    `statement_of`: kid of a requester who has asked here → its statement. `asker_of`: request hash → kid of who asked.
    """
    try:
        kid = statements.signer(Kind.WITHDRAWAL, token)
    except Refused as e:
        raise Refused("too-large" if e.reason == "too-large" else "bad-signature", str(e)) from e
    requester = statement_of(kid)
    if requester is None:
        raise Refused("unknown-requester", "the withdrawal is signed by nobody who has asked here")
    try:
        payload = statements.verify(Kind.WITHDRAWAL, token, identity.public_key(from_b64u(requester.signs, 32)))
    except Refused as e:
        raise Refused("bad-signature", str(e)) from e
    try:
        said = from_json(payload, Withdrawal, "the withdrawal")
        from_b64u(said.request, 32)
        from_b64u(said.requester, ID_BYTES)
        parse_time(said.issued)
    except (Corrupt, BadInput) as e:
        raise Refused("malformed", f"the withdrawal: {e}") from e
    if said.requester != requester.id or asker_of(said.request) != requester.id:
        raise Refused("unknown-request", "nothing that this requester asked here has this hash")
    return said
