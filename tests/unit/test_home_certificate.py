"""The page's own authority is good for the page's names and for nothing else, and stays while those do."""

from __future__ import annotations

import ssl
import stat
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.config import Config, Doorbell, Http
from agent.core.errors import BadInput, Corrupt
from agent.secure_home import SecureHome, stays_here
from agent.store.home_certificate import HomeCertificate, authority_code, authority_hash
from agent.store.state import StateDirectory

NOW = datetime.now(UTC)
NAMES = ("doorbell.local", "192.168.1.7", "fd00::7")


def greets(chain: Path, key: Path, authority: Path, name: str) -> str | None:
    """A TLS handshake in memory with a client that trusts `authority` alone; None if it holds, else why not."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(chain, key)
    client = ssl.create_default_context(cafile=str(authority))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(6):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as e:
                return e.verify_message
    return None


def signed_for(folder: Path, name: x509.GeneralName) -> tuple[Path, Path]:
    """What a thief of the authority's key could make: a certificate of it for another name."""
    authority = x509.load_pem_x509_certificate((folder / "authority.pem").read_bytes())
    signer = serialization.load_pem_private_key((folder / "authority.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([name]), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    chain, key_path = folder / "forged.pem", folder / "forged.key"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return chain, key_path


def made(folder: Path, names: Sequence[str] = NAMES, now: datetime = NOW) -> HomeCertificate:
    certificate = HomeCertificate(folder, "Front door", names)
    certificate.renew(now)
    return certificate


def test_browsers_that_trust_the_authority_trust_the_page_under_each_name(tmp_path: Path) -> None:
    page = made(tmp_path / "tls")
    for name in NAMES:
        assert greets(page.chain, page.key, tmp_path / "tls/authority.pem", name) is None
    assert "mismatch" in str(greets(page.chain, page.key, tmp_path / "tls/authority.pem", "other.local"))
    for file in (tmp_path / "tls").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("names", [NAMES, ("doorbell.local",), ("192.168.1.7",)])
@pytest.mark.parametrize(
    ("name", "asked"),
    [
        (x509.DNSName("example.com"), "example.com"),
        (x509.DNSName("otherdoorbell.local"), "otherdoorbell.local"),
        (x509.IPAddress(ip_address("192.168.1.8")), "192.168.1.8"),
        (x509.IPAddress(ip_address("fd00::8")), "fd00::8"),
    ],
)
def test_the_authority_is_good_for_no_other_name(
    tmp_path: Path, names: tuple[str, ...], name: x509.GeneralName, asked: str
) -> None:
    made(tmp_path / "tls", names)
    chain, key = signed_for(tmp_path / "tls", name)
    refused = greets(chain, key, tmp_path / "tls/authority.pem", asked)
    assert refused in ("permitted subtree violation", "excluded subtree violation")


def test_it_stays_until_it_ends_or_the_names_change(tmp_path: Path) -> None:
    page = made(tmp_path / "tls")
    authority, chain = page.authority(), page.chain.read_bytes()
    assert not page.renew(NOW + timedelta(days=300))
    assert page.chain.read_bytes() == chain
    assert page.renew(NOW + timedelta(days=380))
    assert page.authority() == authority
    again = HomeCertificate(tmp_path / "tls", "Front door", ("doorbell.local",))
    assert again.renew(NOW)
    assert again.authority() != authority
    assert authority_code(again.authority()) != authority_code(authority)
    assert authority_hash(authority) != authority_hash(again.authority())


def test_a_machine_that_believes_to_be_in_1970_gets_another_once_it_knows_better(tmp_path: Path) -> None:
    page = made(tmp_path / "tls", now=datetime(1970, 1, 3, tzinfo=UTC))
    assert greets(page.chain, page.key, tmp_path / "tls/authority.pem", "doorbell.local") == "certificate has expired"
    authority = page.authority()
    assert page.renew(NOW)
    assert page.authority() == authority
    assert greets(page.chain, page.key, tmp_path / "tls/authority.pem", "doorbell.local") is None


def test_damaged_files_are_named(tmp_path: Path) -> None:
    page = made(tmp_path / "tls")
    (tmp_path / "tls/authority.pem").write_bytes(b"\xff nonsense")
    with pytest.raises(Corrupt, match=r"authority\.pem is no certificate"):
        page.renew(NOW)


@pytest.mark.parametrize("name", ["", "a b", "http://x", "doorbell.local/", "-a.local", "ä.local", "a..b", 64 * "x"])
def test_names_that_are_none_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=r"http\.names"):
        HomeCertificate(tmp_path, "Front door", (name,))


def home(tmp_path: Path, http: Http) -> SecureHome:
    return SecureHome(Config(doorbell=Doorbell(name="Haustür"), http=http), StateDirectory(tmp_path, create=True))


def test_a_certificate_of_ones_own_is_followed_when_it_is_renewed(tmp_path: Path) -> None:
    files = made(tmp_path / "own", ("door.example",))
    secure = home(
        tmp_path / "state", Http("0.0.0.0", names=("door.example",), certificate=str(files.chain), key=str(files.key))
    )
    secure.renew(0)
    assert secure.origin() == "https://door.example:8443"
    assert (secure.authority_hash(), secure.authority_code()) == (b"", "")
    assert not (tmp_path / "state/tls").exists()
    files.key.write_bytes(b"nonsense")
    secure.look_after(0)  # said, and the old one goes on being served
    with pytest.raises(BadInput, match=r"no certificate and its key"):
        secure.renew(0)
    made(tmp_path / "own", ("door.example",), NOW + timedelta(days=390))
    secure.renew(0)
    with pytest.raises(BadInput, match="belong together"):
        home(tmp_path / "other", Http(certificate="x"))


def test_addresses_of_this_machine_alone_need_none(tmp_path: Path) -> None:
    assert [stays_here(host) for host in ("127.0.0.1", "::1", "localhost", "127.8.9.1")] == [True] * 4
    assert [stays_here(host) for host in ("0.0.0.0", "::", "192.168.1.7", "doorbell.local")] == [False] * 4
    assert home(tmp_path, Http("0.0.0.0", names=("fd00::7",))).origin(9) == "https://[fd00::7]:9"
