"""What comes from the broker is judged, stored with its hold, and never fills the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core import identity
from agent.core.timeline import Span
from agent.disclosure.bulletin import Bulletin
from agent.disclosure.intake import REFUSALS_NOTED_AN_HOUR, Intake
from tests.household import HOME, NOW, SECOND, Household


class Door:
    """An intake over a household with one clip and one pinned requester; the test moves the clock."""

    def __init__(self, root: Path) -> None:
        self.home = Household.at(root)
        self.now = NOW
        self.clip = self.home.record_clip(NOW - 60 * SECOND)
        statement = self.home.requester_statement
        pinned = {self.home.requester.kid: (statement, identity.read_requester_statement(statement))}
        self.intake = Intake(self.home.ledger, self.home.clips.index, HOME, pinned, Bulletin(), lambda: self.now)

    def noted(self, what: str) -> list[str]:
        return [entry.details for entry in self.home.ledger.entries() if entry.what == what]


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


def test_a_request_is_stored_with_its_hold_and_prompted_once(door: Door) -> None:
    token, said = door.home.request(Span(NOW - 900 * SECOND, NOW))
    door.intake.on_request(token)
    door.intake.on_request(token)
    (row,) = door.home.ledger.requests()
    assert (row.id, row.statement) == (said.id, token)
    assert door.home.ledger.concerned(row.id) == [door.clip.sequence]
    assert len(door.noted("prompted")) == 1
    assert [note for note in door.noted("request-refused") if '"replayed"' in note]


def test_a_third_request_of_a_case_is_refused(door: Door) -> None:
    for _ in range(3):
        door.intake.on_request(door.home.request(Span(NOW - 900 * SECOND, NOW), case="77")[0])
    assert len(door.home.ledger.requests()) == 2
    assert [note for note in door.noted("request-refused") if '"case-limit"' in note]


def test_a_time_without_clips_is_not_even_stored(door: Door) -> None:
    door.intake.on_request(door.home.request(Span(NOW - 7200 * SECOND, NOW - 3600 * SECOND))[0])
    assert door.home.ledger.requests() == []
    assert [note for note in door.noted("request-refused") if '"no-clips"' in note]


def test_a_flood_does_not_fill_the_log(door: Door) -> None:
    token, _ = door.home.request(Span(NOW - 900 * SECOND, NOW))
    door.intake.on_request(token)
    for n in range(5 * REFUSALS_NOTED_AN_HOUR):
        door.intake.on_request(token if n % 2 else b"junk %d" % n)
    assert len(door.noted("request-refused")) == REFUSALS_NOTED_AN_HOUR
    door.now += 3600 * SECOND
    door.intake.on_request(b"junk")
    assert len(door.noted("request-refused")) == REFUSALS_NOTED_AN_HOUR + 1
