"""What an owner sets about requests on the phone, and a request that goes away or comes from a directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.page_home import PageHome, chromium
from tests.slow.test_page_journey import Phone, Scheme, film

pytestmark = pytest.mark.slow
__all__ = ["film"]


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
