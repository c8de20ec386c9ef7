"""Sound in the owner's page: left out unless put in, heard before it is agreed to, and then in the evidence."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from playwright.sync_api import Browser, expect

from tests.clapper import apart, make_clapper
from tests.page_home import PageHome
from tests.slow.test_page_journey import Phone, browser  # noqa: F401

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("put_in", [False, True])
def test_sound_is_shared_exactly_when_it_was_put_in(tmp_path: Path, browser: Browser, put_in: bool) -> None:  # noqa: F811
    footage = make_clapper(tmp_path / "clapper.mp4", 24)
    with PageHome(tmp_path, footage, undo_s=0.5, sound=True) as home:
        phone = Phone(browser, "light")
        page = phone.page
        phone.pair(home)
        home.recorded()
        home.ask()
        page.locator(".notice").get_by_role("link", name="Look at it").click()
        offer = page.locator(".offer").first
        offer.scroll_into_view_if_needed()
        page.wait_for_function("() => document.querySelector('video')?.readyState >= 2")
        expect(offer.locator(".cut")).to_contain_text("without sound")
        assert page.locator("video").first.evaluate("video => video.muted"), "what is heard is what would be shared"
        if put_in:
            offer.get_by_label("Put its sound in").check()
            expect(offer.locator(".cut")).to_contain_text("with its sound")
            assert not page.locator("video").first.evaluate("video => video.muted")
            phone.picture("07-sound")
        offer.get_by_label("Include this clip").check()
        page.get_by_role("button", name="Share 1 clip…").click()
        dialog = page.locator("dialog")
        expect(dialog).to_contain_text("put in" if put_in else "left out")
        expect(dialog).to_contain_text("Every second was opened and checked")
        dialog.get_by_role("button", name="Share", exact=True).click()
        expect(page.get_by_role("heading", name="Delivered")).to_be_visible(timeout=60_000)
        (film,) = home.evidence.rglob("clip-*.mp4")
        assert list(home.evidence.rglob("audio.records")) == ([film.parent / "clips/0/audio.records"] if put_in else [])
        with av.open(str(film)) as container:
            assert bool(container.streams.audio) is put_in
        if put_in:
            assert len(apart(film)) >= 4
            assert max(map(abs, apart(film))) < 0.05
        assert phone.complaints == []
        phone.close()
