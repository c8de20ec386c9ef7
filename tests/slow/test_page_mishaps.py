"""What happens to an owner's phone in ordinary life.

Double taps, the back button, a clock that is wrong, a slow network, a doorbell that falls silent in the midst of an
answer, many clips.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.page_home import AGENCY, PageHome, chromium
from tests.slow.test_page_journey import Phone, film  # noqa: F401

pytestmark = pytest.mark.slow

HOUR_S = 3600


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def home(tmp_path: Path, film: Path) -> Iterator[PageHome]:  # noqa: F811
    with PageHome(tmp_path, film, undo_s=20.0) as running:
        yield running


def choose_first(page: Page) -> None:
    """Up to the question whether to share the first clip."""
    page.locator(".offer").first.scroll_into_view_if_needed()
    page.get_by_label("Include this clip").first.check()
    page.get_by_role("button", name="Share 1 clip…").click()


def test_what_a_dialog_asks_goes_with_its_screen(home: PageHome, browser: Browser) -> None:
    phone = Phone(browser, "light")
    page = phone.page
    phone.pair(home)
    home.recorded()
    page.locator("a.row").last.click()
    page.get_by_role("button", name="Delete…").click()
    expect(page.get_by_role("dialog", name="Delete this clip?")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Clips")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    phone.close()


def test_a_yes_takes_a_calm_hand_and_is_not_left_halfway(home: PageHome, browser: Browser) -> None:
    phone = Phone(browser, "light")
    page = phone.page
    phone.pair(home)
    asked = home.ask()
    page.goto(f"{home.origin}/#/requests/{asked.id}")
    choose_first(page)
    yes = page.get_by_role("dialog").get_by_role("button", name="Share", exact=True)
    yes.dispatch_event("click")  # the second tap of a double tap
    expect(page.get_by_role("dialog")).to_contain_text("✓ Every second")
    expect(yes).to_have_attribute("aria-disabled", "false")
    assert home.state(asked.id) == "asked"

    held: list[Route] = []
    page.route("**/decision", lambda route: held.append(route))
    yes.click()
    expect(page.get_by_role("dialog")).to_contain_text("Telling the doorbell…")
    expect(page.get_by_role("button", name="Go back")).to_be_disabled()
    held[0].abort()
    expect(page.get_by_role("alert")).to_contain_text("It may have heard you all the same")
    expect(page.get_by_role("button", name="Go back")).to_be_enabled()
    page.unroute("**/decision")
    yes.click()
    expect(page.get_by_role("heading", name="You said yes")).to_be_visible()
    expect(page.get_by_role("timer")).to_contain_text(f"Sending to {AGENCY} begins in")
    page.get_by_role("button", name="Take it back").click()
    expect(page.get_by_role("heading", name=f"{AGENCY} asks for video")).to_be_visible()
    phone.close()


@pytest.mark.parametrize("hours", [5, -5])
def test_a_phone_whose_clock_is_wrong_can_answer(home: PageHome, browser: Browser, hours: int) -> None:
    phone = Phone(browser, "light")
    page = phone.page
    page.clock.set_system_time(time.time() + hours * HOUR_S)
    phone.pair(home)
    asked = home.ask()
    page.goto(f"{home.origin}/#/requests/{asked.id}")
    choose_first(page)
    page.get_by_role("dialog").get_by_role("button", name="Share", exact=True).click()
    expect(page.get_by_role("heading", name="You said yes")).to_be_visible()
    assert home.state(asked.id) == "agreed"
    phone.close()
