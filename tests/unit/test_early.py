"""What comes before the time is known is kept within limits, and judged once whenever the process dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import statements
from agent.core.encoding import b64u
from agent.core.request import WAITING_EACH, WAITING_LIMIT, FootageRequest, crowded_out
from agent.core.statements import Kind
from agent.core.timeline import Span
from agent.core.withdrawal import sign_withdrawal
from agent.disclosure.bulletin import Bulletin
from agent.disclosure.intake import Intake
from agent.disclosure.trusted import Trusted
from agent.store.database import connect
from agent.store.early import Early
from agent.store.state import StateDirectory
from tests.household import HOME, NOW, SECOND, HandSet, Household

LAST_QUARTER = Span(NOW - 900 * SECOND, NOW)


def intake(home: Household, *, knows_the_time: bool) -> Intake:
    """A new process's, over what is on the disk."""
    time = HandSet(lambda: NOW)
    time.is_known = knows_the_time
    trusted = Trusted(home.ledger, [home.requester_statement], None, time.now)
    return Intake(
        home.ledger, Early(home.db), home.clips.index, HOME, trusted, Bulletin(), time, lambda *_: 0, lambda: None,
        10**9,
    )  # fmt: skip


def reopened(home: Household) -> Household:
    home.db.close()
    return replace(home, db=connect(home.state.database))


def notes(home: Household, what: str) -> list[str]:
    return [entry.details for entry in home.ledger.entries() if entry.what == what]


def reasons(home: Household) -> list[str]:
    return [msgspec.json.decode(note)["reason"] for note in notes(home, "request-refused")]


def signed_anew(home: Household, token: bytes, **changes: object) -> bytes:
    """The same request but for `changes`, by the same requester."""
    said = statements.unverified(Kind.REQUEST, token, FootageRequest)
    return statements.sign(Kind.REQUEST, msgspec.structs.replace(said, **changes), home.requester.signs)


@pytest.fixture
def home(tmp_path: Path) -> Household:
    home = Household.at(tmp_path / "state")
    home.record_clip(NOW - 60 * SECOND)
    return home


async def test_a_process_that_starts_with_the_time_known_judges_what_an_earlier_one_kept(home: Household) -> None:
    token, said = home.request(LAST_QUARTER)
    intake(home, knows_the_time=False).on_request(token)
    home = reopened(home)
    still_without = intake(home, knows_the_time=False)
    still_without.judge_waiting()
    assert home.ledger.requests() == []
    home = reopened(home)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(intake(home, knows_the_time=True).run(), 0.2)
    assert [row.id for row in home.ledger.requests()] == [said.id]
    assert len(notes(home, "prompted")) == 1
    assert Early(home.db).requests() == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key": b64u(bytes(32))}, "wrong-key"),
        ({"area": {"type": "Circle", "center": [0.0, 0.0], "radius_m": 400.0}}, "not-here"),
        ({"area": {"type": "Circle", "center": [HOME[1], HOME[0]], "radius_m": 40_000.0}}, "area-size"),
        ({"area": {"type": "Circle", "center": [HOME[1], HOME[0]], "radius_m": -1.0}}, "area-shape"),
    ],
)
def test_what_no_time_could_make_right_does_not_wait(home: Household, changes: dict[str, object], reason: str) -> None:
    token = signed_anew(home, home.request(LAST_QUARTER)[0], **changes)
    intake(home, knows_the_time=False).on_request(token)
    assert reasons(home) == [reason]
    assert Early(home.db).requests() == []


def test_what_was_judged_before_does_not_wait_again(home: Household) -> None:
    token, _ = home.request(LAST_QUARTER)
    intake(home, knows_the_time=True).on_request(token)
    intake(home, knows_the_time=False).on_request(token)
    assert reasons(home) == ["replayed"]
    assert Early(home.db).requests() == []


def test_a_requesters_newest_wait_however_often_old_ones_are_sent_again(home: Household) -> None:
    door = intake(home, knows_the_time=False)
    token = home.request(LAST_QUARTER)[0]
    tokens = [signed_anew(home, token, issued=f"2026-09-2{day}T00:00:00Z") for day in range(9)]
    for each in tokens[::-1] + tokens * 3:
        door.on_request(each)
    assert {each.statement for each in Early(home.db).requests()} == set(tokens[-WAITING_EACH:])
    assert reasons(home).count("crowded-out") <= 60


def prepared(home: Household) -> None:
    """What waits: one that will be asked, one taken back meanwhile, one without clips, one in place of another."""
    first, _ = home.request(LAST_QUARTER, case="1")
    intake(home, knows_the_time=True).on_request(first)
    early = intake(home, knows_the_time=False)
    taken_back = home.request(LAST_QUARTER, case="2")[0]
    for token in (
        home.request(LAST_QUARTER, case="3")[0],
        taken_back,
        home.request(Span(NOW - 7200 * SECOND, NOW - 3600 * SECOND), case="4")[0],
        home.request(LAST_QUARTER, case="5", replaces=b64u(statements.digest(first)))[0],
    ):
        early.on_request(token)
    hash_of = b64u(statements.digest(taken_back))
    early.on_request(sign_withdrawal(hash_of, home.requester.kid, home.requester.signs, NOW))
    assert len(Early(home.db).requests()) == 4


def judge_and_die(home: Household, step: int) -> bool:
    """Judge what waits in a process that dies before the `step`th time it begins or ends a transaction; False when
    it came to its end before."""
    child = os.fork()
    if child == 0:
        done = 0

        def traced(sql: str) -> None:
            nonlocal done
            if sql.startswith(("BEGIN", "COMMIT")):
                done += 1
                if done > step:
                    os._exit(7)

        with contextlib.suppress(BaseException):  # whatever it is, the parent's test run must not go on in the child
            here = replace(home, db=connect(home.state.database))  # a connection must not be carried across a fork
            here.db.set_trace_callback(traced)
            intake(here, knows_the_time=True).judge_waiting()
            os._exit(0)
        os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 7)
    return status == 7


def test_whenever_the_process_dies_each_is_judged_once(home: Household, tmp_path: Path) -> None:
    prepared(home)
    home.db.close()
    step, died = 0, True
    while died:
        root = tmp_path / f"{step}"
        shutil.copytree(home.state.root, root)
        here = replace(home, state=StateDirectory(root))
        died = judge_and_die(here, step)
        here = replace(here, db=connect(here.state.database))
        again = intake(here, knows_the_time=True)
        again.judge_waiting()
        again.prompt_due()
        again.judge_waiting()
        assert Early(here.db).requests() == []
        assert sorted(row.case_number for row in here.ledger.requests()) == ["1", "3", "5"]
        assert [len(notes(here, what)) for what in ("request-received", "prompted", "withdrawn")] == [3, 3, 1]
        assert sorted(reasons(here)) == ["no-clips", "withdrawn"]
        here.db.close()
        step += 1
    assert step > 10, "it died between any two of its steps"


@given(st.lists(st.tuples(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), st.integers(0, 9)), max_size=120))
def test_no_requester_crowds_out_another_that_has_fewer_waiting(arrivals: list[tuple[str, int]]) -> None:
    waiting: list[tuple[str, int]] = []
    for arrival in arrivals:
        waiting.append(arrival)
        gone = crowded_out(waiting)
        if gone is None:
            continue
        counts = Counter(kid for kid, _ in waiting)
        kid, issued = waiting.pop(gone)
        assert counts[kid] == max(counts.values())
        assert issued == min(i for k, i in [*waiting, (kid, issued)] if k == kid)
        assert len(waiting) == WAITING_LIMIT or counts[kid] == WAITING_EACH + 1
        assert crowded_out(waiting) is None
    assert len(waiting) <= WAITING_LIMIT
