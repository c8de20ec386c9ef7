"""Who is who: device, owner and requester keys; the recovery code; the signed owner set; pairing's MACs.

Owns the rules for accepting a new owner set; never stores a key. Source: docs/spec/identity.md.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.core import hpke, statements
from agent.core.encoding import b64u, from_b64u, key_id, parse_time
from agent.core.errors import BadInput, Corrupt, Refused
from agent.core.statements import Kind

PEOPLE_LIMIT = 16
PAIRING_TRIES = 5
PAIRING_LIFE_NS = 600 * 1_000_000_000
SESSION_LIFE_NS = 12 * 3600 * 1_000_000_000
CHALLENGE_LIFE_NS = 60 * 1_000_000_000
SECRET_BYTES = 16

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1"})
_RECOVERY_CHECK = b"doorward recovery check v1"
_PAIRING_CHECK = b"doorward pairing check v1"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """One person's (or requester's) two keys: `opens` what is sealed to them, `signs` what they decide or ask.

    `older`: a recovery code's key, which opens what was recorded before this person came back with it.
    """

    opens: X25519PrivateKey
    signs: Ed25519PrivateKey
    older: X25519PrivateKey | None = None

    @classmethod
    def from_seeds(cls, opens: bytes, signs: bytes) -> KeyPair:
        """From two 32-byte private values."""
        return cls(X25519PrivateKey.from_private_bytes(opens), Ed25519PrivateKey.from_private_bytes(signs))

    @property
    def opens_public(self) -> bytes:
        """Raw X25519 public key."""
        return self.opens.public_key().public_bytes_raw()

    @property
    def signs_public(self) -> bytes:
        """Raw Ed25519 public key."""
        return self.signs.public_key().public_bytes_raw()

    @property
    def kid(self) -> str:
        """Key id of the signing key."""
        return key_id(self.signs_public)


class PublicKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The public half of a key pair, b64u: alone, a recovery code's entry in the owner set."""

    opens: str
    decides: str


class Owner(PublicKeys, frozen=True, forbid_unknown_fields=True):
    """A paired phone or computer."""

    name: str


class OwnerSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everybody who can open this doorbell's clips, signed by one who already could."""

    device: str
    version: int
    issued: str
    previous: str
    owners: list[Owner]
    recovery: list[PublicKeys]

    def recipients(self) -> list[bytes]:
        """Raw X25519 public keys that clips are sealed to."""
        return [from_b64u(person.opens, 32) for person in (*self.owners, *self.recovery)]

    def deciders(self) -> dict[str, Ed25519PublicKey]:
        """Keys that may decide, by kid: owners only; a recovery code opens and re-pairs, it does not disclose."""
        return _public_keys([owner.decides for owner in self.owners])

    def signers(self) -> dict[str, Ed25519PublicKey]:
        """Keys that may sign the next set, by kid."""
        return _public_keys([person.decides for person in (*self.owners, *self.recovery)])


class RequesterStatement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a homeowner pins: a requester's name and public keys, signed by itself."""

    id: str
    agency: str
    signs: str
    opens: str
    issued: str
    expires: str


class Paired(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The doorbell's word that it took over an owner set."""

    device: str
    owners: str


class SessionProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An owner's answer to a session challenge."""

    device: str
    challenge: str
    issued: str


def _public_keys(texts: list[str]) -> dict[str, Ed25519PublicKey]:
    raw = [from_b64u(text, 32) for text in texts]
    return {key_id(key): Ed25519PublicKey.from_public_bytes(key) for key in raw}


def public_key(raw: bytes) -> dict[str, Ed25519PublicKey]:
    """One raw Ed25519 key as a kid → key table for `statements.verify`. Corrupt if it is not 32 bytes."""
    if len(raw) != 32:
        raise Corrupt("an Ed25519 public key has 32 bytes")
    return {key_id(raw): Ed25519PublicKey.from_public_bytes(raw)}


def new_recovery_secret(random: Callable[[int], bytes]) -> bytes:
    """16 bytes for a new recovery code, drawn again until every browser can take it. Source: ADR 0045."""
    while True:
        secret = random(SECRET_BYTES)
        if all(seed[0] for seed in _recovery_seeds(secret)):
            return secret


def recovery_code(secret: bytes) -> str:
    """Seven groups of four characters that stand for 16 random bytes."""
    return _write_code(secret, _RECOVERY_CHECK)


def read_recovery_code(text: str) -> bytes:
    """The 16 bytes behind a recovery code; BadInput if it was mistyped."""
    return _read_code(text, _RECOVERY_CHECK, "recovery code")


def pairing_code(secret: bytes) -> str:
    """The pairing secret as a code to type."""
    return _write_code(secret, _PAIRING_CHECK)


def read_pairing_code(text: str) -> bytes:
    """The pairing secret behind a typed code; BadInput if it was mistyped."""
    return _read_code(text, _PAIRING_CHECK, "pairing code")


def _check_bits(secret: bytes, label: bytes) -> int:
    return int.from_bytes(hashlib.sha256(label + secret).digest()[:2], "big") >> 4


def _write_code(secret: bytes, label: bytes) -> str:
    if len(secret) != SECRET_BYTES:
        raise BadInput("a code stands for 16 bytes")
    bits = int.from_bytes(secret, "big") << 12 | _check_bits(secret, label)
    letters = "".join(_ALPHABET[bits >> 5 * i & 31] for i in reversed(range(28)))
    return "-".join(letters[i : i + 4] for i in range(0, 28, 4))


def _read_code(text: str, label: bytes, what: str) -> bytes:
    letters = "".join(text.split()).replace("-", "").upper().translate(_READ_AS)
    if len(letters) != 28 or not set(letters) <= set(_ALPHABET):
        raise BadInput(f"a {what} has seven groups of four letters and digits; compare it with what was written down")
    bits = 0
    for letter in letters:
        bits = bits << 5 | _ALPHABET.index(letter)
    secret = (bits >> 12).to_bytes(SECRET_BYTES, "big")
    if bits & 0xFFF != _check_bits(secret, label):
        raise BadInput(f"the {what} is mistyped somewhere: its check does not fit")
    return secret


def recovery_keys(secret: bytes) -> KeyPair:
    """The key pair a recovery code stands for."""
    return KeyPair.from_seeds(*_recovery_seeds(secret))


def _recovery_seeds(secret: bytes) -> tuple[bytes, bytes]:
    opens, decides = (
        HKDF(SHA256(), 32, b"doorward recovery v1", info).derive(secret) for info in (b"opens", b"decides")
    )
    return opens, decides


def recovery_entry(keys: KeyPair) -> PublicKeys:
    """What an owner set says of a recovery code."""
    return PublicKeys(opens=b64u(keys.opens_public), decides=b64u(keys.signs_public))


def owner_entry(name: str, keys: KeyPair) -> Owner:
    """What an owner set says of a phone or computer."""
    return Owner(name=name, opens=b64u(keys.opens_public), decides=b64u(keys.signs_public))


def read_owner_set(token: bytes, device: str) -> OwnerSet:
    """The well-formed owner set in `token`; whether its signer may sign it is `accept_owner_set`'s to say. Refused."""
    owners = statements.unverified(Kind.OWNERS, token, OwnerSet)
    try:
        parse_time(owners.issued)
        people: list[PublicKeys] = [*owners.owners, *owners.recovery]
        opens = {key_id(from_b64u(p.opens, 32)) for p in people}
        decides = {key_id(from_b64u(p.decides, 32)) for p in people}
        if owners.previous:
            from_b64u(owners.previous, 32)
    except (Corrupt, BadInput) as e:
        raise Refused("malformed", f"the owner set: {e}") from e
    if owners.device != device:
        raise Refused("wrong-device", "this owner set was made for another doorbell")
    if not owners.recovery:
        raise Refused("no-recovery", "an owner set needs a recovery code, or a lost phone would lose every clip")
    if not len(opens) == len(decides) == len(people) <= PEOPLE_LIMIT or owners.version < 1:
        raise Refused("malformed", f"an owner set names at most {PEOPLE_LIMIT} different keys")
    if not all(1 <= len(owner.name) <= 64 for owner in owners.owners):
        raise Refused("malformed", "an owner's name has 1 to 64 characters")
    return owners


def accept_owner_set(current: bytes | None, token: bytes, device: str, *, authorised_here: bool) -> OwnerSet:
    """The set in `token`, if it may follow `current` on this device; else Refused by name (docs/spec/identity.md).

    `authorised_here`: the pairing secret's MAC came with it, or the doorbell itself made it at its first start.
    """
    new = read_owner_set(token, device)
    old = read_owner_set(current, device) if current else None
    if new.version != (old.version + 1 if old else 1):
        raise Refused("stale-owner-set", f"the doorbell has owner set {old.version if old else 0} already")
    if new.previous != (b64u(statements.digest(current)) if current else ""):
        raise Refused("stale-owner-set", "this owner set does not follow the one the doorbell has")
    may_sign = old.signers() if old else {}
    if authorised_here and not (old and old.owners):
        may_sign = may_sign | new.signers()
    statements.verify(Kind.OWNERS, token, may_sign)
    for public in new.recipients():
        try:
            hpke.seal(b"", public, b"")  # a useless key found now, not when the next clip begins
        except Corrupt as e:
            raise Refused("malformed", f"the owner set: {e}") from e
    return new


def pairing_mac(secret: bytes, label: str, message: bytes) -> bytes:
    """HMAC-SHA256(secret, label ‖ message): proof of having seen the QR code. Labels: docs/spec/identity.md."""
    return hmac.digest(secret, label.encode() + message, "sha256")


def check_pairing_mac(secret: bytes, label: str, message: bytes, claimed: bytes) -> None:
    """Refused("wrong-secret") unless `claimed` is the MAC."""
    if not hmac.compare_digest(pairing_mac(secret, label, message), claimed):
        raise Refused("wrong-secret", "the pairing code is not the one on the doorbell")


def read_requester_statement(token: bytes) -> RequesterStatement:
    """A self-signed requester statement, well-formed and signed by the key it names; else Refused."""
    said = statements.unverified(Kind.REQUESTER, token, RequesterStatement)
    try:
        signs = from_b64u(said.signs, 32)
        from_b64u(said.opens, 32)
        parse_time(said.issued)
        parse_time(said.expires)
    except (Corrupt, BadInput) as e:
        raise Refused("malformed", f"the requester statement: {e}") from e
    if said.id != key_id(signs) or not 1 <= len(said.agency) <= 200:
        raise Refused("malformed", "the requester statement's id or agency is not as specified")
    statements.verify(Kind.REQUESTER, token, public_key(signs))
    return said
