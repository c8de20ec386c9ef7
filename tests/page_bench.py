"""The page's modules on a bench: served as the doorbell serves them, with nothing else of the page, in a real browser.

`Bench.run` evaluates JavaScript in which every module of agent/web is at hand by its name, and bytes travel as hex.
"""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from playwright.sync_api import Browser, Page

from agent.adapters.http import _CSP
from tests.conftest import ROOT

WEB = ROOT / "agent" / "web"
_MODULES = sorted(path.stem for path in WEB.glob("*.js") if path.stem != "main")
_HEAD = """
const hex = data => [...data].map(b => b.toString(16).padStart(2, "0")).join("");
const raw = text => Uint8Array.from(text.match(/../g) ?? [], b => parseInt(b, 16));
const refused = async act => {
  try { await act(); return null; } catch (e) { return [e.constructor.name, e.message]; }
};
const [%(names)s] = await Promise.all([%(imports)s]);
"""


class Bench:
    """Serves `files` (by path) beside the modules while entered."""

    def __init__(self, browser: Browser, files: dict[str, bytes] | None = None) -> None:
        self._browser = browser
        self._files = files or {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="bench")
        self.page: Page

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        self._context = self._browser.new_context()
        self.page = self._context.new_page()
        self.page.goto(f"{self.origin}/")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.close()
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    def run(self, body: str, argument: object = None) -> Any:
        """What the body of an async function of `it` returns."""
        names = ", ".join(_MODULES)
        imports = ", ".join(f'import("/app/{name}.js")' for name in _MODULES)
        head = _HEAD % {"names": names, "imports": imports}
        return self.page.evaluate(f"async it => {{ {head} {body} }}", argument)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._live())
        self._loop.close()

    async def _live(self) -> None:
        self._end = asyncio.Event()
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        await self._end.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        headers = {"Content-Security-Policy": _CSP}
        if path in self._files:
            return web.Response(body=self._files[path], headers=headers, content_type="application/octet-stream")
        if path.startswith("app/"):
            found = WEB / path.removeprefix("app/")
            return web.Response(body=found.read_bytes(), headers=headers, content_type="text/javascript")
        return web.Response(text="<!doctype html><title>Bench</title>", headers=headers, content_type="text/html")
