"""Signed statements: JWS in compact form, verified before anything in them is parsed.

Owns the envelope only; what a statement says is its own module's concern. Statements are kept and hashed as the
verbatim bytes that arrived. Source: RFC 7515, RFC 8037, RFC 9864; docs/spec/conventions.md "Statement".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from agent.core.encoding import from_b64u, from_json, key_id, to_json
from agent.core.errors import Corrupt, Refused

_ALGORITHM = "Ed25519"

# The y coordinates of the points of order 1, 2, 4 and 8: with one of them as key, a signature that anybody can make
# verifies over every message (RFC 8032 leaves the check to the user; SmallOrderPublicKey in Project Wycheproof).
_PRIME = 2**255 - 19
_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = {0, 1, _PRIME - 1, _ORDER_8, _PRIME - _ORDER_8}

T = TypeVar("T")


class Kind(Enum):
    """The statement types, each with its `typ` and the most bytes a statement of it may have."""

    MANIFEST = ("doorward.manifest.v1", 512 * 1024)
    CLOCK = ("doorward.clock.v1", 16 * 1024)
    OWNERS = ("doorward.owners.v1", 16 * 1024)
    PAIRED = ("doorward.paired.v1", 4 * 1024)
    SESSION = ("doorward.session.v1", 4 * 1024)
    REQUESTER = ("doorward.requester.v1", 4 * 1024)
    DIRECTORY = ("doorward.directory.v1", 512 * 1024)
    REQUEST = ("doorward.request.v1", 64 * 1024)
    WITHDRAWAL = ("doorward.withdrawal.v1", 4 * 1024)
    DECISION = ("doorward.decision.v1", 64 * 1024)
    OFFER = ("doorward.offer.v1", 96 * 1024)
    END = ("doorward.end.v1", 4 * 1024)
    RECEIPT = ("doorward.receipt.v1", 4 * 1024)

    def __init__(self, typ: str, limit: int) -> None:
        self.typ = typ
        self.limit = limit


class _AnySize(jws.JWSRegistry):
    """Without joserfc's own limit of 128,000 bytes: each kind has its limit, and some a larger one."""

    max_payload_length = max(kind.limit for kind in Kind)


_REGISTRY = _AnySize(algorithms=[_ALGORITHM])


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    alg: str
    typ: str
    kid: str


def raw_public(key: Ed25519PrivateKey | Ed25519PublicKey) -> bytes:
    """The 32 raw bytes of the public key."""
    public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
    return public.public_bytes_raw()


def sign(kind: Kind, payload: msgspec.Struct, key: Ed25519PrivateKey) -> bytes:
    """The statement saying `payload`, signed by `key`. Refused("too-large") when it would break its own limit."""
    header = {"alg": _ALGORITHM, "typ": kind.typ, "kid": key_id(raw_public(key))}
    token = jws.serialize_compact(header, to_json(payload), OKPKey.import_key(key), algorithms=[_ALGORITHM]).encode()
    if len(token) > kind.limit:
        raise Refused("too-large", f"a {kind.typ} statement of {len(token)} bytes is over its limit of {kind.limit}")
    return token


def signer(kind: Kind, token: bytes) -> str:
    """The kid the statement claims, unverified: only good for looking up which trusted key to verify with."""
    return _split(kind, token)[0].kid


def claims(kind: Kind, token: bytes) -> bool:
    """Whether `token` calls itself a statement of this kind: where two kinds share a topic."""
    try:
        _split(kind, token)
    except Refused:
        return False
    return True


def verify(kind: Kind, token: bytes, keys: Mapping[str, Ed25519PublicKey]) -> bytes:
    """The payload bytes of `token` if one of the trusted `keys` (by kid) signed it, else Refused.

    Reasons: too-large, malformed, wrong-type, unknown-signer, weak-key, bad-signature.
    """
    header, text = _split(kind, token)
    key = keys.get(header.kid)
    if key is None:
        raise Refused("unknown-signer", f"the {kind.typ} statement is signed by a key nobody here trusts")
    if key_id(raw_public(key)) != header.kid:
        raise Refused("unknown-signer", "the key offered for verification is not the one the statement names")
    if _of_small_order(raw_public(key)):
        raise Refused("weak-key", f"the key of the {kind.typ} statement is one that everybody can sign with")
    try:
        return jws.deserialize_compact(text, OKPKey.import_key(key), registry=_REGISTRY).payload
    except (JoseError, ValueError) as e:
        raise Refused("bad-signature", f"the signature of the {kind.typ} statement does not verify") from e


def read(kind: Kind, token: bytes, keys: Mapping[str, Ed25519PublicKey], payload: type[T]) -> T:
    """`verify`, then the payload as a `payload` Struct. Refused("malformed") when it is signed nonsense."""
    try:
        return from_json(verify(kind, token, keys), payload, f"the {kind.typ} statement")
    except Corrupt as e:
        raise Refused("malformed", str(e)) from e


def unverified(kind: Kind, token: bytes, payload: type[T]) -> T:
    """The payload without checking who signed it: for a statement that carries its own key, before `verify`."""
    try:
        return from_json(from_b64u(_split(kind, token)[1].split(".")[1]), payload, f"the {kind.typ} statement")
    except Corrupt as e:
        raise Refused("malformed", str(e)) from e


def digest(token: bytes) -> bytes:
    """The hash of a statement: SHA-256 over its verbatim bytes."""
    return hashlib.sha256(token).digest()


def _of_small_order(public: bytes) -> bool:
    y = int.from_bytes(public, "little") & ((1 << 255) - 1)  # the top bit is the sign of x
    return y % _PRIME in _SMALL_ORDER


def _split(kind: Kind, token: bytes) -> tuple[_Header, str]:
    if len(token) > kind.limit:
        raise Refused("too-large", f"a {kind.typ} statement may have {kind.limit} bytes, this one has {len(token)}")
    try:
        text = token.decode("ascii")
        parts = text.split(".")
        if len(parts) != 3:
            raise Corrupt("a compact JWS has three parts")
        for part in parts:
            from_b64u(part)
        header = from_json(from_b64u(parts[0]), _Header, "the JWS header")
    except (UnicodeDecodeError, Corrupt) as e:
        raise Refused("malformed", f"this is not a signed statement: {e}") from e
    if header.alg != _ALGORITHM:
        raise Refused("malformed", f"statements are signed with {_ALGORITHM}, not with '{header.alg[:20]}'")
    if header.typ != kind.typ:
        raise Refused("wrong-type", f"expected a {kind.typ} statement, found '{header.typ[:40]}'")
    return header, text
