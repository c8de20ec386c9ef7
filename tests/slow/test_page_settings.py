"""What an owner sets about requests on the phone, and a request that goes away or comes from a directory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from playwright.sync_api import Browser, expect

from agent.adapters.clock import utc_ns
from agent.core import statements
from agent.core.directory import Directory, sign_directory
from agent.core.encoding import b64u
from agent.core.statements import Kind
from tests.page_home import PageHome, chromium
from tests.slow.test_page_journey import Phone, Scheme, film

pytestmark = pytest.mark.slow
__all__ = ["film"]

# A promise counts as true for Playwright only once it has come true.
KNOWS_DIRECTORY = """() => new Promise((found) => {
  const opening = indexedDB.open("doorward", 1);
  opening.onsuccess = () => {
    const all = opening.result.transaction("doorbells").objectStore("doorbells").getAll();
    all.onsuccess = () => { opening.result.close(); found(all.result.some((one) => one.directory)) };
  };
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_settings_about_requests(tmp_path: Path, film: Path, browser: Browser, scheme: Scheme) -> None:
    with PageHome(tmp_path, film, listed=True) as home:
        phone = Phone(browser, scheme)
        page = phone.page
        phone.pair(home)
        asked = home.ask()
        page.goto(f"{home.origin}/#/requests/{asked.id}")
        expect(page.get_by_text("Signed with the key that Example County lists as")).to_be_visible()
        phone.picture("30-listed", whole=True)
        page.goto(f"{home.origin}/#/settings")
        expect(page.get_by_text("Example County, version 1, 1 requester")).to_be_visible()
        page.get_by_role("button", name="Pause until I resume").click()
        expect(page.get_by_text("Nobody can ask you anything, and nobody is told.")).to_be_visible()
        expect(page.locator("header")).to_contain_text("requests are paused")
        page.get_by_role("button", name="Let requests in again").click()
        page.get_by_role("button", name="Turn on").click()
        expect(page.get_by_text("On (America/New_York)")).to_be_visible()
        page.get_by_label("Kinds of incident").fill("noise, parking")
        page.get_by_label("Requests about more than").select_option("120")
        page.get_by_label("how to reach them").check()
        page.get_by_role("button", name="Save these rules").click()
        expect(page.get_by_role("status").filter(has_text="Saved.")).to_be_visible()
        page.get_by_role("button", name="Block", exact=True).click()
        expect(page.get_by_text("Blocked", exact=True)).to_be_visible()
        phone.picture("31-settings", whole=True)
        rules = home.settings()
        assert rules.decline.incidents == ["noise", "parking"]
        assert (rules.decline.longer_than_min, rules.decline.lacking) == (120, ["contact"])
        assert rules.quiet is not None
        assert (rules.quiet.zone, rules.paused) == ("America/New_York", None)
        page.goto(f"{home.origin}/#/requests/{asked.id}")
        expect(page.get_by_text("You blocked who asked")).to_be_visible()
        page.get_by_role("link", name="Settings").click()
        page.get_by_role("button", name="Unblock").click()
        expect(page.get_by_role("button", name="Block", exact=True)).to_be_visible()
        assert phone.complaints == []
        phone.close()


def test_a_withdrawn_request_goes_away_with_a_note(tmp_path: Path, film: Path, browser: Browser) -> None:
    with PageHome(tmp_path, film) as home:
        phone = Phone(browser, "light")
        page = phone.page
        phone.pair(home)
        asked = home.ask()
        page.goto(f"{home.origin}/#/requests/{asked.id}")
        expect(page.get_by_role("button", name="Share nothing")).to_be_visible()
        home.withdraw(asked)
        expect(page.get_by_role("heading", name="They took this request back")).to_be_visible()
        phone.picture("32-withdrawn")
        again = home.ask(replaces=asked.id, message="Asked anew, in other words.")
        page.goto(f"{home.origin}/#/requests/{again.id}")
        expect(page.get_by_text("They asked before and ask again")).to_be_visible()
        assert phone.complaints == []
        phone.close()


def resigned(directory: bytes, version: int) -> str:
    """What `GET /api/directory` answers where somebody has put a directory of their own in its place."""
    said = statements.unverified(Kind.DIRECTORY, directory, Directory)
    listed = [statement.encode() for statement in said.requesters]
    key = Ed25519PrivateKey.generate()
    made = sign_directory("Example County", version, listed, key, now_ns=utc_ns(), life_ns=86_400 * 10**9)
    return json.dumps({"key": b64u(key.public_key().public_bytes_raw()), "statement": made.decode()})


def test_another_directory_than_the_one_known_since_pairing_is_told(
    tmp_path: Path, film: Path, browser: Browser
) -> None:
    changed = "The directory your doorbell goes by has another key than before"
    with PageHome(tmp_path, film, listed=True) as home:
        phone = Phone(browser, "light")
        page = phone.page
        phone.pair(home)
        page.wait_for_function(KNOWS_DIRECTORY)
        directory = (tmp_path / "county.directory").read_bytes()
        other = resigned(directory.strip(), 7)
        page.route("**/api/directory", lambda route: route.fulfill(body=other, content_type="application/json"))
        asked = home.ask()
        page.goto(f"{home.origin}/#/requests/{asked.id}")
        expect(page.get_by_text(changed)).to_be_visible()
        expect(page.get_by_role("button", name="Share clips…")).to_be_disabled()
        page.get_by_role("button", name="Share clips…").click(force=True)
        expect(page.get_by_text("Not before the directory is the one you know")).to_be_visible()
        expect(page.get_by_role("button", name="Share nothing")).to_be_enabled()
        phone.picture("31-other-directory", whole=True)
        page.goto(f"{home.origin}/#/settings")
        expect(page.get_by_text(changed)).to_be_visible()
        phone.picture("32-other-directory-settings", whole=True)
        page.goto(f"{home.origin}/#/requests/{asked.id}")
        page.get_by_role("button", name="We changed it").click()
        expect(page.get_by_text("This phone has known that directory’s key since")).to_be_visible()
        expect(page.get_by_text(changed)).to_have_count(0)
        expect(page.get_by_role("button", name="Share clips…")).to_be_enabled()
        page.unroute("**/api/directory")
        page.reload()
        expect(page.get_by_text(changed)).to_be_visible()
        assert phone.complaints == []
        phone.close()
