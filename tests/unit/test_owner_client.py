"""An owner on a computer and a doorbell whose certificate comes from its own authority."""

from __future__ import annotations

import base64
import secrets
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from agent.adapters.owner_client import OwnerClient, read_authority
from agent.core import identity
from agent.core.errors import BadInput, Unavailable
from agent.owner import key_file
from agent.store.home_certificate import HomeCertificate


class Answer(msgspec.Struct):
    """What the server of these tests says."""

    heard: bool


@pytest.fixture
def made_at() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def certificate(tmp_path: Path, made_at: datetime) -> HomeCertificate:
    made = HomeCertificate(tmp_path / "tls", "Front door", ["127.0.0.1"])
    made.renew(made_at)
    return made


@pytest.fixture
async def url(certificate: HomeCertificate) -> AsyncIterator[str]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.chain, certificate.key)

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=b'{"heard":true}')

    runner = web.ServerRunner(web.Server(answer), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize("as_pem", [True, False])
async def test_a_named_authority_is_trusted(
    tmp_path: Path, url: str, certificate: HomeCertificate, *, as_pem: bool
) -> None:
    der, file = certificate.authority(), tmp_path / "doorward-ca.crt"
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"
    file.write_bytes(pem if as_pem else der)
    async with OwnerClient(url, read_authority(file)) as client:
        assert (await client.get("/api/device", Answer)).heard


async def test_an_authority_that_nobody_named_is_one_sentence_that_says_what_to_do(url: str) -> None:
    async with OwnerClient(url) as client:
        with pytest.raises(Unavailable, match=r"not trusted here .*doorward-ca\.crt.*--ca"):
            await client.get("/api/device", Answer)


@pytest.mark.parametrize("made_at", [datetime(2024, 2, 1, tzinfo=UTC)])
async def test_a_doorbell_with_another_time_is_said_to_be_one(
    tmp_path: Path, url: str, certificate: HomeCertificate
) -> None:
    file = tmp_path / "doorward-ca.crt"
    file.write_bytes(certificate.authority())
    async with OwnerClient(url, read_authority(file)) as client:
        with pytest.raises(Unavailable, match=r"does not hold now \(certificate has expired\); see that"):
            await client.get("/api/device", Answer)


async def test_another_doorbells_authority_is_not_enough(tmp_path: Path, url: str) -> None:
    other = HomeCertificate(tmp_path / "other", "Back door", ["127.0.0.1"])
    other.renew(datetime.now(UTC))
    file = tmp_path / "other.crt"
    file.write_bytes(other.authority())
    async with OwnerClient(url, read_authority(file)) as client:
        with pytest.raises(Unavailable, match="not trusted here"):
            await client.get("/api/device", Answer)


@pytest.mark.parametrize(
    "data", [b"", b"Dear diary", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_is_said(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "a.crt"
    file.write_bytes(data)
    with pytest.raises(BadInput, match="holds no certificate"):
        read_authority(file)
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        read_authority(tmp_path / "nothing.crt")


def test_the_key_file_remembers_the_authority(tmp_path: Path) -> None:
    path = tmp_path / "me.json"
    recovery = identity.recovery_entry(identity.recovery_keys(bytes(16)))
    content = key_file.make("me", secrets.token_bytes(64), recovery, None, b"")
    door = key_file.PairedDoorbell("https://door.local:8443", "id", "key")
    key_file.write(path, key_file.with_doorbell(content, door, "PEM"), new=True)
    kept = key_file.read(path).doorbell
    assert kept is not None
    assert kept.authority == "PEM"
    key_file.write(path, key_file.with_doorbell(content, door), new=False)
    assert b"authority" not in path.read_bytes()
    assert key_file.read(path).doorbell == door
