"""The owner API from the other side: HTTP calls of an owner on a computer. Bytes and structs, no decisions.

Source: docs/spec/owner-api.md.
"""

from __future__ import annotations

from types import TracebackType
from typing import TypeVar

import aiohttp
import msgspec

from agent.core.encoding import from_json, to_json
from agent.core.errors import BadInput, NotThere, Refused, Unavailable

_ANSWER_LIMIT = 64 * 1024 * 1024
_READ_TIMEOUT_S = 30

T = TypeVar("T")


class _Problem(msgspec.Struct):
    reason: str
    text: str


class _ErrorAnswer(msgspec.Struct):
    error: _Problem


class OwnerClient:
    """Calls one doorbell at `url`. Every call raises Unavailable (no doorbell), Refused or NotThere (it said no)."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._http: aiohttp.ClientSession | None = None
        self.token: str | None = None

    async def __aenter__(self) -> OwnerClient:
        timeout = aiohttp.ClientTimeout(sock_connect=5, sock_read=_READ_TIMEOUT_S)
        self._http = aiohttp.ClientSession(timeout=timeout)
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
        except (aiohttp.ClientError, TimeoutError, OSError) as e:
            raise Unavailable(
                f"the doorbell at {self._url} does not answer ({type(e).__name__}); is it running?"
            ) from e
        except ValueError as e:
            raise BadInput(f"'{self._url}' is not the address of a doorbell: {e}") from e


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
