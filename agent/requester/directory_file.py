"""The key with which somebody keeps a directory of requesters, on disk, and the making of its next version.

The key file holds a private key in the clear, readable by its owner alone, with the name and the version made last, so
that none is used twice. Source: docs/spec/identity.md "Directory".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core import statements
from agent.core.directory import Listing, read_directory, sign_directory
from agent.core.encoding import b64u, from_b64u, from_json, to_json
from agent.core.errors import BadInput, Corrupt, Refused
from agent.core.statements import Kind
from agent.store.durable import write_file

FORMAT = "doorward.directory.key.v1"
_FILE_LIMIT = 64 * 1024


class _KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    name: str
    signs: str
    version: int


@dataclass(frozen=True, slots=True)
class Keeper:
    """Who keeps a directory. `version`: of the directory made last, 0 for none."""

    path: Path
    name: str
    key: Ed25519PrivateKey
    version: int

    @property
    def public(self) -> str:
        """What homeowners put into their configuration: the raw public key, b64u."""
        return b64u(statements.raw_public(self.key))

    def publish(self, requesters: Sequence[bytes], output: Path, *, now_ns: int, life_ns: int) -> Listing:
        """Write the next version of the directory to `output`. BadInput names what is wrong with it."""
        version = self.version + 1
        token = sign_directory(self.name, version, requesters, self.key, now_ns=now_ns, life_ns=life_ns)
        _write(self.path, self.name, self.key, version)  # a version that may have got out is never made again
        write_file(output, token, mode=0o644)
        return read_directory(token, statements.raw_public(self.key))


def create(path: Path, name: str, seed: bytes) -> Keeper:
    """Make the key file from 32 random bytes. BadInput where a file is already."""
    if path.exists():
        raise BadInput(f"{path} is there already; homeowners may have pinned its key, so choose another name")
    if not path.parent.is_dir():
        raise BadInput(f"there is no folder {path.parent} to put the key file into")
    key = Ed25519PrivateKey.from_private_bytes(seed)
    _write(path, name, key, 0)
    return Keeper(path, name, key, 0)


def load(path: Path) -> Keeper:
    """The keeper in `path`; BadInput, in one sentence, when it is none."""
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_LIMIT)
    except OSError as e:
        raise BadInput(f"the key file {path} cannot be read: {e.strerror}; 'doorward directory init' makes one") from e
    try:
        content = from_json(data, _KeyFile, f"the key file {path}")
        if content.format != FORMAT or content.version < 0:
            raise Corrupt(f"{path} is not a directory's key file of this version")
        key = Ed25519PrivateKey.from_private_bytes(from_b64u(content.signs, 32))
    except Corrupt as e:
        raise BadInput(str(e)) from e
    return Keeper(path, content.name, key, content.version)


def read(path: Path, key: str) -> Listing:
    """The directory in a file, by the key (b64u) it should be signed with. Refused by name, BadInput for a bad key."""
    try:
        with path.open("rb") as file:
            token = file.read(Kind.DIRECTORY.limit + 1).strip()
        raw = from_b64u(key, 32)
    except OSError as e:
        raise BadInput(f"the directory {path} cannot be read: {e.strerror}") from e
    except Corrupt as e:
        raise BadInput(f"'{key[:60]}' is not a directory's key: {e}") from e
    try:
        return read_directory(token, raw)
    except Refused as e:
        raise Refused(e.reason, f"the directory {path}: {e}") from e


def _write(path: Path, name: str, key: Ed25519PrivateKey, version: int) -> None:
    content = _KeyFile(FORMAT, name, b64u(key.private_bytes_raw()), version)
    write_file(path, msgspec.json.format(to_json(content), indent=1) + b"\n")
