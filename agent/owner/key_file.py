"""The identity file of an owner on a computer: two private keys, behind a passphrase unless told otherwise.

scrypt (RFC 7914) and AES-256-GCM protect the keys; name, recovery's public half and the paired doorbell stand in the
clear. Written so that a power cut leaves the old file or the new one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from agent.core.encoding import b64u, from_b64u, from_json, to_json
from agent.core.errors import BadInput, Corrupt
from agent.core.identity import KeyPair, PublicKeys
from agent.store.durable import write_file

FORMAT = "doorward.owner.v1"
_SCRYPT_N = 2**15
_SCRYPT_N_LIMIT = 2**20
_FILE_LIMIT = 64 * 1024
_AAD = b"doorward owner keys v1"


class PairedDoorbell(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The doorbell this identity is an owner of: where, its key, and the authority (PEM) behind its certificate where
    that was named."""

    url: str
    id: str
    key: str
    authority: str = ""


class Protection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """scrypt's salt and cost (r = 8, p = 1), and the nonce of AES-256-GCM."""

    salt: str
    n: int
    nonce: str


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file. `keys`: the two private values (64 bytes), encrypted if `protection` is there.

    Who came back with a recovery code has its opening key behind them (32 bytes), for what was recorded before.
    """

    format: str
    name: str
    recovery: PublicKeys
    keys: str
    protection: Protection | None = None
    doorbell: PairedDoorbell | None = None


def make(name: str, seeds: bytes, recovery: PublicKeys, passphrase: str | None, random48: bytes) -> KeyFile:
    """A new identity from 64 random bytes (and 32 of a recovery code) of `seeds`; `random48` salts its protection."""
    if passphrase is None:
        return KeyFile(FORMAT, name, recovery, b64u(seeds))
    salt, nonce = random48[:32], random48[32:44]
    key = Scrypt(salt, 32, _SCRYPT_N, 8, 1).derive(passphrase.encode())
    sealed = AESGCM(key).encrypt(nonce, seeds, _AAD)
    return KeyFile(FORMAT, name, recovery, b64u(sealed), Protection(b64u(salt), _SCRYPT_N, b64u(nonce)))


def write(path: Path, content: KeyFile, *, new: bool) -> None:
    """Write the file, readable by its owner alone. BadInput where a `new` one would overwrite keys."""
    if new and path.exists():
        raise BadInput(f"{path} is there already; it may hold the only key to somebody's clips, so choose another name")
    write_file(path, msgspec.json.format(to_json(content), indent=1) + b"\n")


def with_doorbell(content: KeyFile, doorbell: PairedDoorbell, authority: str = "") -> KeyFile:
    """The same keys, paired with a doorbell whose certificate `authority` (PEM) is behind."""
    return msgspec.structs.replace(content, doorbell=msgspec.structs.replace(doorbell, authority=authority))


def read(path: Path) -> KeyFile:
    """The file's content, its keys still protected."""
    try:
        data = path.read_bytes()[: _FILE_LIMIT + 1]
    except OSError as e:
        raise BadInput(f"the identity file {path} cannot be read: {e.strerror}; 'doorward owner init' makes one") from e
    try:
        content = from_json(data, KeyFile, f"the identity file {path}")
    except Corrupt as e:
        raise BadInput(str(e)) from e
    if content.format != FORMAT or len(data) > _FILE_LIMIT:
        raise BadInput(f"{path} is not an owner's identity file of this version")
    return content


def unlock(content: KeyFile, passphrase: str | None) -> KeyPair:
    """The private keys. BadInput when the passphrase is missing or wrong."""
    sealed = from_b64u(content.keys)
    if content.protection is not None:
        guard = content.protection
        if passphrase is None:
            raise BadInput("this identity file needs its passphrase; set DOORWARD_PASSPHRASE or run it in a terminal")
        if guard.n > _SCRYPT_N_LIMIT or guard.n < 2 or guard.n & (guard.n - 1):
            raise Corrupt("the identity file asks for an impossible scrypt cost")
        key = Scrypt(from_b64u(guard.salt), 32, guard.n, 8, 1).derive(passphrase.encode())
        try:
            sealed = AESGCM(key).decrypt(from_b64u(guard.nonce, 12), sealed, _AAD)
        except InvalidTag as e:
            raise BadInput("the passphrase is not the one this identity file was made with") from e
    if len(sealed) not in (64, 96):
        raise Corrupt("the identity file does not hold two keys")
    keys = KeyPair.from_seeds(sealed[:32], sealed[32:64])
    return replace(keys, older=X25519PrivateKey.from_private_bytes(sealed[64:])) if len(sealed) == 96 else keys
