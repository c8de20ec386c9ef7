"""Posts notices to an ntfy server: the one thing Doorward ever says to a server outside that nobody asked for.

Owns the connection; off unless a topic is configured. Source: docs.ntfy.sh/publish ("Publish as JSON").
"""

from __future__ import annotations

import aiohttp

from agent.core.errors import BadInput, Unavailable
from agent.core.notice import Notice, NtfyTopic

_TIMEOUT_S = 15


class Ntfy:
    """One topic. `title`: above each notice; `page`: what a tap opens, or empty; `token`: of a protected topic."""

    def __init__(self, topic: NtfyTopic, title: str, page: str, token: str) -> None:
        self._topic = topic
        self._title = title
        self._page = page
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def tell(self, notice: Notice) -> None:
        """Once. Unavailable where the server cannot be reached or does not take it; nothing is tried again here."""
        body = self._topic.message(self._title, notice, self._page)
        server = self._topic.server
        try:
            timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=self._headers) as http,
                http.post(server, data=body, allow_redirects=False) as answer,
            ):
                if answer.status in (401, 403):
                    raise Unavailable(f"{server} does not let this doorbell post there; look at notify.ntfy_token")
                if answer.status != 200:
                    raise Unavailable(f"{server} answers with status {answer.status} instead of taking a notice")
        except (aiohttp.ClientError, TimeoutError, OSError) as e:
            raise Unavailable(f"{server} cannot be reached to tell the owner's phone: {type(e).__name__}") from e

    async def answers(self) -> None:
        """Whether the server does; it is told nothing. Unavailable where it does not."""
        health = f"{self._topic.server}v1/health"
        try:
            timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
            async with aiohttp.ClientSession(timeout=timeout) as http, http.get(health) as answer:
                if answer.status >= 500:
                    raise Unavailable(f"{self._topic.server} answers with status {answer.status}")
        except (aiohttp.ClientError, TimeoutError, OSError) as e:
            raise Unavailable(f"{self._topic.server} cannot be reached: {type(e).__name__}") from e


def owner_phones(ntfy: str, title: str, page: str, token: str) -> Ntfy | None:
    """What the configuration names; None where it names nothing. BadInput where that cannot be used."""
    if not ntfy:
        return None
    if page and not page.startswith(("https://", "http://")):
        raise BadInput(
            "notify.page must be the page's address as your phone reaches it, like http://doorbell.local:8080"
        )
    if not token.isascii() or any(c.isspace() for c in token):
        raise BadInput("notify.ntfy_token is no access token: those are like tk_ and letters and digits")
    return Ntfy(NtfyTopic.parse(ntfy), title, page, token)
