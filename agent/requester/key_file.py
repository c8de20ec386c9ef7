"""A requester's keys on disk, the statement a homeowner pins, and the requests sent with them.

The identity file holds two private keys in the clear, readable by its owner alone. Beside it lie `NAME.statement`, the
part to hand out, and the folder `NAME.requests` with every request sent, so that an answer is known to be one.
Source: docs/spec/identity.md "Requester".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from agent.core import statements
from agent.core.encoding import b64u, format_time, from_b64u, from_json, to_json
from agent.core.errors import BadInput, Corrupt, NotThere, Refused, Unavailable
from agent.core.identity import KeyPair, RequesterStatement, read_requester_statement
from agent.core.request import REQUESTER_TEXT_LIMIT, FootageRequest
from agent.core.statements import Kind
from agent.store.durable import write_file

FORMAT = "doorward.requester.identity.v1"
LIFE_NS = 2 * 365 * 86_400 * 1_000_000_000
_FILE_LIMIT = 64 * 1024
_HASH = re.compile(r"[A-Za-z0-9_-]{43}")


class _KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    signs: str
    opens: str
    statement: str


@dataclass(frozen=True, slots=True)
class RequesterIdentity:
    """Who asks: the keys, the statement by which homeowners know them, and the file they came from."""

    path: Path
    keys: KeyPair
    statement: bytes
    said: RequesterStatement

    @property
    def statement_path(self) -> Path:
        """The file to hand to homeowners."""
        return self.path.with_name(self.path.name + ".statement")

    @property
    def requests(self) -> Path:
        """The folder of requests sent."""
        return self.path.with_name(self.path.name + ".requests")

    def keep_request(self, token: bytes) -> None:
        """Remember a request, durably, before it is sent. Unavailable when the disk does not take it."""
        try:
            self.requests.mkdir(mode=0o700, exist_ok=True)
        except OSError as e:
            raise Unavailable(f"{self.requests} cannot be made: {e.strerror}") from e
        write_file(self.requests / f"{b64u(statements.digest(token))}.jws", token)

    def request(self, digest: str) -> bytes | None:
        """The request with this hash (b64u), if it was sent with this identity and not withdrawn since."""
        path = self.requests / f"{digest}.jws"
        if not _HASH.fullmatch(digest) or not path.is_file() or self._withdrawal(digest).exists():
            return None
        token = path.read_bytes()
        return token if b64u(statements.digest(token)) == digest else None

    def request_called(self, request: str) -> bytes:
        """The request with this id, sent with this identity. NotThere when there is none."""
        for path in sorted(self.requests.glob("*.jws")):
            token = path.read_bytes()
            if statements.unverified(Kind.REQUEST, token, FootageRequest).id == request:
                return token
        raise NotThere(f"no request '{request[:40]}' was sent with {self.path}; 'requester ask' said its id")

    def keep_withdrawal(self, digest: str, token: bytes) -> None:
        """Remember, durably and before it is sent, that the request with this hash was taken back."""
        write_file(self._withdrawal(digest), token)

    def withdrawn(self, digest: str) -> tuple[bytes, bytes] | None:
        """The request with this hash and its withdrawal, if it was taken back; else None."""
        path, request = self._withdrawal(digest), self.requests / f"{digest}.jws"
        if not _HASH.fullmatch(digest) or not path.is_file() or not request.is_file():
            return None
        return request.read_bytes(), path.read_bytes()

    def _withdrawal(self, digest: str) -> Path:
        return self.requests / f"{digest}.withdrawn"


def create(path: Path, agency: str, seeds: bytes, now_ns: int) -> RequesterIdentity:
    """Make the identity file from 64 random bytes, and the statement beside it. BadInput where a file is already."""
    if path.exists():
        raise BadInput(f"{path} is there already; homeowners may have pinned its keys, so choose another name")
    if not agency.strip() or len(agency) > REQUESTER_TEXT_LIMIT:
        raise BadInput(f"an agency's name has 1 to {REQUESTER_TEXT_LIMIT} characters")
    if not path.parent.is_dir():
        raise BadInput(f"there is no folder {path.parent} to put the identity file into")
    keys = KeyPair.from_seeds(seeds[:32], seeds[32:])
    said = RequesterStatement(
        id=keys.kid,
        agency=agency,
        signs=b64u(keys.signs_public),
        opens=b64u(keys.opens_public),
        issued=format_time(now_ns),
        expires=format_time(now_ns + LIFE_NS),
    )
    statement = statements.sign(Kind.REQUESTER, said, keys.signs)
    content = _KeyFile(FORMAT, b64u(seeds[32:]), b64u(seeds[:32]), statement.decode())
    identity = RequesterIdentity(path, keys, statement, said)
    write_file(path, msgspec.json.format(to_json(content), indent=1) + b"\n")
    write_file(identity.statement_path, statement, mode=0o644)
    return identity


def load(path: Path) -> RequesterIdentity:
    """The identity in `path`; BadInput, in one sentence, when it is none."""
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_LIMIT)
    except OSError as e:
        raise BadInput(
            f"the identity file {path} cannot be read: {e.strerror}; 'doorward requester init' makes one"
        ) from e
    try:
        content = from_json(data, _KeyFile, f"the identity file {path}")
        if content.format != FORMAT:
            raise Corrupt(f"{path} is not a requester's identity file of this version")
        keys = KeyPair.from_seeds(from_b64u(content.opens, 32), from_b64u(content.signs, 32))
        statement = content.statement.encode()
        said = read_requester_statement(statement)
        if said.id != keys.kid or said.opens != b64u(keys.opens_public):
            raise Corrupt(f"the keys in {path} are not those of the statement in it")
    except (Corrupt, Refused) as e:
        raise BadInput(str(e)) from e
    return RequesterIdentity(path, keys, statement, said)
