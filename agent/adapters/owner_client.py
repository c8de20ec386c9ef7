"""The owner API from the other side: HTTP calls of an owner on a computer. Bytes and structs, no decisions.

Source: docs/spec/owner-api.md.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import aiohttp
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from agent.core.encoding import from_json, to_json
from agent.core.errors import BadInput, NotThere, Refused, Unavailable

_ANSWER_LIMIT = 64 * 1024 * 1024
_READ_TIMEOUT_S = 30
_OF_ANOTHER_TIME = (9, 10)  # OpenSSL: not valid yet, has expired
_AUTHORITY_PATH = "/doorward-ca.crt"

T = TypeVar("T")


class _Problem(msgspec.Struct):
    reason: str
    text: str


class _ErrorAnswer(msgspec.Struct):
    error: _Problem


def read_authority(path: Path) -> str:
    """The certificate in `path`, PEM or as the doorbell's plain page gives it (DER), as PEM. BadInput if it is none."""
    try:
        data = path.read_bytes()
    except OSError as e:
        raise BadInput(f"the certificate {path} cannot be read: {e.strerror}; check the path after --ca") from e
    try:
        read = x509.load_pem_x509_certificate if b"-----BEGIN" in data else x509.load_der_x509_certificate
        return read(data).public_bytes(Encoding.PEM).decode()
    except ValueError as e:
        raise BadInput(
            f"{path} holds no certificate; http://NAME.local:8080{_AUTHORITY_PATH} gives the doorbell's"
        ) from e


class OwnerClient:
    """Calls one doorbell at `url`. Every call raises Unavailable (no doorbell), Refused or NotThere (it said no).

    `authority`: the certificate (PEM) behind the doorbell's, instead of those that the system trusts.
    """

    def __init__(self, url: str, authority: str = "") -> None:
        self._url = url.rstrip("/")
        self._authority = authority
        self._http: aiohttp.ClientSession | None = None
        self.token: str | None = None

    async def __aenter__(self) -> OwnerClient:
        timeout = aiohttp.ClientTimeout(sock_connect=5, sock_read=_READ_TIMEOUT_S)
        try:
            tls = ssl.create_default_context(cadata=self._authority) if self._authority else True
        except ssl.SSLError as e:
            raise BadInput("the certificate that the key file holds is damaged; pair again with --ca") from e
        self._http = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(ssl=tls))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._http is not None
        await self._http.close()

    async def get(self, path: str, answer: type[T], **query: str) -> T:
        """GET, the answer as `answer`."""
        return from_json(await self._call("GET", path, query=query), answer, f"the doorbell's answer to {path}")

    async def post(self, path: str, body: msgspec.Struct | None, answer: type[T]) -> T:
        """POST, the answer as `answer`."""
        data = await self._call("POST", path, body=to_json(body) if body is not None else b"{}")
        return from_json(data, answer, f"the doorbell's answer to {path}")

    async def delete(self, path: str, answer: type[T]) -> T:
        """DELETE, the answer as `answer`."""
        return from_json(await self._call("DELETE", path), answer, f"the doorbell's answer to {path}")

    async def stretch(self, path: str, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` of a file."""
        wanted = f"bytes={offset}-{offset + length - 1}"
        data = await self._call("GET", path, headers={"Range": wanted})
        if len(data) != length:
            raise Unavailable(f"the doorbell sent {len(data)} bytes of {path} instead of {length}; try again")
        return data

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        assert self._http is not None, "entered before use"
        sent = dict(headers or {})
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        try:
            async with self._http.request(
                method, self._url + path, data=body, params=query, headers=sent, allow_redirects=False
            ) as response:
                data = await response.content.read(_ANSWER_LIMIT) if response.status >= 400 else await response.read()
                if response.status >= 400:
                    raise _problem(response.status, data)
                return data
        except aiohttp.InvalidURL as e:
            raise BadInput(f"'{self._url}' is not the address of a doorbell; it looks like http://NAME:8080") from e
        except aiohttp.ClientConnectorCertificateError as e:
            raise Unavailable(f"the certificate of {self._url} {_why_not(e.certificate_error)}") from e
        except (aiohttp.ClientError, TimeoutError, OSError) as e:
            raise Unavailable(
                f"the doorbell at {self._url} does not answer ({type(e).__name__}); is it running?"
            ) from e
        except ValueError as e:
            raise BadInput(f"'{self._url}' is not the address of a doorbell: {e}") from e


def _why_not(error: Exception) -> str:
    """What is wrong with a certificate, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _OF_ANOTHER_TIME:
        return f"does not hold now ({error.verify_message}); see that this computer and the doorbell know the time"
    why = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else type(error).__name__
    return (
        f"is not trusted here ({why}); get the doorbell's from http://NAME.local:8080{_AUTHORITY_PATH} and name it "
        "with --ca at 'pair', 'join' or 'recover', or with SSL_CERT_FILE=… before any command"
    )


def _problem(status: int, data: bytes) -> Exception:
    try:
        problem = msgspec.json.decode(data, type=_ErrorAnswer).error
    except msgspec.DecodeError:
        return Unavailable(f"the doorbell answered with status {status} and no reason")
    if status == 404:
        return NotThere(problem.text)
    if status == 503:
        return Unavailable(problem.text)
    return Refused(problem.reason, problem.text)
