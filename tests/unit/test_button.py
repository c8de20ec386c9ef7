"""The doorbell's button on gpiozero's mock pins, and what a ring does to the recording."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory

from agent.adapters import button as adapter
from agent.adapters.button import DoorbellButton
from agent.core.about import read_about
from agent.core.errors import BadInput, Unavailable
from agent.core.frame import Away, EncodedPacket, SourceItem, Track
from agent.core.sealing import ClipKeys, header_hash, open_record, unwrap_clip_key
from agent.recorder import Recorder
from agent.store.index import ClipRow
from agent.store.ring import ClipReader
from tests.household import SECOND
from tests.street import Recorded, Street


@pytest.fixture
def pins() -> Iterator[MockFactory]:
    """Pins that exist only here."""
    before = gpiozero.Device.pin_factory
    gpiozero.Device.pin_factory = factory = MockFactory()
    try:
        yield factory
    finally:
        factory.reset()
        gpiozero.Device.pin_factory = before


@dataclass
class Door:
    """Somebody at the button, and a clock."""

    now_s: float = 100.0
    rings: int = 0
    stuck: list[bool] = field(default_factory=list)

    def ring(self) -> None:
        self.rings += 1

    def button(self) -> DoorbellButton:
        return DoorbellButton(17, self.ring, self.stuck.append, lambda: self.now_s)


def test_a_press_rings_once_however_the_contact_bounces(pins: MockFactory) -> None:
    door = Door()
    button = door.button()
    pin = pins.pin(17)
    for _ in range(5):
        pin.drive_low()
        pin.drive_high()
        door.now_s += 0.01
    assert door.rings == 1
    door.now_s += adapter.AGAIN_AFTER_S
    pin.drive_low()
    assert door.rings == 2, "who rings again later rings again"
    assert door.stuck == []
    button.close()
    pin.drive_high()
    pin.drive_low()
    assert door.rings == 2


def test_a_button_that_sticks_rings_once_and_is_said(pins: MockFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "STUCK_AFTER_S", 0.05)
    door = Door()
    button = door.button()
    pin = pins.pin(17)
    pin.drive_low()
    deadline = time.monotonic() + 5
    while not door.stuck and time.monotonic() < deadline:
        time.sleep(0.01)
    assert door.stuck == [True]
    assert door.rings == 1
    pin.drive_high()
    assert door.stuck == [True, False]
    button.close()


def test_a_pin_that_is_not_there_is_said(pins: MockFactory) -> None:
    with pytest.raises(Unavailable, match="pin 99 cannot be used"):
        DoorbellButton(99, lambda: None, lambda _: None)


def test_without_gpiozero_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gpiozero", None)
    with pytest.raises(BadInput, match="apt install python3-gpiozero"):
        DoorbellButton(17, lambda: None, lambda _: None)


class Rung(Recorded):
    """A recorder whose button is pressed at some second of the street."""

    def __init__(self, root: Path, at_s: int, away: bool = False) -> None:
        super().__init__(root)
        self.at_s = at_s
        self.away = away
        self.told: list[str] = []

    def clip_shows(self, label: str) -> None:
        self.told.append(label)

    def began(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def street(self, street: Street) -> Iterator[SourceItem]:
        for item in street:
            if isinstance(item, EncodedPacket) and item.pts_ns == self.at_s * SECOND:
                if self.away:
                    yield Away(item.pts_ns, "the cable was cut")
                self.recorder.press()
                if self.away:
                    yield Away(item.pts_ns, "the cable was cut")
            yield item

    def labels(self, row: ClipRow) -> list[str]:
        clip = self.home.clips.ring.read(row.sequence)
        keys = ClipKeys(unwrap_clip_key(clip.header, clip.wraps, self.home.owner.opens), header_hash(clip.header))
        (record,) = clip.track(Track.ABOUT)
        with ClipReader(clip.path) as reader:
            sealed = reader.read(record.offset, record.length)
        return list(read_about(open_record(keys.record_secret(Track.ABOUT, record.header.index), sealed)).labels)


def test_a_ring_is_a_clip_of_its_own_with_pre_roll_and_its_label_sealed(tmp_path: Path) -> None:
    rung = Rung(tmp_path, 30)
    rung.record(rung.street(Street(60, [])))
    (row,) = rung.rows()
    numbers = rung.pictures(row)
    assert 240 <= numbers[0] <= 250, "five seconds before the press"
    assert numbers[-1] >= 375, "eight seconds for whoever rang"
    assert rung.labels(row) == ["ring"]
    assert rung.told == ["ring"]


def test_a_ring_during_a_visit_belongs_to_it(tmp_path: Path) -> None:
    rung = Rung(tmp_path, 24)
    rung.record(rung.street(Street(60, [(20, 26)])))
    (row,) = rung.rows()
    assert rung.labels(row) == ["ring"]


def test_a_ring_without_a_picture_is_told_all_the_same(tmp_path: Path) -> None:
    rung = Rung(tmp_path, 30, away=True)
    rung.record(rung.street(Street(60, [])))
    assert rung.told == ["ring"]
    assert rung.rows() == []
