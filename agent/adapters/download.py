"""Fetches a file over HTTP, piece by piece. Trusts nothing it gets: whoever asked checks size and hash."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Final

from agent.core.errors import BadInput, Unavailable

_PIECE_BYTES: Final = 1 << 16
_SILENCE_S: Final = 30.0


def download(url: str) -> Iterator[bytes]:
    """The bytes behind `url`, redirects followed. Unavailable in one sentence where they cannot be had."""
    if not url.startswith(("https://", "http://")):
        raise BadInput(f"'{url[:200]}' is not an address on the web")
    request = urllib.request.Request(url, headers={"User-Agent": "doorward"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_SILENCE_S) as answer:  # noqa: S310
            while piece := answer.read(_PIECE_BYTES):
                yield piece
    except urllib.error.HTTPError as e:
        raise Unavailable(f"{url} answered {e.code} ({e.reason}); fetch the file elsewhere and use --from FILE") from e
    except (OSError, http.client.HTTPException) as e:
        reason = getattr(e, "reason", None) or e
        raise Unavailable(
            f"{url} cannot be reached ({reason}); connect to the internet, or fetch the file elsewhere and use "
            "--from FILE"
        ) from e
