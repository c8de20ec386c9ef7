"""The certificate of the owner's page in the home: an authority of the doorbell's own, good for its own names only.

Owns `tls/` in the state directory. A phone that installs the authority trusts it for nothing but these names: the name
constraints say so (RFC 5280 4.2.1.10), with every address and every other name left out. The authority stays as long
as the names do; the page's certificate is renewed by itself. Source: docs/design/https.md.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.core.errors import BadInput, Corrupt, Unavailable
from agent.store.durable import write_file

# Phones take no server certificate that is good for longer (Apple: 398 days). It is renewed a month before its end.
_LEAF_LIFE: Final = timedelta(days=397)
_LEAF_RENEWED: Final = timedelta(days=30)
# From a day no doorbell is older than, because a Pi that has just started may believe any year.
_BEGINS: Final = datetime(2024, 1, 1, tzinfo=UTC)
_AUTHORITY_ENDS: Final = datetime(2054, 1, 1, tzinfo=UTC)
_CODE_CHARACTERS: Final = 12
_EVERYWHERE: Final = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
_KEY_USAGE: Final = dict.fromkeys(
    ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
     "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False,
)  # fmt: skip


def general_name(name: str) -> x509.GeneralName:
    """An address or a DNS name as certificates have it; BadInput where it is neither."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        labels = name.split(".")
        fits = len(name) <= 253 and all(0 < len(label) <= 63 and label.strip("-") == label for label in labels)
        if not fits or not name.isascii() or not name.replace("-", "").replace(".", "").isalnum():
            raise BadInput(f"'{name[:80]}' in http.names is no name like doorbell.local and no address") from None
        return x509.DNSName(name.lower())


class HomeCertificate:
    """`label`: what the phone's list of authorities shows. `names`: what the page is reached under, at least one."""

    def __init__(self, folder: Path, label: str, names: Sequence[str]) -> None:
        self._folder = folder
        self._label = label
        self._names = [general_name(name) for name in names]
        self.chain = folder / "page.pem"
        self.key = folder / "page.key"
        self._authority_path = folder / "authority.pem"
        self._authority_key = folder / "authority.key"

    def renew(self, now: datetime) -> bool:
        """Make what is missing, belongs to other names or ends soon; whether anything was. `now` in UTC."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as e:
            raise Unavailable(f"{self._folder} cannot be made: {e.strerror}") from e
        authority = self._kept(self._authority_path)
        new = authority is None or not self._covers(authority)
        if new:
            authority = self._make_authority()
        assert authority is not None
        page = None if new else self._kept(self.chain)
        if page is not None and self._serves(page, now):
            return False
        self._make_page(authority, now)
        return True

    def authority(self) -> bytes:
        """The authority's certificate, DER."""
        found = self._kept(self._authority_path)
        if found is None:
            raise Unavailable(f"there is no certificate in {self._folder} yet; 'doorward run' makes it")
        return found.public_bytes(serialization.Encoding.DER)

    def _kept(self, path: Path) -> x509.Certificate | None:
        try:
            return x509.load_pem_x509_certificate(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as e:
            raise Corrupt(f"{path} is no certificate ({e}); delete {self._folder}, and a new one is made") from e

    def _covers(self, authority: x509.Certificate) -> bool:
        return authority.extensions.get_extension_for_class(x509.NameConstraints).value == self._constraints()

    def _serves(self, page: x509.Certificate, now: datetime) -> bool:
        named = page.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        lasts = page.not_valid_before_utc <= now <= page.not_valid_after_utc - _LEAF_RENEWED
        return list(named) == self._names and lasts

    def _constraints(self) -> x509.NameConstraints:
        permitted: list[x509.GeneralName] = []
        excluded: list[x509.GeneralName] = [x509.IPAddress(network) for network in _EVERYWHERE]
        for name in self._names:
            if isinstance(name, x509.IPAddress):
                network = ipaddress.ip_network(name.value)
                permitted.append(x509.IPAddress(network))
                excluded = [each for each in excluded if each.value.version != network.version]
            else:
                permitted.append(name)
        if not any(isinstance(name, x509.DNSName) for name in permitted):
            permitted.append(x509.DNSName("invalid"))  # a kind without any permitted name would be free
        return x509.NameConstraints(permitted, excluded or None)

    def _make_authority(self) -> x509.Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Doorward {self._label}"[:64])])
        made = (
            _certificate(name, name, key.public_key(), _BEGINS, _AUTHORITY_ENDS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.KeyUsage(**{**_KEY_USAGE, "key_cert_sign": True}), critical=True)
            .add_extension(self._constraints(), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        write_file(self._authority_key, _pem(key))
        write_file(self._authority_path, made.public_bytes(serialization.Encoding.PEM))
        return made

    def _make_page(self, authority: x509.Certificate, now: datetime) -> None:
        signer = serialization.load_pem_private_key(self._authority_key.read_bytes(), None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey), "it was made here"
        key = ec.generate_private_key(ec.SECP256R1())
        begins = now - timedelta(days=1)
        # Not the authority's name: a certificate whose issuer has its own name looks signed by itself.
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Doorward, the owner's page")])
        made = (
            _certificate(name, authority.subject, key.public_key(), begins, begins + _LEAF_LIFE)
            .add_extension(x509.SubjectAlternativeName(self._names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**{**_KEY_USAGE, "digital_signature": True}), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
            .sign(signer, hashes.SHA256())
        )
        write_file(self.key, _pem(key))
        write_file(self.chain, made.public_bytes(serialization.Encoding.PEM))


def authority_hash(der: bytes) -> bytes:
    """The 16 bytes a pairing link ends with (docs/spec/identity.md "Pairing")."""
    return hashlib.sha256(der).digest()[:16]


def authority_code(der: bytes) -> str:
    """What a person compares: 60 bits of the certificate's hash in three groups, as Base32 writes them."""
    text = base64.b32encode(hashlib.sha256(der).digest()).decode()[:_CODE_CHARACTERS]
    return "-".join(text[n : n + 4] for n in range(0, _CODE_CHARACTERS, 4))


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
