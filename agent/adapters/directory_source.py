"""Fetches a directory of requesters from a file or a web address. Bytes only; its signature is checked elsewhere.

Source: docs/spec/identity.md "Directory".
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from agent.core.errors import Unavailable
from agent.core.statements import Kind

_TIMEOUT_S = 30


def is_address(where: str) -> bool:
    """Whether this is a web address and not a file."""
    return where.startswith(("https://", "http://"))


async def fetch_directory(where: str) -> bytes:
    """What lies there, at most one byte more than a directory may have. Unavailable when nothing does."""
    data = await (_fetch(where) if is_address(where) else asyncio.to_thread(_read, Path(where)))
    return data.strip()


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(Kind.DIRECTORY.limit + 1)
    except OSError as e:
        raise Unavailable(f"the directory of requesters {path} cannot be read: {e.strerror}") from e


async def _fetch(url: str) -> bytes:
    try:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as answer:
            if answer.status != 200:
                raise Unavailable(f"the directory of requesters at {url} answers with status {answer.status}")
            found = b""
            async for piece in answer.content.iter_chunked(65_536):
                found += piece
                if len(found) > Kind.DIRECTORY.limit:
                    break
            return found
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as e:
        raise Unavailable(f"the directory of requesters at {url} cannot be fetched: {type(e).__name__}") from e
