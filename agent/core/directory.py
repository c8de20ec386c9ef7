"""A directory of requesters: a signed, versioned, expiring list of who may ask, kept by somebody the owner trusts.

Owns the statement and when one may follow another; where it comes from is of no account, because its signature by the
key pinned at setup makes it good and an older version is never taken again. Source: docs/spec/identity.md "Directory".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core import identity, statements
from agent.core.encoding import NS_PER_S, format_time, parse_time
from agent.core.errors import BadInput, Corrupt, Refused
from agent.core.identity import RequesterStatement
from agent.core.statements import Kind

NAME_LIMIT = 200
REQUESTERS_LIMIT = 256
VERSION_LIMIT = 2**53 - 1  # as much as JavaScript counts to
LIFE_LIMIT_NS = 400 * 86_400 * NS_PER_S


class Directory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payload of `doorward.directory.v1`. `requesters`: their own statements, verbatim."""

    name: str
    version: int
    issued: str
    expires: str
    requesters: list[str]


@dataclass(frozen=True, slots=True)
class Listing:
    """A directory that was read: what it says, and its requesters by kid with the statement each signed itself."""

    said: Directory
    requesters: Mapping[str, tuple[bytes, RequesterStatement]]

    def expired(self, now_ns: int) -> bool:
        """From then on nobody in it is trusted."""
        return now_ns >= parse_time(self.said.expires)


def read_directory(token: bytes, key: bytes) -> Listing:
    """The directory in `token`, signed by the raw Ed25519 `key`; Refused: the reasons of `statements.read`."""
    said = statements.read(Kind.DIRECTORY, token, identity.public_key(key), Directory)
    try:
        issued, expires = parse_time(said.issued), parse_time(said.expires)
    except BadInput as e:
        raise Refused("malformed", f"the directory: {e}") from e
    named = 1 <= len(said.name.strip()) <= len(said.name) <= NAME_LIMIT
    if not (named and 1 <= said.version <= VERSION_LIMIT):
        raise Refused("malformed", f"a directory has a name of 1 to {NAME_LIMIT} characters and a version from 1")
    if not issued < expires <= issued + LIFE_LIMIT_NS:
        raise Refused("malformed", "a directory expires after it is issued, at most 400 days after")
    if len(said.requesters) > REQUESTERS_LIMIT:
        raise Refused("malformed", f"a directory lists at most {REQUESTERS_LIMIT} requesters")
    listed: dict[str, tuple[bytes, RequesterStatement]] = {}
    for text in said.requesters:
        try:
            requester = identity.read_requester_statement(text.encode())
        except (Refused, Corrupt, UnicodeEncodeError) as e:
            raise Refused("malformed", f"a requester in the directory: {e}") from e
        if requester.id in listed:
            raise Refused("malformed", f"the directory lists {requester.id} twice")
        listed[requester.id] = (text.encode(), requester)
    return Listing(said, listed)


def accept_directory(current: bytes | None, token: bytes, key: bytes) -> Listing:
    """The directory in `token`, if it may follow `current`, the newest ever seen; else Refused by name.

    Refused("stale-directory"): it is older, or another of the same version.
    """
    new = read_directory(token, key)
    if current is not None and current != token:
        newest = read_directory(current, key).said.version
        if new.said.version <= newest:
            raise Refused(
                "stale-directory",
                f"this is version {new.said.version} of the directory; version {newest} has been seen already",
            )
    return new


def sign_directory(
    name: str, version: int, requesters: Sequence[bytes], key: Ed25519PrivateKey, *, now_ns: int, life_ns: int
) -> bytes:
    """The next version, checked as a doorbell would. BadInput names what is wrong with it."""
    said = Directory(
        name=name,
        version=version,
        issued=format_time(now_ns),
        expires=format_time(now_ns + life_ns),
        requesters=[statement.decode("ascii", "replace") for statement in requesters],
    )
    try:
        token = statements.sign(Kind.DIRECTORY, said, key)
        read_directory(token, statements.raw_public(key))
    except Refused as e:
        raise BadInput(str(e)) from e
    return token
