"""A peer that takes notices as an ntfy server does (docs.ntfy.sh/publish, "Publish as JSON")."""

from __future__ import annotations

import asyncio
import json
import threading
from types import TracebackType
from typing import Any

from aiohttp import web

TOPIC_KEYS = {"topic", "title", "message", "tags", "priority", "click"}


class NtfyServer:
    """Runs in a thread of its own while entered. `refuse`: the status it answers with instead of taking a notice.

    `slow_s`: how long it thinks before it refuses.
    """

    def __init__(self, token: str = "") -> None:
        self.taken: list[dict[str, Any]] = []
        self.tries = 0
        self.refuse: int | None = None
        self.slow_s = 0.0
        self._token = token
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/a-long-name-nobody-guesses"

    def texts(self) -> list[str]:
        return [notice["message"] for notice in self.taken]

    def __enter__(self) -> NtfyServer:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _post(self, request: web.Request) -> web.Response:
        self.tries += 1
        if self.refuse is not None:
            status = self.refuse
            await asyncio.sleep(self.slow_s)
            return web.json_response({"code": status * 100}, status=status)
        if self._token and request.headers.get("Authorization") != f"Bearer {self._token}":
            return web.json_response({"code": 40301}, status=403)
        notice = json.loads(await request.text())
        if not {"topic", "message"} <= set(notice) <= TOPIC_KEYS or not 1 <= notice.get("priority", 3) <= 5:
            return web.json_response({"code": 40001}, status=400)
        self.taken.append(notice)
        return web.json_response({"id": "x", "event": "message", **notice})

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._begin())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._runner.cleanup())

    async def _begin(self) -> None:
        app = web.Application()
        app.router.add_post("/", self._post)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port: int = self._runner.addresses[0][1]
