"""Another phone let in, one taken out, one back with the recovery code: real browsers against a real doorbell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from agent.core.identity import read_owner_set
from tests.page_home import PageHome, chromium
from tests.slow.test_page_journey import Phone, Scheme, film

__all__ = ["film"]
PLAYABLE = """async video => {
  for (let i = 0; i < 100 && video.readyState < 2; i++) await new Promise(done => setTimeout(done, 100));
  return video.readyState >= 2 && video.videoWidth > 0;
}"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def home(tmp_path: Path, film: Path) -> Iterator[PageHome]:
    with PageHome(tmp_path, film) as running:
        yield running


def names(home: PageHome) -> list[str]:
    status = home._call(lambda: home.doorbell.desk.status())
    device = home._call(lambda: home.doorbell.doorkeeper.device().id)
    return [owner.name for owner in read_owner_set(status.owners.encode(), device).owners]


def let_in(first: Phone, second: Phone, name: str) -> None:
    first.page.get_by_role("link", name="Settings").click()
    first.page.get_by_role("link", name="Let another phone in").click()
    link = first.page.locator(".code.link").inner_text()
    first.picture("20-invite")
    second.page.goto(link)
    assert "#" not in second.page.url, "the secret must not stay in the address bar"
    second.page.get_by_label("What shall this phone be called?").fill(name)
    second.picture("21-invited")
    second.page.get_by_role("button", name="Make my key").click()
    expect(first.page.get_by_role("heading", name=f"“{name}” wants in")).to_be_visible()
    first.picture("22-wants-in")
    first.page.get_by_role("button", name="Let it in").click()
    expect(first.page.get_by_text("is an owner now")).to_be_visible()
    expect(second.page.get_by_role("navigation", name="Main")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_another_phone_is_let_in_and_taken_out(home: PageHome, browser: Browser, scheme: Scheme) -> None:
    first, second = Phone(browser, scheme), Phone(browser, scheme)
    first.pair(home)
    let_in(first, second, "Robin's phone")
    home.recorded()
    second.page.get_by_role("link", name="Clips", exact=True).click()
    rows = second.page.locator("main a[href*='#/clips/']")
    closed = second.page.locator(".thumb", has_text="Not for this phone")
    expect(rows.first).to_be_visible()
    expect(second.page.locator(".thumb:empty")).to_have_count(0)
    hint = second.page.get_by_text("This phone cannot open clips from before")
    expect(hint).to_be_visible(visible=closed.count() > 0)
    second.picture("27-not-for-this-phone")
    rows.last.click()
    expect(second.page.get_by_text("recorded before this phone").or_(second.page.locator("video"))).to_be_visible()
    first.page.get_by_role("link", name="Settings").last.click()
    first.picture("23-people", whole=True)
    row = first.page.locator("li.row", has_text="Robin's phone")
    row.get_by_role("button", name="Take out…").click()
    first.picture("24-take-out", whole=True)
    row.get_by_role("button", name="Take it out").click()
    expect(row).to_have_count(0)
    assert len(names(home)) == 1
    second.page.reload()
    expect(second.page.get_by_role("heading", name="This doorbell has its phone")).to_be_visible()
    assert first.complaints == []
    first.close()
    second.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_new_phone_comes_back_with_the_recovery_code(home: PageHome, browser: Browser, scheme: Scheme) -> None:
    lost = Phone(browser, scheme)
    lost.page.goto(home.invite())
    lost.page.get_by_role("button", name="Make my key").click()
    code = lost.page.locator("p.code").inner_text().replace("\n", "")
    lost.page.get_by_role("button", name="I have written it down").click()
    expect(lost.page.get_by_role("navigation", name="Main")).to_be_visible()
    home.recorded()
    lost.close()

    phone = Phone(browser, scheme)
    origin = home.invite().split("/pair")[0]
    phone.page.goto(origin)
    phone.page.get_by_role("button", name="I have my recovery code").click()
    field = phone.page.get_by_label("Recovery code")
    field.fill(code[:-1] + ("0" if code[-1] != "0" else "1"))
    phone.page.get_by_label("Take out all other phones").check()
    phone.page.get_by_role("button", name="Open my doorbell").click()
    expect(phone.page.get_by_text("mistyped somewhere")).to_be_visible()
    phone.picture("25-recovery", whole=True)
    field.fill(code.lower().replace("-", " "))
    phone.page.get_by_role("button", name="Open my doorbell").click()
    expect(phone.page.get_by_role("navigation", name="Main")).to_be_visible()
    assert len(names(home)) == 1
    for _ in range(2):  # also after the keys were taken out of where the browser keeps them
        phone.page.get_by_role("link", name="Clips", exact=True).click()
        phone.page.locator("main a[href*='#/clips/']").last.click()
        expect(phone.page.locator("video")).to_be_visible()
        assert phone.page.locator("video").evaluate(PLAYABLE)
        phone.page.reload()
        expect(phone.page.get_by_role("navigation", name="Main")).to_be_visible()
    assert phone.complaints == []
    phone.close()
