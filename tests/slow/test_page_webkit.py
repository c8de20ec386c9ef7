"""The owner's way once more in WebKit, the engine of every browser on an iPhone: WebKitGTK, driven by its WebDriver.

Its rules differ where it matters here: keys that are stored and do not come back, media sources that are picky.
Needs Debian's webkit2gtk-driver, xvfb and gstreamer1.0-libav; skipped where they are not installed.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.demo.scene import cached_scene
from tests.conftest import ROOT
from tests.page_home import PageHome
from tests.slow.conftest import free_port, wait_for_port

pytestmark = pytest.mark.slow

SCREENSHOTS = ROOT / "build" / "screenshots"
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # W3C WebDriver: the name under which an element is referred to


class WebKit:
    """One window. `until` waits for a condition in JavaScript, `press` clicks as a finger would."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._session = ""
        self._session = "/session/" + self._call("POST", "", {"capabilities": {"alwaysMatch": {}}})["sessionId"]
        self._call("POST", "/window/rect", {"width": 420, "height": 900})

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        url = f"http://127.0.0.1:{self._port}{self._session or '/session'}{path}"
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def js(self, code: str) -> Any:
        return self._call("POST", "/execute/sync", {"script": f"return {code}", "args": []})

    def until(self, condition: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not self.js(condition):
            if time.monotonic() > deadline:
                pytest.fail(f"waited in vain for {condition}; the page says: {self.js('document.body.innerText')}")
            time.sleep(0.1)

    def until_says(self, text: str) -> None:
        self.until(f"document.body.innerText.includes({json.dumps(text)})")

    def press(self, text: str) -> None:
        says = f"element => element.textContent.trim() === {json.dumps(text)}"
        found = f"[...document.querySelectorAll('button, a, label')].filter({says})"
        self.until(f"{found}.length > 0")
        self.js(f"{found}.at(-1).scrollIntoView({{ block: 'center' }})")
        element = self.js(f"{found}.at(-1)")[_ELEMENT]
        self._call("POST", f"/element/{element}/click", {})

    def picture(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        (SCREENSHOTS / f"{name}-webkit.png").write_bytes(base64.b64decode(self._call("GET", "/screenshot")))

    def close(self) -> None:
        self._call("DELETE", "")


@pytest.fixture
def webkit(tmp_path: Path) -> Iterator[WebKit]:
    if not (shutil.which("WebKitWebDriver") and shutil.which("Xvfb")):
        pytest.skip("WebKit is not installed: webkit2gtk-driver xvfb gstreamer1.0-libav")
    with (tmp_path / "webkit.log").open("wb") as log:
        read, write = os.pipe()
        screen = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", "800x1000x24"], pass_fds=[write], stdout=log, stderr=log
        )
        os.close(write)
        with os.fdopen(read) as said:
            display = said.readline().strip()
        port = free_port()
        # Its sandbox needs rights a container does not give; the pages are our own.
        environment = os.environ | {"DISPLAY": f":{display}", "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1"}
        driver = subprocess.Popen(["WebKitWebDriver", f"--port={port}"], env=environment, stdout=log, stderr=log)
        try:
            wait_for_port(port, driver)
            window = WebKit(port)
            yield window
            window.close()
        finally:
            for process in (driver, screen):
                process.terminate()
                process.wait(10)


def test_pairing_preview_yes_and_coming_back(webkit: WebKit, tmp_path: Path) -> None:
    with PageHome(tmp_path, cached_scene(ROOT / ".cache"), undo_s=3) as home:
        webkit.open(home.invite())
        webkit.press("Make my key")
        webkit.press("I have written it down")
        webkit.until("document.querySelector('nav') !== null")
        home.recorded()
        asked = home.ask()
        webkit.press("Look at it")
        webkit.until("document.querySelector('.offer') !== null")
        webkit.js("document.querySelector('.offer').scrollIntoView()")
        webkit.until("document.querySelector('video')?.readyState >= 2")
        assert webkit.js("document.querySelector('video').videoWidth") == 1280
        webkit.press("Play")
        webkit.until("[...document.querySelectorAll('video')].some(video => video.currentTime > 1)")
        webkit.press("Pause")
        webkit.picture("30-review")
        webkit.press("Include this clip")
        webkit.press("Share 1 clip…")
        webkit.until_says("Every second was opened and checked")
        webkit.press("Share")
        webkit.until_says("Nothing has left your home yet.")
        time.sleep(0.5)  # its screenshots lag behind its document
        webkit.picture("31-undo")
        webkit.until_says("✓ Receipt")
        webkit.picture("32-receipt")
        assert home.state(asked.id) == "delivered"

        webkit.open(home.origin + "/")
        webkit.press("Clips")
        webkit.until("document.querySelector('a.row') !== null")
        webkit.js("document.querySelector('a.row').click()")
        webkit.until("document.querySelector('video')?.readyState >= 2")
        assert webkit.js("document.querySelector('.trouble')") is None
