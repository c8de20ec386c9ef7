"""The owner's whole way through the page in a real browser, against the real doorbell, broker and requester.

Every screen is kept as a picture under build/screenshots, at the size of a phone, in light and in dark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, expect

from agent.demo.scene import cached_scene
from tests.conftest import ROOT
from tests.page_home import AGENCY, PageHome, chromium

pytestmark = pytest.mark.slow

Scheme = Literal["light", "dark"]
PHONE = {"width": 390, "height": 844}
SCREENSHOTS = ROOT / "build" / "screenshots"
UNDO_S = 10.0

# What a person sees of a <video>: its size, where it stands, and how many different colours a drawing of it has.
LOOK = """video => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [64, 36];
  const paper = canvas.getContext("2d");
  paper.drawImage(video, 0, 0, 64, 36);
  const dots = new Uint32Array(paper.getImageData(0, 0, 64, 36).data.buffer);
  return { width: video.videoWidth, time: video.currentTime, colours: new Set(dots).size };
}"""


class Phone:
    """A browser the size of a phone, that keeps pictures and every complaint of the page."""

    def __init__(self, browser: Browser, scheme: Scheme, *, viewport: dict[str, int] | None = None) -> None:
        self._scheme = scheme
        self._context = browser.new_context(
            viewport=viewport or PHONE,  # type: ignore[arg-type]
            color_scheme=scheme,
            device_scale_factor=2,
            locale="en-GB",
            timezone_id="America/New_York",
            accept_downloads=True,
        )
        self._context.set_default_timeout(15_000)
        self.page: Page = self._context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", self._failed)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _failed(self, error: Error) -> None:
        self.complaints.append(str(error))

    def picture(self, name: str, *, whole: bool = False) -> None:
        """Keep what the screen shows."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}-{self._scheme}.png", full_page=whole, animations="disabled")

    def pair(self, home: PageHome) -> None:
        """From the link on the doorbell to the first screen."""
        self.page.goto(home.invite())
        self.page.get_by_role("button", name="Make my key").click()
        self.page.get_by_role("button", name="I have written it down").click()
        expect(self.page.get_by_role("navigation", name="Main")).to_be_visible()

    def close(self) -> None:
        self._context.close()


@pytest.fixture(scope="module")
def film() -> Path:
    return cached_scene(ROOT / ".cache")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def home(tmp_path: Path, film: Path) -> Iterator[PageHome]:
    with PageHome(tmp_path, film, undo_s=UNDO_S) as running:
        yield running


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_whole_way_to_a_receipt(home: PageHome, browser: Browser, scheme: Scheme) -> None:
    phone = Phone(browser, scheme)
    page = phone.page
    _pair_by_link(phone, home)

    report = home.recorded()
    asked = home.ask()
    notice = page.locator(".notice")
    expect(notice).to_contain_text(AGENCY)
    phone.picture("04-prompt")
    notice.get_by_role("link", name="Look at it").click()

    _review(phone, len(report.clips))
    first, last = _trim(phone)
    _nothing_is_shared_by_halves(phone, home, asked.id)
    _confirm(phone)

    expect(page.get_by_role("heading", name="You said yes")).to_be_visible()
    expect(page.get_by_text("Nothing has left your home yet.")).to_be_visible()
    phone.picture("09-undo")
    assert home.state(asked.id) == "agreed"
    page.get_by_role("button", name="Take it back").click()
    expect(page.get_by_role("heading", name=f"{AGENCY} asks for video")).to_be_visible()
    assert home.state(asked.id) == "asked"

    _trim(phone)
    _confirm(phone)
    page.get_by_role("button", name="Hold").click()
    expect(page.get_by_role("heading", name="On hold")).to_be_visible()
    phone.picture("10-held")
    page.get_by_role("link", name="Requests").first.click()
    expect(page.get_by_role("heading", name="Under way")).to_be_visible()
    expect(page.get_by_role("heading", name="Earlier")).to_have_count(0)
    page.go_back()
    page.get_by_role("button", name="Let it go on").click()
    expect(page.get_by_role("heading", name="Delivered")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("✓ Receipt")).to_be_visible()
    phone.picture("12-receipt")

    _evidence_is_what_was_chosen(home, last - first)
    _other_screens(phone)
    assert phone.complaints == []
    phone.close()


def _pair_by_link(phone: Phone, home: PageHome) -> None:
    page = phone.page
    page.goto(home.invite())
    expect(page.get_by_role("heading", name="Pair with “Front door”")).to_be_visible()
    assert "#" not in page.url, "the secret must not stay in the address bar"
    phone.picture("01-pair")
    page.get_by_role("button", name="Make my key").click()
    code = page.locator(".code").inner_text()
    assert re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{4}-){6}[0-9A-HJKMNP-TV-Z]{4}", re.sub(r"\s", "", code))
    phone.picture("02-recovery")
    page.get_by_role("button", name="I have written it down").click()
    expect(page.get_by_role("heading", name="Clips")).to_be_visible()
    assert page.url == f"{home.origin}/#/clips"
    home.recorded()
    expect(page.locator("a.row").first).to_be_visible()
    phone.picture("03-clips")


def _review(phone: Phone, clips: int) -> None:
    page = phone.page
    expect(page.get_by_role("heading", name=f"{AGENCY} asks for video")).to_be_visible()
    phone.picture("05-review")
    offers = page.locator(".offer")
    expect(offers).to_have_count(clips)
    assert page.locator(".include input:checked").count() == 0, "nothing is chosen beforehand"
    nothing, share = page.locator(".bar button").all()
    assert nothing.bounding_box()["width"] == pytest.approx(share.bounding_box()["width"], abs=1)  # type: ignore[index]
    for property in ("background-color", "color", "font-weight", "border-color"):
        style = [b.evaluate("(b, p) => getComputedStyle(b).getPropertyValue(p)", property) for b in (nothing, share)]
        assert style[0] == style[1], f"the two answers have equal weight, but not in {property}"
    page.get_by_role("button", name="Share clips…").click()
    expect(page.get_by_text("Choose a clip first")).to_be_visible()
    expect(offers.first).to_be_in_viewport()

    offers.first.scroll_into_view_if_needed()
    video = page.locator("video").first
    page.wait_for_function("() => document.querySelector('video')?.readyState >= 2")
    before = video.evaluate(LOOK)
    offers.first.get_by_role("button", name="Play").click()
    page.wait_for_function("t => document.querySelector('video').currentTime > t + 0.7", arg=before["time"])
    during = video.evaluate(LOOK)
    offers.first.get_by_role("button", name="Pause").click()
    assert during["width"] == 1280
    assert during["colours"] > 50, "the picture is a picture"
    phone.picture("06-clip")


def _trim(phone: Phone) -> tuple[float, float]:
    """Cut the first clip at both ends and include it. Returns clip times of the cut, seconds."""
    page = phone.page
    offer = page.locator(".offer").first
    offer.scroll_into_view_if_needed()
    begin, end = offer.get_by_role("slider", name="Begin"), offer.get_by_role("slider", name="End")
    expect(begin).to_be_visible()
    for _ in range(2):
        begin.press("ArrowRight")
    for _ in range(3):
        end.press("ArrowLeft")
    page.wait_for_timeout(300)
    first, last = _cut_of(offer.locator(".cut strong").inner_text())
    video = page.locator("video").first
    video.evaluate("(v, at) => { v.currentTime = at; }", last - _start_of(page) - 1.5)
    offer.get_by_role("button", name="Play").click()
    expect(offer.get_by_role("button", name="Pause")).to_be_visible()
    expect(offer.get_by_role("button", name="Play")).to_be_visible()
    stopped_at = float(video.evaluate("v => v.currentTime"))
    assert stopped_at > last - _start_of(page) - 1.1, "and no less; the heading leaves out fractions"
    assert stopped_at < last - _start_of(page) + 0.1, "the preview shows no more than would be shared"
    offer.get_by_label("Include this clip").check()
    expect(page.locator(".bar button").nth(1)).to_have_text("Share 1 clip…")
    phone.picture("07-trimmed")
    return first, last


def _seconds(text: str) -> float:
    hours, minutes, seconds = text.strip().split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _cut_of(text: str) -> tuple[float, float]:
    first, last = map(_seconds, text.split("–"))
    return first, last


def _start_of(page: Page) -> float:
    return _seconds(page.locator(".offer h3").first.inner_text().rsplit(",", 1)[1])


def _nothing_is_shared_by_halves(phone: Phone, home: PageHome, request: str) -> None:
    """Opening the last look and going back answers nothing."""
    page = phone.page
    page.get_by_role("button", name="Share 1 clip…").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_role("button", name="Go back").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert home.state(request) == "asked"


def _confirm(phone: Phone) -> None:
    page = phone.page
    page.get_by_role("button", name="Share 1 clip…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("✓ Every second was opened and checked on this phone.")).to_be_visible()
    cut = page.locator(".offer .cut strong").first.inner_text()
    expect(dialog).to_contain_text(cut)
    expect(dialog).to_contain_text("left out")
    phone.picture("08-confirm")
    dialog.get_by_role("button", name="Share", exact=True).click()


def _evidence_is_what_was_chosen(home: PageHome, chosen_s: float) -> None:
    films = list(home.evidence.rglob("clip-*.mp4"))
    assert len(films) == 1
    import av

    with av.open(str(films[0])) as film:
        stream = film.streams.video[0]
        assert stream.duration is not None
        assert stream.time_base is not None
        assert float(stream.duration * stream.time_base) == pytest.approx(chosen_s, abs=0.21)


def _other_screens(phone: Phone) -> None:
    page = phone.page
    nav = page.get_by_role("navigation", name="Main")
    nav.get_by_role("link", name="Requests").click()
    expect(page.get_by_text("Delivered")).to_be_visible()
    phone.picture("13-requests")
    nav.get_by_role("link", name="Log").click()
    expect(page.get_by_text("✓ Chain intact")).to_be_visible()
    expect(page.get_by_text("You took your yes back")).to_be_visible()
    phone.picture("14-log")
    nav.get_by_role("link", name="Settings").click()
    expect(page.get_by_text("(this phone)")).to_be_visible()
    phone.picture("15-settings")
    nav.get_by_role("link", name="Clips").click()
    page.locator("a.row").last.click()
    page.wait_for_function("() => document.querySelector('video')?.readyState >= 2")
    phone.picture("16-clip")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    import av

    with av.open(str(download.value.path())) as film:
        assert sum(1 for _ in film.decode(video=0)) > 30
    assert download.value.suggested_filename.endswith(".mp4")


def test_declining_sends_nothing(home: PageHome, browser: Browser) -> None:
    phone = Phone(browser, "light")
    page = phone.page
    phone.pair(home)
    asked = home.ask()
    page.goto(f"{home.origin}/#/requests/{asked.id}")
    page.get_by_role("button", name="Share nothing").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("for good")
    phone.picture("17-decline")
    dialog.get_by_role("button", name="Share nothing").click()
    expect(page.get_by_role("heading", name="You shared nothing")).to_be_visible()
    phone.picture("18-declined")
    assert home.state(asked.id) == "declined"
    assert "offered" not in home.audit()
    assert phone.complaints == []
    phone.close()


def test_stopping_what_is_left(tmp_path: Path, film: Path, browser: Browser) -> None:
    with PageHome(tmp_path, film, undo_s=1.0, receives=False) as home:
        phone = Phone(browser, "light")
        page = phone.page
        phone.pair(home)
        asked = home.ask()
        page.goto(f"{home.origin}/#/requests/{asked.id}")
        page.get_by_role("button", name="Share clips…").click()
        expect(page.get_by_text("Choose a clip first")).to_be_visible()
        page.locator(".offer").first.scroll_into_view_if_needed()
        page.get_by_label("Include this clip").first.check()
        page.get_by_role("button", name="Share 1 clip…").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("You have not played this clip yet.")
        dialog.get_by_role("button", name="Share", exact=True).click()
        expect(page.get_by_role("heading", name="Being sent")).to_be_visible()
        phone.picture("11-sending")
        page.get_by_role("button", name="Stop what is left").click()
        expect(page.get_by_role("heading", name="You stopped it")).to_be_visible()
        expect(page.get_by_text("No video had been sent.")).to_be_visible()
        assert home.state(asked.id) == "stopped"
        assert phone.complaints == []
        phone.close()


def test_a_doorbell_out_of_reach_is_said_and_found_again(home: PageHome, browser: Browser) -> None:
    phone = Phone(browser, "dark")
    page = phone.page
    phone.pair(home)
    clips = f"{len(home.recorded().clips)} clips"
    expect(page.locator(".status")).to_contain_text(clips)
    page.context.set_offline(True)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # as when the phone comes out of the pocket
    expect(page.locator(".status")).to_contain_text("does not answer")
    phone.picture("22-away")
    page.context.set_offline(False)
    expect(page.locator(".status")).to_contain_text(clips)
    home.ask()
    expect(page.locator(".notice")).to_contain_text(AGENCY)
    assert [text for text in phone.complaints if "ERR_INTERNET_DISCONNECTED" not in text] == []
    phone.close()


def test_requests_that_came_are_one_notice_until_they_were_looked_at(home: PageHome, browser: Browser) -> None:
    phone = Phone(browser, "light", viewport={"width": 320, "height": 640})
    page = phone.page
    phone.pair(home)
    first, second = home.ask(), home.ask(incident_type="Hit and run")
    notice = page.locator(".notice")
    expect(notice).to_have_count(1)
    expect(notice).to_contain_text("2 requests for video have come.")
    phone.picture("04-two-requests")
    page.goto(f"{home.origin}/#/requests/{first.id}")
    expect(notice).to_contain_text("Hit and run")
    page.goto(f"{home.origin}/#/log")
    expect(notice).to_contain_text("Hit and run")
    notice.get_by_role("link", name="Look at it").click()
    expect(page).to_have_url(f"{home.origin}/#/requests/{second.id}")
    expect(notice).to_have_count(0)
    assert phone.complaints == []
    phone.close()


def test_a_link_that_was_copied_in_part_is_said_to_be(home: PageHome, browser: Browser) -> None:
    phone = Phone(browser, "light")
    phone.page.goto(home.invite()[:-30])
    expect(phone.page.get_by_role("alert").or_(phone.page.locator(".trouble"))).to_contain_text("not")
    assert "base64url" not in phone.page.locator("body").inner_text()
    phone.close()


def test_a_link_is_good_once_and_a_second_browser_is_told(home: PageHome, browser: Browser) -> None:
    first = Phone(browser, "light")
    link = home.invite()
    first.page.goto(link)
    first.page.get_by_role("button", name="Make my key").click()
    first.page.get_by_role("button", name="I have written it down").click()
    expect(first.page.get_by_role("navigation", name="Main")).to_be_visible()
    second = Phone(browser, "light")
    second.page.goto(link)
    expect(second.page.get_by_role("alert")).to_be_visible()
    expect(second.page.get_by_role("heading", name="This doorbell has its phone")).to_be_visible()
    second.picture("23-spent-link")
    # Keys that the doorbell does not know, as after a new set-up that kept its identity: the page says so.
    first.page.evaluate(
        """async () => {
          const [identity, keystore, api, messages] = await Promise.all(
            ["identity", "keystore", "api", "messages"].map(name => import(`/app/${name}.js`)));
          const { id } = await api.callOpen("/api/device", messages.device);
          await keystore.remember({ ...await keystore.recall(id), keys: await identity.makeKeys() });
        }"""
    )
    first.page.reload()
    expect(first.page.get_by_role("heading", name="This doorbell has its phone")).to_be_visible()
    first.close()
    second.close()


# Everything that can be pressed or moved: how large it is, and what a screen reader calls it.
CONTROLS = """() => [...document.querySelectorAll("a, button, input, video[controls]")]
  .filter(e => e.checkVisibility())
  .map(e => {
    const target = e.closest("label") ?? e;
    const { width, height } = target.getBoundingClientRect();
    const name = e.getAttribute("aria-label") ?? e.labels?.[0]?.textContent ?? e.textContent;
    return { what: e.outerHTML.slice(0, 80), name: name.trim(), size: Math.min(width, height) };
  })"""


def _can_be_used_by_everybody(page: Page) -> None:
    """WCAG 2.2: names and roles (4.1.2), target size (2.5.8), one first heading, no level left out (1.3.1)."""
    controls = page.evaluate(CONTROLS)
    assert len(controls) > 10
    for control in controls:
        assert control["name"], f"nameless: {control}"
        assert control["size"] >= 24, f"too small: {control}"
    levels = [int(name[1]) for name in page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(e => e.tagName)")]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    expect(page.get_by_role("heading", level=1)).to_be_focused()


def test_pairing_by_a_typed_code_and_coming_back(home: PageHome, browser: Browser) -> None:
    phone = Phone(browser, "light", viewport={"width": 320, "height": 640})
    page = phone.page
    link = home.invite()
    page.goto(f"{home.origin}/")
    expect(page.get_by_role("heading", name="Make this phone yours")).to_be_visible()
    phone.picture("19-type-320")
    page.get_by_label("Pairing code").fill("AAAA-BBBB")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("alert")).to_contain_text("seven groups")
    page.get_by_label("Pairing code").fill(link)
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Make my key").click()
    phone.picture("20-recovery-320")
    page.get_by_role("button", name="I have written it down").click()
    expect(page.get_by_role("heading", name="Clips")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Clips")).to_be_visible()
    home.recorded()
    asked = home.ask()
    page.goto(f"{home.origin}/#/requests/{asked.id}")
    page.locator(".offer").first.scroll_into_view_if_needed()
    expect(page.get_by_role("slider", name="Begin").first).to_be_visible()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 320, "nothing is wider than a small phone"
    _can_be_used_by_everybody(page)
    phone.picture("21-review-320", whole=True)
    page.get_by_role("button", name="Share nothing").click()
    expect(page.get_by_role("dialog", name="Share nothing?")).to_be_visible()
    expect(page.get_by_role("heading", name="Share nothing?")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert phone.complaints == []
    phone.close()
