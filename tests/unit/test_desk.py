"""An owner can answer whatever became of the other clips a request is about."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.core.consent import State
from agent.core.release import build_decision, sign_decision
from agent.disclosure.desk import asked_of
from tests.attacks.bench import House
from tests.household import NOW, SECOND

DAMAGES: dict[str, Callable[[Path], None]] = {
    "its beginning is lost": lambda path: os.truncate(path, 10),
    "its end is lost": lambda path: os.truncate(path, 1000),
    "it is gone": os.unlink,
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_clip_does_not_keep_the_owner_from_answering(tmp_path: Path, damage: str) -> None:
    house = House(tmp_path)
    other = house.home.record_clip(NOW - 30 * SECOND)
    requests = [house.ask(), house.ask()]
    DAMAGES[damage](house.home.clips.ring.path(other.sequence))
    decision, keys = house.yes(requests[0])
    await house.decide(requests[0], decision, keys)
    no = build_decision(
        asked_of(house.home.ledger.request(requests[1])), house.home.device_id, [], now_ns=house.now, undo_ns=0
    )
    await house.desk.decide(requests[1], sign_decision(no, house.home.owner.signs), [])
    assert [house.home.ledger.request(r).state for r in requests] == [State.AGREED, State.DECLINED]
