"""Mosquitto started from the configuration in config/mosquitto, with certificates and accounts of this test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.conftest import ROOT
from tests.slow.conftest import free_port, needed, wait_for_port

SHIPPED = ROOT / "config" / "mosquitto"
WORD = "quiet-evening"


@dataclass(frozen=True)
class ShippedBroker:
    """A broker's address, its authority, and where its accounts lie."""

    port: int
    directory: Path
    process: subprocess.Popen[bytes]

    @property
    def ca(self) -> Path:
        return self.directory / "ca.crt"

    def url(self, account: str) -> str:
        return f"mqtts://{account}:{WORD}@localhost:{self.port}"

    def reload(self) -> None:
        """What `systemctl reload` does."""
        self.process.send_signal(1)


@dataclass
class Authority:
    """Signs certificates for an hour."""

    directory: Path

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        ca = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(True, None), critical=True)
        ca = ca.add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
        self._write("ca", ca, None)

    def issue(self, name: str, common_name: str) -> None:
        """NAME.crt and NAME.key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        builder = self._builder(subject, key)
        names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        self._write(name, builder.add_extension(names, critical=False), key)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(subject_name=subject, issuer_name=self._name, public_key=key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
        builder = builder.not_valid_after(now + timedelta(hours=1))
        issuer, subject_key = self._key.public_key(), key.public_key()
        return builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False
        ).add_extension(x509.SubjectKeyIdentifier.from_public_key(subject_key), critical=False)

    def _write(self, name: str, builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey | None) -> None:
        signed = builder.sign(self._key, SHA256())
        (self.directory / f"{name}.crt").write_bytes(signed.public_bytes(Encoding.PEM))
        if key is not None:
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            (self.directory / f"{name}.key").write_bytes(pem)


def add_account(directory: Path, kind: str, name: str) -> None:
    """As the operator does it."""
    command = ["bash", str(SHIPPED / "add-account"), kind, name]
    environment = os.environ | {"DIR": str(directory)}
    done = subprocess.run(command, input=WORD.encode(), env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def shipped_broker(
    directory: Path, accounts: list[tuple[str, str]], *, certificates: bool = False
) -> Iterator[ShippedBroker]:
    """Running while entered. Only port, paths and the way to prove oneself are other than in the shipped file."""
    mosquitto = needed("mosquitto")
    directory.mkdir(exist_ok=True)
    authority = Authority(directory)
    authority.issue("server", "localhost")
    shutil.copy(SHIPPED / "acl", directory / "acl")
    for kind, name in accounts:
        add_account(directory, kind, name)
        authority.issue(name, name)
    port = free_port()
    text = (SHIPPED / "doorward.conf").read_text()
    text = text.replace("/etc/mosquitto/doorward", str(directory)).replace(
        "listener 8883", f"listener {port} 127.0.0.1"
    )
    if certificates:
        text = text.replace("#require_certificate", "require_certificate").replace("#use_identity", "use_identity")
        text = "".join(line for line in text.splitlines(True) if not line.startswith("password_file"))
    if os.geteuid() == 0:
        text = f"user root\n{text}"  # or it could not read this directory
    (directory / "doorward.conf").write_text(text)
    with (directory / "broker.log").open("wb") as log:
        process = subprocess.Popen([mosquitto, "-c", str(directory / "doorward.conf")], stdout=log, stderr=log)
    try:
        wait_for_port(port, process)
        yield ShippedBroker(port, directory, process)
    finally:
        process.terminate()
        process.wait(10)
        sys.stdout.write((directory / "broker.log").read_text()[-1500:])
