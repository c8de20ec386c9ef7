"""The owner's way once more in the other engines: WebKit, which every browser on an iPhone has, and Firefox.

Their rules differ where it matters here: keys that are stored and do not come back, permissions that ask a person,
media sources that are picky. Debian's WebKitGTK by its WebDriver, Debian's Firefox by WebDriver BiDi. Needs
webkit2gtk-driver, xvfb and gstreamer1.0-libav, and firefox-esr; skipped where they are not installed, except in CI.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest

from agent.demo.scene import cached_scene
from tests.conftest import ROOT
from tests.page_home import PageHome
from tests.slow.conftest import free_port, needed, wait_for_port

pytestmark = pytest.mark.slow

SCREENSHOTS = ROOT / "build" / "screenshots"
SIZE = {"width": 420, "height": 900}
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # W3C WebDriver: the name under which an element is referred to


class Window(Protocol):
    """One window of a browser."""

    def open(self, url: str) -> None: ...
    def js(self, code: str) -> Any: ...
    def click(self, code: str) -> None: ...
    def screenshot(self) -> str: ...


class WebKit:
    """Driven by W3C WebDriver."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._session = ""
        self._session = "/session/" + self._call("POST", "", {"capabilities": {"alwaysMatch": {}}})["sessionId"]
        self._call("POST", "/window/rect", SIZE)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        url = f"http://127.0.0.1:{self._port}{self._session or '/session'}{path}"
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def js(self, code: str) -> Any:
        return self._call("POST", "/execute/sync", {"script": f"return {code}", "args": []})

    def click(self, code: str) -> None:
        self._call("POST", f"/element/{self.js(code)[_ELEMENT]}/click", {})

    def screenshot(self) -> str:
        time.sleep(0.5)  # its screenshots lag behind its document
        return str(self._call("GET", "/screenshot"))

    def close(self) -> None:
        self._call("DELETE", "")


class Firefox:
    """Driven by W3C WebDriver BiDi, over its WebSocket."""

    def __init__(self, port: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._count = 0
        self._loop.run_until_complete(self._connect(port))
        self._call("session.new", capabilities={})
        self._context = self._call("browsingContext.getTree")["contexts"][0]["context"]
        self._call("browsingContext.setViewport", context=self._context, viewport=SIZE)

    async def _connect(self, port: int) -> None:
        self._http = aiohttp.ClientSession()
        self._socket = await self._http.ws_connect(f"http://127.0.0.1:{port}/session", max_msg_size=0)

    def _call(self, method: str, **parameters: Any) -> Any:
        return self._loop.run_until_complete(asyncio.wait_for(self._exchange(method, parameters), 60))

    async def _exchange(self, method: str, parameters: dict[str, Any]) -> Any:
        self._count += 1
        await self._socket.send_json({"id": self._count, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json()
            if message.get("id") == self._count:
                assert message["type"] == "success", message
                return message["result"]

    def open(self, url: str) -> None:
        self._call("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def js(self, code: str) -> Any:
        said = self._call(
            "script.evaluate",
            expression=f"JSON.stringify({code})",
            target={"context": self._context},
            awaitPromise=True,
            userActivation=True,
        )
        assert said["type"] == "success", said
        return json.loads(said["result"].get("value", "null"))

    def click(self, code: str) -> None:
        self.js(f"(({code}).click(), null)")

    def screenshot(self) -> str:
        return str(self._call("browsingContext.captureScreenshot", context=self._context)["data"])

    def close(self) -> None:
        self._loop.run_until_complete(self._socket.close())
        self._loop.run_until_complete(self._http.close())
        self._loop.close()


@contextmanager
def running(command: list[str], port: int, directory: Path, **environment: str) -> Iterator[None]:
    """A program that listens on `port`, until left."""
    with (directory / "browser.log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log)
        try:
            wait_for_port(port, process, 60)
            yield
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def screen() -> Iterator[str]:
    """A display in memory; its name."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "800x1000x24"]
    process = subprocess.Popen(command, pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as said:
            yield f":{said.readline().strip()}"
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def webkit(directory: Path) -> Iterator[Window]:
    needed("WebKitWebDriver")
    needed("Xvfb")
    port = free_port()
    # Its sandbox needs rights a container does not give; the pages are our own.
    unsandboxed = {"WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1"}
    command = ["WebKitWebDriver", f"--port={port}"]
    with screen() as display, running(command, port, directory, DISPLAY=display, **unsandboxed):
        window = WebKit(port)
        yield window
        window.close()


@contextmanager
def firefox(directory: Path) -> Iterator[Window]:
    needed("firefox-esr")
    port, profile = free_port(), directory / "profile"
    profile.mkdir()
    command = ["firefox-esr", "--headless", "--no-remote", "--profile", str(profile)]
    with running([*command, f"--remote-debugging-port={port}"], port, directory, HOME=str(directory)):
        window = Firefox(port)
        yield window
        window.close()


ENGINES = {"webkit": webkit, "firefox": firefox}


class Owner:
    """Does what a person does in a window."""

    def __init__(self, window: Window, engine: str) -> None:
        self._engine = engine
        self.window = window

    def until(self, condition: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not self.window.js(condition):
            if time.monotonic() > deadline:
                says = self.window.js("document.body.innerText")
                pytest.fail(f"waited in vain for {condition}; the page says: {says}")
            time.sleep(0.1)

    def until_says(self, text: str) -> None:
        self.until(f"document.body.innerText.includes({json.dumps(text)})")

    def press(self, text: str) -> None:
        says = f"element => element.ariaDisabled !== 'true' && element.textContent.trim() === {json.dumps(text)}"
        found = f"[...document.querySelectorAll('button, label, a')].filter({says})"
        self.until(f"{found}.length > 0")
        self.window.js(f"({found}[0].scrollIntoView({{ block: 'center' }}), null)")
        self.window.click(f"{found}[0]")

    def picture(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        (SCREENSHOTS / f"{name}-{self._engine}.png").write_bytes(base64.b64decode(self.window.screenshot()))


@pytest.mark.parametrize("engine", ENGINES)
def test_every_key_asked_for_is_made(tmp_path: Path, engine: str) -> None:
    """WebKitGTK loses one in a hundred or two."""
    directory = tmp_path / "browser"
    directory.mkdir()
    with PageHome(tmp_path, cached_scene(ROOT / ".cache"), undo_s=8) as home, ENGINES[engine](directory) as window:
        window.open(home.origin + "/")
        window.js(
            """(import("/app/generate.js").then(async ({ generatePair }) => {
                const kinds = new Set();
                for (let i = 0; i < 600; i++) {
                    for (const curve of ["X25519", "Ed25519"]) {
                        const { privateKey, publicKey } = await generatePair(curve, false);
                        kinds.add([privateKey.algorithm.name, privateKey.extractable, publicKey.type].join());
                    }
                }
                return [...kinds].join("; ");
            }).then((said) => window.said = said, (error) => window.said = `${error}`), null)"""
        )
        Owner(window, engine).until("window.said !== undefined", 60)
        assert window.js("window.said") == "X25519,false,public; Ed25519,false,public"


@pytest.mark.parametrize("engine", ENGINES)
def test_pairing_preview_yes_and_coming_back(tmp_path: Path, engine: str) -> None:
    directory = tmp_path / "browser"
    directory.mkdir()
    with PageHome(tmp_path, cached_scene(ROOT / ".cache"), undo_s=8) as home, ENGINES[engine](directory) as window:
        owner = Owner(window, engine)
        window.open(home.invite())
        owner.press("Make my key")
        owner.press("I have written it down")
        owner.until("document.querySelector('nav') !== null")
        home.recorded()
        asked = home.ask()
        owner.press("Look at it")
        owner.until("document.querySelector('.offer') !== null")
        window.js("(document.querySelector('.offer').scrollIntoView(), null)")
        owner.until("document.querySelector('video')?.readyState >= 2")
        assert window.js("document.querySelector('video').videoWidth") == 1280
        owner.press("Play")
        owner.until("document.querySelector('video').currentTime > 1")
        owner.press("Pause")
        owner.picture("30-review")
        owner.press("Include this clip")
        owner.press("Share 1 clip…")
        owner.until_says("Every second was opened and checked")
        owner.press("Share")
        owner.until_says("Nothing has left your home yet.")
        owner.picture("31-undo")
        owner.until_says("✓ Receipt")
        owner.picture("32-receipt")
        assert home.state(asked.id) == "delivered"

        window.open(home.origin + "/")
        owner.press("Clips")
        owner.until("document.querySelector('a.row') !== null")
        window.js("(document.querySelector('a.row').click(), null)")
        owner.until("document.querySelector('video')?.readyState >= 2")
        assert window.js("document.querySelector('.trouble')") is None
