"""What comes from the broker is judged, stored with its hold, and never fills the log."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agent.core import statements
from agent.core.consent import State
from agent.core.encoding import b64u
from agent.core.request import MAX_LIFE_NS, WAITING_EACH, FootageRequest
from agent.core.settings import Blocked, DeclineRules, Pause, QuietHours, Settings
from agent.core.statements import Kind
from agent.core.timeline import Span
from agent.core.withdrawal import sign_withdrawal
from agent.disclosure.bulletin import Bulletin
from agent.disclosure.intake import EARLY_LIMIT, REFUSALS_NOTED_AN_HOUR, Intake
from agent.disclosure.trusted import Trusted
from agent.store.database import connect
from agent.store.early import Early
from tests.household import HOME, NOW, SECOND, HandSet, Household, new_keys


class Door:
    """An intake over a household with one clip and one pinned requester; the test moves the clock."""

    def __init__(self, root: Path) -> None:
        self.home = Household.at(root)
        self.now = NOW
        self.time = HandSet(lambda: self.now)
        self.clip = self.home.record_clip(NOW - 60 * SECOND)
        statement = self.home.requester_statement
        self.trusted = Trusted(self.home.ledger, [statement], None, lambda: self.now)
        self.withdrawals = 0
        self.told = Bulletin()
        self.start()

    def start(self) -> None:
        self.intake = Intake(
            self.home.ledger, Early(self.home.db), self.home.clips.index, HOME, self.trusted, self.told, self.time,
            self.minute_of_day, self.withdrawn, 10**9,
        )  # fmt: skip

    def withdrawn(self) -> None:
        self.withdrawals += 1

    def minute_of_day(self, utc_ns: int, zone: str) -> int:
        assert zone == "Etc/UTC"
        return utc_ns // (60 * SECOND) % 1440

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


LAST_QUARTER = Span(NOW - 900 * SECOND, NOW)


def ask(door: Door, **changes: str) -> str:
    """A request that passes every limit; its hash."""
    token, said = door.home.request(LAST_QUARTER, **changes)
    door.intake.on_request(token)
    return door.home.ledger.request(said.id).hash


def take_back(door: Door, request_hash: str) -> None:
    asker = door.home.requester
    door.intake.on_request(sign_withdrawal(request_hash, asker.kid, asker.signs, NOW))


def state(door: Door, request_hash: str) -> State:
    row = door.home.ledger.by_hash(request_hash)
    assert row is not None
    return row.state


def test_a_withdrawn_request_lets_its_clips_go_and_cannot_be_withdrawn_twice(door: Door) -> None:
    asked = ask(door)
    assert door.home.clips.index.by_id(door.clip.id).held
    take_back(door, asked)
    assert state(door, asked) is State.WITHDRAWN
    assert not door.home.clips.index.by_id(door.clip.id).held
    assert door.withdrawals == 1
    take_back(door, asked)
    assert door.withdrawals == 1
    assert [note for note in door.noted("withdrawal-refused") if '"not-asked"' in note]


def test_who_is_no_longer_trusted_may_still_withdraw(door: Door) -> None:
    asked = ask(door)
    door.intake._trusted = Trusted(door.home.ledger, [], None, lambda: door.now)
    take_back(door, asked)
    assert state(door, asked) is State.WITHDRAWN


@pytest.mark.parametrize("asked_before", [False, True])
def test_a_withdrawal_that_overtakes_its_request_keeps_it_from_being_asked(door: Door, asked_before: bool) -> None:
    if asked_before:
        ask(door, case="1")
    token, said = door.home.request(LAST_QUARTER, case="2")
    take_back(door, b64u(statements.digest(token)))
    door.intake.on_request(token)
    assert len(door.noted("withdrawal-refused")) == 1
    assert '"withdrawn"' in door.noted("request-refused")[0]
    assert not door.home.ledger.seen(said.id)
    assert len(door.noted("prompted")) == asked_before
    ask(door, case="3")  # another is asked as ever


def test_a_stranger_cannot_keep_a_request_from_being_asked(door: Door) -> None:
    token, said = door.home.request(LAST_QUARTER)
    stranger = new_keys()
    for kid, key in ((stranger.kid, stranger.signs), (door.home.requester.kid, stranger.signs)):
        door.intake.on_request(sign_withdrawal(b64u(statements.digest(token)), kid, key, NOW))
    door.intake.on_request(token)
    assert [row.id for row in door.home.ledger.requests()] == [said.id]


def test_early_withdrawals_are_remembered_up_to_a_limit(door: Door) -> None:
    tokens = [door.home.request(LAST_QUARTER, case=str(n))[0] for n in range(EARLY_LIMIT + 1)]
    for token in tokens:
        take_back(door, b64u(statements.digest(token)))
        take_back(door, b64u(statements.digest(token)))
    for token in tokens[:2]:
        door.intake.on_request(token)
    assert [row.case_number for row in door.home.ledger.requests()] == ["0"], "the oldest made room"


def test_an_early_withdrawal_is_remembered_when_the_doorbell_starts_anew(door: Door) -> None:
    token, _ = door.home.request(LAST_QUARTER)
    take_back(door, b64u(statements.digest(token)))
    door.home.db.close()
    door.home.db = connect(door.home.state.database)
    door.start()
    door.intake.on_request(token)
    assert door.home.ledger.requests() == []
    assert '"withdrawn"' in door.noted("request-refused")[0]


@pytest.mark.parametrize("knows_the_time", [True, False])
def test_old_withdrawals_said_again_cannot_crowd_out_new_ones(door: Door, knows_the_time: bool) -> None:
    """A doorbell whose clock may be wrong cannot tell which are old."""
    new, _ = door.home.request(LAST_QUARTER)
    asker = door.home.requester
    take_back(door, b64u(statements.digest(new)))
    door.time.is_known = knows_the_time
    for n in range(EARLY_LIMIT):
        old = b64u(statements.digest(b"request %d" % n))
        door.intake.on_request(sign_withdrawal(old, asker.kid, asker.signs, NOW - MAX_LIFE_NS))
    door.time.is_known = True
    door.intake.on_request(new)
    assert (door.home.ledger.requests() == []) is knows_the_time


def test_what_is_taken_back_while_it_waits_for_the_time_is_never_asked(door: Door) -> None:
    door.time.is_known = False
    tokens = [door.home.request(LAST_QUARTER, case=case)[0] for case in ("1", "2")]
    for token in tokens:
        door.intake.on_request(token)
    take_back(door, b64u(statements.digest(tokens[0])))
    door.time.is_known = True
    door.intake.judge_waiting()
    assert [row.case_number for row in door.home.ledger.requests()] == ["2"]


def test_nobody_withdraws_what_another_asked(door: Door) -> None:
    asked = ask(door)
    stranger = new_keys()
    for kid, key in ((stranger.kid, stranger.signs), (door.home.requester.kid, stranger.signs)):
        door.intake.on_request(sign_withdrawal(asked, kid, key, NOW))
    assert state(door, asked) is State.ASKED
    assert len(door.noted("withdrawal-refused")) == 2


def test_a_request_asked_in_place_of_another_ends_it_and_is_asked_by_itself(door: Door) -> None:
    old = ask(door, case="1")
    new = ask(door, case="2", replaces=old)
    assert (state(door, old), state(door, new)) == (State.WITHDRAWN, State.ASKED)
    assert len(door.noted("prompted")) == 2
    assert door.withdrawals == 1


def test_a_refused_request_does_not_end_the_one_it_names(door: Door) -> None:
    old = ask(door, case="1")
    ask(door, case="1")
    token, _ = door.home.request(LAST_QUARTER, case="1", replaces=old)
    door.intake.on_request(token)  # the third of the case
    assert state(door, old) is State.ASKED


def test_a_rule_declines_unseen_and_holds_nothing(door: Door) -> None:
    door.home.ledger.put_settings(Settings(decline=DeclineRules(incidents=["theft"])), NOW, {})
    with door.told.listen() as news:
        asked = ask(door)
        assert news.get_nowait().what == "requests"
    assert state(door, asked) is State.DECLINED
    assert not door.home.clips.index.by_id(door.clip.id).held
    assert door.noted("prompted") == []
    assert '"rule":"incident"' in door.noted("declined-by-rule")[0]


def test_in_quiet_hours_a_request_waits_and_is_prompted_once_when_they_end(door: Door) -> None:
    minute = door.minute_of_day(NOW, "Etc/UTC")
    quiet = QuietHours(_clock(minute - 10), _clock(minute + 10), "Etc/UTC")
    door.home.ledger.put_settings(Settings(quiet=quiet), NOW, {})
    with door.told.listen() as news:
        asked = ask(door)
        door.intake.prompt_due()
        assert news.empty()
        assert door.noted("prompted") == []
        assert door.home.clips.index.by_id(door.clip.id).held
        door.now += 11 * 60 * SECOND
        door.intake.prompt_due()
        door.intake.prompt_due()
        assert news.get_nowait().what == "requests"
        assert news.empty()
    assert len(door.noted("prompted")) == 1
    assert state(door, asked) is State.ASKED


def test_what_is_withdrawn_in_quiet_hours_is_never_prompted(door: Door) -> None:
    minute = door.minute_of_day(NOW, "Etc/UTC")
    quiet = QuietHours(_clock(minute - 10), _clock(minute + 10), "Etc/UTC")
    door.home.ledger.put_settings(Settings(quiet=quiet), NOW, {})
    take_back(door, ask(door))
    door.now += 11 * 60 * SECOND
    door.intake.prompt_due()
    assert door.noted("prompted") == []


@pytest.mark.parametrize("reason", ["blocked", "paused"])
def test_who_is_blocked_or_paused_is_not_stored(door: Door, reason: str) -> None:
    blocked = [Blocked(door.home.requester.kid, "Springfield Police", "2026-01-01T00:00:00Z")]
    settings = Settings(blocked=blocked) if reason == "blocked" else Settings(paused=Pause(None))
    door.home.ledger.put_settings(settings, NOW, {})
    door.intake.on_request(door.home.request(LAST_QUARTER)[0])
    assert door.home.ledger.requests() == []
    assert [note for note in door.noted("request-refused") if f'"{reason}"' in note]


def _clock(minute: int) -> str:
    return f"{minute % 1440 // 60:02d}:{minute % 60:02d}"


def test_what_comes_before_the_time_is_known_waits_and_is_judged_then(door: Door) -> None:
    door.time.is_known = False
    door.time.stepped_ns = -(NOW - 60 * SECOND)  # 1970
    token, said = door.home.request(Span(NOW - 900 * SECOND, NOW))
    door.intake.on_request(token)
    door.intake.on_request(token)
    assert door.home.ledger.requests() == []
    door.time.is_known, door.time.stepped_ns = True, 0
    door.intake.judge_waiting()
    assert [row.id for row in door.home.ledger.requests()] == [said.id]
    assert door.noted("request-refused") == []


def test_only_what_a_pinned_requester_signed_may_wait_and_not_too_much_of_it(door: Door) -> None:
    door.time.is_known = False
    token, _ = door.home.request(Span(NOW - 900 * SECOND, NOW))
    stranger = statements.sign(
        Kind.REQUEST, statements.unverified(Kind.REQUEST, token, FootageRequest), new_keys().signs
    )
    for junk in (b"junk", token[:-8] + b"AAAAAAAA", stranger):
        door.intake.on_request(junk)
    reasons = [msgspec.json.decode(note)["reason"] for note in door.noted("request-refused")]
    assert reasons == ["bad-signature", "bad-signature", "unknown-requester"]
    for n in range(WAITING_EACH + 2):
        door.intake.on_request(door.home.request(Span(NOW - 900 * SECOND, NOW), case=f"case {n}")[0])
    assert len([note for note in door.noted("request-refused") if '"crowded-out"' in note]) == 2
    door.time.is_known = True
    door.intake.judge_waiting()
    assert len(door.home.ledger.requests()) == WAITING_EACH
