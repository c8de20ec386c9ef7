"""Codes survive handwriting, owner sets cannot be rolled back or smuggled in, statements are verified before read."""

from __future__ import annotations

import contextlib
import secrets

import msgspec
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from agent.core import identity, statements
from agent.core.encoding import b64u, check_id, format_time, from_b64u, new_id, parse_time
from agent.core.errors import BadInput, Corrupt, Refused
from agent.core.identity import KeyPair, OwnerSet
from agent.core.statements import Kind
from tests.household import NOW, new_keys

DEVICE = b64u(bytes(16))
INFOS = (b"opens", b"decides")


class Said(msgspec.Struct, forbid_unknown_fields=True):
    text: str


def a_set(version: int, previous: str, signer: KeyPair, owners: list[KeyPair], recovery: list[KeyPair]) -> bytes:
    said = OwnerSet(
        DEVICE,
        version,
        format_time(NOW),
        previous,
        [identity.owner_entry("phone", keys) for keys in owners],
        [identity.recovery_entry(keys) for keys in recovery],
    )
    return statements.sign(Kind.OWNERS, said, signer.signs)


def digest(token: bytes) -> str:
    return b64u(statements.digest(token))


@given(st.binary(min_size=16, max_size=16))
def test_a_recovery_code_reads_back_however_it_is_written(secret: bytes) -> None:
    code = identity.recovery_code(secret)
    assert len(code) == 34
    sloppy = code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    assert identity.read_recovery_code(code) == identity.read_recovery_code(sloppy) == secret


def test_a_new_recovery_code_has_no_key_that_a_browser_loses() -> None:
    """One whose "opens" begins with a zero byte, one whose "decides" does, then one that will do."""
    drawn = [number.to_bytes(16, "big") for number in (544, 42, 1)]
    seeds = [HKDF(SHA256(), 32, b"doorward recovery v1", info).derive(secret) for secret in drawn for info in INFOS]
    assert [seed[0] == 0 for seed in seeds] == [True, False, False, True, False, False]
    left = iter(drawn)
    assert identity.new_recovery_secret(lambda count: next(left)[:count]) == drawn[2]


def test_a_mistyped_recovery_code_is_noticed() -> None:
    code = identity.recovery_code(secrets.token_bytes(16))
    noticed = 0
    for at, letter in enumerate(code):
        for other in "0123456789ABCDEFGHJKMNPQRSTVWXYZ":
            if letter not in ("-", other):
                try:
                    identity.read_recovery_code(code[:at] + other + code[at + 1 :])
                except BadInput:
                    noticed += 1
    assert noticed >= 28 * 31 * 0.99, "a twelve-bit check lets one in 4096 through"
    for nonsense in ("", "0000", code + "0", "U" * 28):
        with pytest.raises(BadInput, match="recovery code"):
            identity.read_recovery_code(nonsense)


def test_a_pairing_code_is_no_recovery_code() -> None:
    secret = bytes(range(16))
    assert identity.read_pairing_code(identity.pairing_code(secret)) == secret
    with pytest.raises(BadInput):
        identity.read_recovery_code(identity.pairing_code(secret))


def test_the_first_owner_set_needs_the_pairing_secret() -> None:
    phone, recovery = new_keys(), new_keys()
    token = a_set(1, "", phone, [phone], [recovery])
    assert identity.accept_owner_set(None, token, DEVICE, authorised_here=True).version == 1
    with pytest.raises(Refused, match="nobody here trusts"):
        identity.accept_owner_set(None, token, DEVICE, authorised_here=False)


def test_a_later_set_is_signed_by_an_owner_of_the_one_before() -> None:
    phone, second, stranger, recovery = (new_keys() for _ in range(4))
    first = a_set(1, "", phone, [phone], [recovery])
    good = a_set(2, digest(first), phone, [phone, second], [recovery])
    assert len(identity.accept_owner_set(first, good, DEVICE, authorised_here=False).owners) == 2
    by_recovery = a_set(2, digest(first), recovery, [second], [recovery])
    assert identity.accept_owner_set(first, by_recovery, DEVICE, authorised_here=False)
    smuggled = a_set(2, digest(first), stranger, [phone, stranger], [recovery])
    for authorised in (False, True):
        with pytest.raises(Refused) as refusal:
            identity.accept_owner_set(first, smuggled, DEVICE, authorised_here=authorised)
        assert refusal.value.reason == "unknown-signer"


def test_an_older_or_unrelated_set_is_refused() -> None:
    phone, recovery = new_keys(), new_keys()
    first = a_set(1, "", phone, [phone], [recovery])
    second = a_set(2, digest(first), phone, [phone], [recovery])
    for old in (
        first,
        second,
        a_set(3, digest(first), phone, [phone], [recovery]),
        a_set(4, "", phone, [phone], [recovery]),
    ):
        with pytest.raises(Refused) as refusal:
            identity.accept_owner_set(second, old, DEVICE, authorised_here=True)
        assert refusal.value.reason == "stale-owner-set"


def test_a_set_without_recovery_or_with_a_useless_key_is_refused() -> None:
    phone = new_keys()
    with pytest.raises(Refused) as refusal:
        identity.accept_owner_set(None, a_set(1, "", phone, [phone], []), DEVICE, authorised_here=True)
    assert refusal.value.reason == "no-recovery"
    bad = identity.PublicKeys(opens=b64u(bytes(32)), decides=b64u(phone.signs_public))
    said = OwnerSet(DEVICE, 1, format_time(NOW), "", [], [bad])
    token = statements.sign(Kind.OWNERS, said, phone.signs)
    with pytest.raises(Refused, match="usable X25519"):
        identity.accept_owner_set(None, token, DEVICE, authorised_here=True)


@pytest.mark.parametrize("kind", Kind)
def test_a_statement_as_large_as_its_kind_may_be_verifies(kind: Kind) -> None:
    keys = new_keys()
    text = "x" * ((kind.limit - 300) * 3 // 4)
    token = statements.sign(kind, Said(text), keys.signs)
    assert kind.limit - 300 < len(token) <= kind.limit
    assert statements.read(kind, token, identity.public_key(keys.signs_public), Said).text == text


def test_a_statement_is_refused_by_name() -> None:
    keys, other = new_keys(), new_keys()
    known = identity.public_key(keys.signs_public)
    token = statements.sign(Kind.SESSION, Said("hello"), keys.signs)
    assert statements.read(Kind.SESSION, token, known, Said).text == "hello"
    header, payload, signature = token.split(b".")
    none = b64u(b'{"alg":"none","typ":"doorward.session.v1","kid":"%s"}' % keys.kid.encode()).encode()
    extra = b64u(b'{"alg":"Ed25519","typ":"doorward.session.v1","kid":"%s","crit":["x"]}' % keys.kid.encode()).encode()
    cases = {
        "unknown-signer": statements.sign(Kind.SESSION, Said("hello"), other.signs),
        "wrong-type": statements.sign(Kind.PAIRED, Said("hello"), keys.signs),
        "bad-signature": b".".join((header, b64u(b'{"text":"hullo"}').encode(), signature)),
        "too-large": token + b"A" * 5000,
    }
    for reason, bad in cases.items():
        with pytest.raises(Refused) as refusal:
            statements.verify(Kind.SESSION, bad, known)
        assert refusal.value.reason == reason
    for bad in (b".".join((none, payload, b"")), b".".join((extra, payload, signature)), b"", b"a.b", token + b"="):
        with pytest.raises(Refused) as refusal:
            statements.verify(Kind.SESSION, bad, known)
        assert refusal.value.reason in ("malformed", "bad-signature")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_statement_or_refused(data: bytes) -> None:
    with contextlib.suppress(Refused):
        statements.verify(Kind.SESSION, data, {})
    with contextlib.suppress(Refused):
        identity.read_owner_set(data, DEVICE)


@given(st.text(max_size=40))
def test_b64u_has_one_spelling(text: str) -> None:
    with contextlib.suppress(Corrupt):
        assert b64u(from_b64u(text)) == text


@given(st.binary(min_size=16, max_size=16))
def test_an_id_is_never_mistaken_for_an_option(random16: bytes) -> None:
    made = new_id(random16)
    assert not made.startswith("-")
    check_id(made)
    if made != b64u(random16):
        with pytest.raises(Corrupt, match="begin with"):
            check_id(b64u(random16))


@given(st.integers(-(9 * 10**18), 9 * 10**18))
def test_time_is_written_and_read_to_the_nanosecond(utc_ns: int) -> None:
    assert parse_time(format_time(utc_ns)) == utc_ns


@pytest.mark.parametrize(
    "text", ["", "2026-11-23", "2026-11-23T10:00:00", "2026-13-01T00:00:00Z", "2026-11-23 10:00:00Z"]
)
def test_a_time_without_zone_or_sense_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="not a time"):
        parse_time(text)
