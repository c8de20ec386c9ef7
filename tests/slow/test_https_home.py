"""A phone in the home's network: what it sees before it trusts the doorbell, and the page once it does. In Chromium.

The home's network is an address of its own on loopback, so that the doorbell does not take the phone for itself.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Error, Page, expect, sync_playwright

from tests.conftest import ROOT
from tests.page_home import _FLAGS
from tests.slow.conftest import free_port, needed
from tests.slow.doorbells import Neighbourhood

pytestmark = pytest.mark.slow

# Each of the processes that run tests side by side has its own.
ADDRESS = f"10.88.77.{66 + int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0')[2:])}"
NAME = "doorbell.local"
SCREENSHOTS = ROOT / "build" / "screenshots"


@pytest.fixture
def network() -> Iterator[None]:
    """An address of this machine that is not its loopback's; root may make one."""
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("only root can give this machine another address")
    subprocess.run([needed("ip"), "address", "add", f"{ADDRESS}/32", "dev", "lo"], check=True)
    try:
        yield
    finally:
        subprocess.run([needed("ip"), "address", "del", f"{ADDRESS}/32", "dev", "lo"], check=True)


class SecureStreet(Neighbourhood):
    """A doorbell that serves its page to the home's network."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.https_port = free_port()
        self.config.write_text(
            self.config.read_text() + f'host = "0.0.0.0"\nhttps_port = {self.https_port}\nnames = ["{NAME}"]\n'
        )

    @property
    def plain(self) -> str:
        return f"http://{NAME}:{self.port}"

    @property
    def secure(self) -> str:
        return f"https://{NAME}:{self.https_port}"


@contextmanager
def phone(home: Path, scheme: Literal["light", "dark"] = "light") -> Iterator[Page]:
    """Chromium with a home directory of its own, where its trusted authorities are, in the doorbell's network."""
    flags = [*_FLAGS, f"--host-resolver-rules=MAP {NAME} {ADDRESS}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=needed("chromium"), args=flags, env={**os.environ, "HOME": str(home)}
        )
        context = browser.new_context(
            viewport={"width": 390, "height": 844}, device_scale_factor=2, color_scheme=scheme, locale="en-GB"
        )
        context.set_default_timeout(15_000)
        yield context.new_page()
        browser.close()


def install(authority: Path, home: Path) -> None:
    """What a person does in the browser's settings."""
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    for arguments in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "Doorward", "-i", authority]):
        subprocess.run([needed("certutil"), "-d", f"sql:{store}", *arguments], check=True)


def test_a_phone_gets_the_certificate_trusts_the_page_and_pairs(
    tmp_path: Path, mosquitto: str, scene: Path, network: None
) -> None:
    street = SecureStreet(tmp_path, mosquitto, scene)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    home = tmp_path / "phone"
    home.mkdir()
    authority = tmp_path / "doorward-ca.crt"
    with street.running():
        shown = street.command("pair")
        link, code = shown["url"], shown["certificate"]
        assert link.startswith(f"{street.secure}/pair#1.")
        assert len(link.rpartition(".")[2]) == 22
        for scheme in ("light", "dark"):
            with phone(home, scheme) as page:
                page.goto(street.plain)
                expect(page.get_by_text(code)).to_be_visible()
                page.screenshot(path=SCREENSHOTS / f"steps-{scheme}.png", full_page=True)
                assert page.evaluate("window.isSecureContext") is False
                with page.expect_download() as download:
                    page.get_by_role("link", name="Get the doorbell’s certificate").click()
                download.value.save_as(authority)
                for path in ("/api/device", "/pair", "/app/main.js"):
                    answer = page.request.get(f"http://{ADDRESS}:{street.port}{path}")
                    assert (answer.status, b"Get the doorbell" in answer.body()) == (404, True)
                with pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
                    page.goto(street.secure)
        install(authority, home)
        with phone(home) as page:
            page.goto(street.plain)
            page.get_by_role("link", name="Open the page").click()
            page.wait_for_url(f"{street.secure}/")
            assert page.evaluate("window.isSecureContext") is True
            page.goto(link)
            page.get_by_role("button", name="Make my key").click()
            page.get_by_role("button", name="I have written it down").click()
            expect(page.get_by_role("navigation", name="Main")).to_be_visible()
        assert json.loads(urllib.request.urlopen(f"{street.url}/api/device").read())["paired"] is True


def test_an_owner_on_a_computer_comes_by_https_too(
    tmp_path: Path, mosquitto: str, scene: Path, network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    street = SecureStreet(tmp_path, mosquitto, scene)
    text = street.config.read_text()
    street.config.write_text(text.replace(f'names = ["{NAME}"]', f'names = ["{ADDRESS}"]'))
    with street.running():
        street.url = f"https://{ADDRESS}:{street.https_port}"
        authority = urllib.request.urlopen(f"http://{ADDRESS}:{street.port}/doorward-ca.crt").read()
        (tmp_path / "ca.pem").write_text(ssl.DER_cert_to_PEM_cert(authority))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        street.pair()
        street.wait_for_clips(1)


def test_with_a_certificate_of_ones_own_the_plain_address_leads_on(
    tmp_path: Path, mosquitto: str, scene: Path, network: None
) -> None:
    (tmp_path / "made").mkdir()
    made = SecureStreet(tmp_path / "made", mosquitto, scene)
    with made.running():
        pass
    for name in ("page.pem", "page.key"):
        shutil.copy(made.state / "tls" / name, tmp_path)
    (tmp_path / "own").mkdir()
    street = SecureStreet(tmp_path / "own", mosquitto, scene)
    street.config.write_text(
        street.config.read_text() + f'certificate = "{tmp_path}/page.pem"\nkey = "{tmp_path}/page.key"\n'
    )
    with street.running():
        assert street.command("pair")["url"].endswith(".")
        connection = http.client.HTTPConnection(ADDRESS, street.port)
        connection.request("GET", "/x")
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Location"]) == (307, f"{street.secure}/")
