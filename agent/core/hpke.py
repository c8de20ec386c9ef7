"""HPKE as Doorward uses it: base mode, single shot, X25519, no additional data.

Owns the choice of suite and the translation of failures; the cryptography is pyca/cryptography's.
Source: RFC 9180; docs/spec/conventions.md.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from agent.core.errors import Corrupt

OVERHEAD_BYTES = 32 + 16  # encapsulated key and tag

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def seal(plaintext: bytes, recipient: bytes, info: bytes) -> bytes:
    """`enc ‖ ct` that only the holder of `recipient` (raw X25519 public key) can open. Corrupt for a useless key."""
    try:
        return _SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(recipient), info)
    except ValueError as e:  # wrong length, or a low-order point (RFC 9180 section 7.1.4)
        raise Corrupt("the recipient's public key is not a usable X25519 key") from e


def open_sealed(sealed: bytes, key: X25519PrivateKey, info: bytes) -> bytes:
    """The plaintext; Corrupt if it was sealed to another key, for another purpose (`info`), or altered."""
    try:
        return _SUITE.decrypt(sealed, key, info)
    except (InvalidTag, ValueError) as e:
        raise Corrupt("this was not sealed to this key, or it was altered") from e
