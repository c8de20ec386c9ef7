"""Pictures and labels in the page: sealed at the doorbell by a real runtime, opened in a real browser, sifted there."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from agent import detecting
from agent.core.detection import Layout
from agent.demo.scene import cached_scene
from tests.conftest import ROOT
from tests.page_home import PageHome, chromium
from tests.slow.test_page_journey import Phone
from tests.tiny_model import tiny_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PageHome]:
    """A doorbell whose model sees a person in the middle of whatever moves."""
    pytest.importorskip("onnxruntime")
    output = np.zeros((1, 42, 6), np.float32)
    output[0, 40] = (0.5, 0.5, math.log(0.75), math.log(0.75), 1, 0.9)  # 24 × 24 around 16, 16
    data = tiny_model(output, (1, 3, 32, 64))
    entry = replace(
        detecting.known_models()[0], bytes=len(data), sha256=hashlib.sha256(data).hexdigest(),
        layout=Layout(64, 32, 1, {0: "person"}),
    )  # fmt: skip
    monkeypatch.setattr(detecting, "known_models", lambda: [entry])
    models = tmp_path / "state" / "models"
    models.mkdir(parents=True)
    (models / entry.file).write_bytes(data)
    with PageHome(tmp_path, cached_scene(ROOT / ".cache")) as running:
        yield running


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_clips_are_found_by_what_they_show(home: PageHome, browser: Browser, scheme: str) -> None:
    phone = Phone(browser, scheme)  # type: ignore[arg-type]
    page = phone.page
    phone.pair(home)
    clips = home.recorded().clips
    rows = page.locator("a.clip-row")
    expect(rows).to_have_count(len(clips))
    expect(page.locator(".thumb img")).to_have_count(len(clips))
    widths = page.locator(".thumb img").evaluate_all("imgs => imgs.map(img => img.naturalWidth)")
    assert widths == [640] * len(clips)
    expect(page.locator(".clip-row .chip", has_text="Person")).to_have_count(len(clips))
    phone.picture("20-clips", whole=True)

    page.get_by_role("button", name="Vehicle").click()
    expect(page.get_by_text("No clip shows this.")).to_be_visible()
    expect(page.locator("a.clip-row:visible")).to_have_count(0)
    page.get_by_role("button", name="Person").click()
    expect(page.locator("a.clip-row:visible")).to_have_count(len(clips))
    expect(page.get_by_role("button", name="Person")).to_have_attribute("aria-pressed", "true")

    rows.first.click()
    expect(page.get_by_text("Shows")).to_be_visible()
    assert str(page.locator("video").get_attribute("poster")).startswith("blob:")

    home.visit("person")
    expect(page.locator(".notice")).to_contain_text("A person is at the door.")
    home.visit("ring")
    expect(page.locator(".notice")).to_have_count(1)
    expect(page.locator(".notice")).to_contain_text("Someone is at the door and has rung.")
    phone.picture("21-visit")
    page.locator(".notice").get_by_role("button", name="All right").click()
    expect(page.locator(".notice")).to_have_count(0)
    page.goto(f"{home.origin}/#/settings")
    expect(page.get_by_text("yes, and vehicles and animals")).to_be_visible()
    assert phone.complaints == []
    phone.close()
