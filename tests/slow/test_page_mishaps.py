"""What happens to an owner's phone in ordinary life.

Double taps, the back button, a clock that is wrong, a slow network, a doorbell that falls silent in the midst of an
answer, many clips.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from agent.core.encoding import b64u, format_time, parse_time
from tests.page_bench import Bench
from tests.page_home import AGENCY, PageHome, chromium
from tests.slow.test_page_journey import Phone, film  # noqa: F401
from tests.slow.test_page_people import let_in

pytestmark = pytest.mark.slow

HOUR_S = 3600
QUARTER_NS = 15 * 60 * 10**9


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


class ManyClips:
    """A doorbell that answers with `total` clips, one every quarter of an hour, and `newer` ones."""

    def __init__(self, page: Page, total: int) -> None:
        self.total = total
        self.newer = 0
        page.route("**/api/clips?*", self._answer)

    def _answer(self, route: Route) -> None:
        asked = parse_qs(urlsplit(route.request.url).query)
        answer = route.fetch(url=route.request.url.partition("?")[0] + "?limit=1")
        if not answer.ok or not answer.json()["clips"]:
            return route.fulfill(response=answer)
        [real] = answer.json()["clips"]
        start, end = (parse_time(real[name]) for name in ("start", "end"))
        before = parse_time(asked["to"][0]) if "to" in asked else 2**63
        found = []
        for n in range(-self.newer, self.total):
            earlier = n * QUARTER_NS
            known = b64u((n % 2**64).to_bytes(16)) if n else real["id"]
            at = {"id": known, "start": format_time(start - earlier), "end": format_time(end - earlier)}
            if start - earlier < before:
                found.append(real | at)
        return route.fulfill(json={"clips": found[: int(asked["limit"][0])]})


def test_the_oldest_of_many_clips_can_be_reached_and_the_finger_stays(home: PageHome, browser: Browser) -> None:
    phone = Phone(browser, "light")
    page = phone.page
    many = ManyClips(page, 0)
    phone.pair(home)
    home.recorded()
    many.total = 500
    page.reload()
    rows = page.locator("a.clip-row")
    expect(rows).to_have_count(200)
    for shown in (399, 500):
        page.get_by_role("button", name="Earlier clips").click()
        expect(rows).to_have_count(shown)
    expect(page.get_by_role("button", name="Earlier clips")).to_be_hidden()
    rows.nth(450).focus()
    many.newer = 1
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # the list is read anew
    expect(rows).to_have_count(501)
    expect(rows.nth(451)).to_be_focused()
    phone.close()


def test_a_slow_or_silent_doorbell_is_waited_for_in_sight(home: PageHome, browser: Browser) -> None:
    phone = Phone(browser, "light")
    page = phone.page
    phone.pair(home)
    home.recorded()
    held: list[Route] = []
    page.route("**/api/audit*", lambda route: held.append(route))
    page.get_by_role("link", name="Log").click()
    main = page.get_by_role("main")
    expect(main).to_have_attribute("aria-busy", "true")
    assert "Opening" in main.evaluate("m => getComputedStyle(m, '::before').content")
    held[0].abort()
    expect(page.get_by_role("heading", name="This cannot be shown")).to_be_visible()
    assert main.get_attribute("aria-busy") is None
    page.unroute("**/api/audit*")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # heard again
    expect(page.get_by_role("heading", name="Log")).to_be_visible()
    page.goto(f"{home.origin}/#/clips/{'A' * 22}")
    page.get_by_role("link", name="Back to the list").click()
    expect(page.locator("a.clip-row").first).to_be_visible()
    phone.close()


def test_who_is_at_the_door_is_not_said_for_hours_nor_over_a_yes(home: PageHome, browser: Browser) -> None:
    phone = Phone(browser, "light", viewport={"width": 320, "height": 568})
    page = phone.page
    page.clock.install()
    phone.pair(home)
    asked = home.ask()
    home.visit("person")
    expect(page.locator(".visit")).to_be_visible()
    page.goto(f"{home.origin}/#/requests/{asked.id}")
    choose_first(page)
    page.clock.run_for(1000)
    page.get_by_role("dialog").get_by_role("button", name="Share", exact=True).click()
    expect(page.get_by_role("heading", name="You said yes")).to_be_visible()
    expect(page.get_by_role("button", name="Take it back")).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Hold").click()
    expect(page.locator(".visit")).to_be_visible()
    page.clock.run_for(60_000)
    expect(page.locator(".visit")).to_have_count(0)
    phone.close()


@pytest.mark.parametrize("letters", ["17px", "34px"])
def test_words_are_whole_on_a_small_phone_and_in_large_letters(home: PageHome, browser: Browser, letters: str) -> None:
    small = letters == "17px"
    phone = Phone(browser, "light", viewport={"width": 320 if small else 390, "height": 568})
    page = phone.page
    phone.pair(home)
    page.evaluate("size => document.documentElement.style.fontSize = size", letters)
    asked = home.ask()
    for view in ("clips", "requests", "log", "settings", f"requests/{asked.id}"):
        page.goto(f"{home.origin}/#/{view}")
        expect(page.get_by_role("main")).not_to_have_attribute("aria-busy", "true")
        for label in page.locator("nav a > span:not(.badge)").all():
            if label.is_visible():
                assert label.evaluate("e => e.getClientRects().length") == 1, f"{label.inner_text()} is broken"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
    for value in page.locator("dd").all():
        assert value.bounding_box()["width"] > 100, value.inner_text()  # type: ignore[index]
    phone.close()


def test_times_are_said_in_the_zone_they_had_then(browser: Browser) -> None:
    """On the night when clocks go back an hour comes twice; a request's seconds are not rounded away."""
    with Bench(browser) as bench:
        devtools = bench.page.context.new_cdp_session(bench.page)
        devtools.send("Emulation.setTimezoneOverride", {"timezoneId": "America/New_York"})
        said = bench.run(
            "return it.map(([from, to]) => [words.span(from, to), words.zone(from, to)]);",
            [
                ["2026-07-01T18:00:00Z", "2026-07-01T18:30:00Z"],
                ["2026-11-01T05:30:00Z", "2026-11-01T06:15:00Z"],
                ["2026-12-01T18:00:10Z", "2026-12-02T06:00:00.5Z"],
            ],
        )
    summer, winter = "Eastern Daylight Time", "Eastern Standard Time"
    assert [zone for _, zone in said] == [summer, f"from {summer} to {winter}", winter]
    assert [len(re.findall(r"\d:\d\d:\d\d", span)) for span, _ in said] == [0, 0, 2]


def test_trimming_by_finger_and_no_control_under_the_bar(home: PageHome, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(home.invite())
    page.get_by_role("button", name="Make my key").click()
    page.get_by_role("button", name="I have written it down").click()
    asked = home.ask()
    page.goto(f"{home.origin}/#/requests/{asked.id}")
    offer = page.locator(".offer").first
    offer.scroll_into_view_if_needed()
    end = offer.get_by_role("slider", name="End")
    end.focus()
    bar, slider = page.locator(".bar").bounding_box(), end.bounding_box()
    assert bar is not None
    assert slider is not None
    assert slider["y"] + slider["height"] <= bar["y"], "what has the focus is in sight"
    before = offer.locator(".cut strong").inner_text()
    x, y = slider["x"] + slider["width"] - 12, slider["y"] + slider["height"] / 2
    finger = context.new_cdp_session(page)
    for kind, moved in [("touchStart", 0), *[("touchMove", 8 * n) for n in range(1, 12)], ("touchEnd", None)]:
        points = [] if moved is None else [{"x": x - moved, "y": y}]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    expect(offer.locator(".cut strong")).not_to_have_text(before)
    context.close()


def test_clips_a_phone_cannot_open_are_not_offered_as_if_it_could(home: PageHome, browser: Browser) -> None:
    first, second = Phone(browser, "light"), Phone(browser, "light")
    first.pair(home)
    asked = home.ask()
    let_in(first, second, "Sam")
    page = second.page
    page.goto(f"{home.origin}/#/requests/{asked.id}")
    expect(page.locator(".offer")).to_have_count(len(home.recorded().clips))
    for offer in page.locator(".offer").all():
        offer.scroll_into_view_if_needed()
        expect(offer).to_contain_text("an older phone or the recovery code opens it")
        expect(offer).not_to_contain_text("Opening…")
    page.get_by_role("button", name="Share clips…").click()
    expect(page.get_by_text("This phone can open none of these clips")).to_be_visible()
    first.close()
    second.close()
