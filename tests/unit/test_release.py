"""A yes releases exactly the agreed records; every other decision is refused by name and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import statements
from agent.core.bundle import MAX_BUNDLE_BYTES
from agent.core.consent import TRANSITIONS, Event, State, after
from agent.core.encoding import b64u, format_time
from agent.core.errors import Corrupt, Refused
from agent.core.frame import Track
from agent.core.release import (
    ClipFacts,
    Decision,
    SharedClip,
    build_decision,
    judge_decision,
    open_release,
    records_for,
    seal_releases,
    share_clip,
    sign_decision,
)
from agent.core.sealing import ClipKeys, RecordHeader, header_hash, open_record, unwrap_clip_key
from agent.core.timeline import Span, Until
from agent.store.clips import clip_facts
from agent.store.ring import ClipReader
from tests.household import NOW, SECOND, Household, new_keys


class Answered:
    """A request for seconds 3 to 6 of a ten-second clip, and a yes to it without sound."""

    def __init__(self, home: Household, *, sound: bool = False) -> None:
        self.home = home
        self.row = home.record_clip()
        self.span = Span(NOW + 3 * SECOND, NOW + 6 * SECOND + 1)
        request_span = Span(NOW - 900 * SECOND, NOW + 6 * SECOND + 1)
        _, self.asked = home.admit(request_span)
        self.file = home.clips.ring.read(self.row.sequence)
        self.facts = clip_facts(self.file)
        clip_key = unwrap_clip_key(self.file.header, self.file.wraps, home.owner.opens)
        self.keys = ClipKeys(clip_key, header_hash(self.file.header))
        part = share_clip(self.facts, self.span, sound=sound)
        assert part is not None
        self.part = part
        self.decision = build_decision(self.asked, home.device_id, [part], now_ns=NOW, undo_ns=0)

    def judge(self, decision: Decision, releases: list[bytes] | None = None, *, now_ns: int = NOW) -> Decision:
        token = sign_decision(decision, self.home.owner.signs)
        if releases is None:
            releases = seal_releases(
                token, decision, [self.keys] * len(decision.clips), self.home.requester.opens_public
            )
        return self.judge_token(token, releases, now_ns)

    def judge_token(self, token: bytes, releases: list[bytes], now_ns: int = NOW) -> Decision:
        return judge_decision(
            token,
            releases,
            owners=self.home.owner_set,
            device=self.home.device_id,
            asked=self.asked,
            clips={self.row.id: self.facts},
            now_ns=now_ns,
        )

    def with_part(self, **changes: object) -> Decision:
        span = msgspec.structs.replace(self.part.tracks[0], **changes)
        clip = msgspec.structs.replace(self.part, tracks=[span])
        return msgspec.structs.replace(self.decision, clips=[clip])


@pytest.fixture
def answered(tmp_path: Path) -> Answered:
    return Answered(Household.at(tmp_path))


def test_a_yes_opens_exactly_the_agreed_records(answered: Answered) -> None:
    """Even with the whole ring in hand the requester opens no neighbour and no sound."""
    home = answered.home
    answered.judge(answered.decision)
    token = sign_decision(answered.decision, home.owner.signs)
    (release,) = seal_releases(token, answered.decision, [answered.keys], home.requester.opens_public)
    secrets = open_release(token, answered.part, release, home.requester.opens)
    assert answered.part.tracks[0].first == 3, "records are 1-based behind the init: second 2 is a key record"
    assert answered.part.tracks[0].last == 7
    opened = set()
    with ClipReader(answered.file.path) as reader:
        for record in answered.file.records:
            data = reader.read(record.offset, record.length)
            for secret in secrets[Track.VIDEO].values():
                try:
                    open_record(secret, data)
                except Corrupt:
                    continue
                opened.add((record.header.track, record.header.index))
    assert opened == {(Track.VIDEO, i) for i in (0, 3, 4, 5, 6, 7)}
    assert Track.AUDIO not in secrets


def test_more_than_one_transfer_can_carry_is_refused_before_anybody_waits_for_it(answered: Answered) -> None:
    def grown(to_bytes: int) -> ClipFacts:
        records = {
            track: [replace(r, body_bytes=to_bytes) for r in found] for track, found in answered.facts.records.items()
        }
        return replace(answered.facts, records=records)

    carried = (MAX_BUNDLE_BYTES - 70 * 1024 * 1024) // 6  # the init segment and five records are shared
    answered.facts = grown(carried)
    answered.judge(answered.decision)
    answered.facts = grown(MAX_BUNDLE_BYTES // 6)
    with pytest.raises(Refused, match="share less at a time") as refused:
        answered.judge(answered.decision)
    assert refused.value.reason == "too-much"


def test_a_release_is_for_one_requester_decision_and_clip(answered: Answered) -> None:
    home = answered.home
    token = sign_decision(answered.decision, home.owner.signs)
    (release,) = seal_releases(token, answered.decision, [answered.keys], home.requester.opens_public)
    other = sign_decision(msgspec.structs.replace(answered.decision, purpose="else"), home.owner.signs)
    for attempt in (
        lambda: open_release(token, answered.part, release, new_keys().opens),
        lambda: open_release(other, answered.part, release, home.requester.opens),
        lambda: open_release(
            token, msgspec.structs.replace(answered.part, header=b64u(bytes(32))), release, home.requester.opens
        ),
    ):
        with pytest.raises(Corrupt):
            attempt()


def test_sound_is_shared_only_when_asked_for(tmp_path: Path) -> None:
    answered = Answered(Household.at(tmp_path), sound=True)
    assert [span.track for span in answered.part.tracks] == ["video", "audio"]
    assert answered.judge(answered.decision).answer == "share"


Change = Callable[[Answered], Decision]
REFUSED: dict[str, tuple[str, Change]] = {
    "another device": ("wrong-device", lambda a: msgspec.structs.replace(a.decision, device=b64u(bytes(16)))),
    "another request": ("unknown-request", lambda a: msgspec.structs.replace(a.decision, request=b64u(bytes(32)))),
    "another requester": ("wrong-requester", lambda a: msgspec.structs.replace(a.decision, requester=b64u(bytes(16)))),
    "another key": ("wrong-requester", lambda a: msgspec.structs.replace(a.decision, key=b64u(bytes(16)))),
    "another purpose": ("wrong-requester", lambda a: msgspec.structs.replace(a.decision, purpose="Advertising")),
    "made an hour ago": (
        "stale",
        lambda a: msgspec.structs.replace(
            a.decision, issued=format_time(NOW - 3600 * SECOND), expires=format_time(NOW + 3600 * SECOND)
        ),
    ),
    "good for a year": (
        "malformed",
        lambda a: msgspec.structs.replace(a.decision, expires=format_time(NOW + 365 * 86400 * SECOND)),
    ),
    "a yes to nothing": ("malformed", lambda a: msgspec.structs.replace(a.decision, clips=[])),
    "a no with clips": ("malformed", lambda a: msgspec.structs.replace(a.decision, answer="decline")),
    "maybe": ("malformed", lambda a: msgspec.structs.replace(a.decision, answer="maybe")),
    "a clip twice": ("malformed", lambda a: msgspec.structs.replace(a.decision, clips=[a.part, a.part])),
    "an unknown clip": (
        "unknown-clip",
        lambda a: msgspec.structs.replace(a.decision, clips=[msgspec.structs.replace(a.part, clip=b64u(bytes(16)))]),
    ),
    "another clip's header": (
        "unknown-clip",
        lambda a: msgspec.structs.replace(a.decision, clips=[msgspec.structs.replace(a.part, header=b64u(bytes(32)))]),
    ),
    "records that do not exist": ("changed", lambda a: a.with_part(last=400)),
    "beginning where no film begins": ("changed", lambda a: a.with_part(first=4)),
    "other bytes": ("changed", lambda a: a.with_part(digest=b64u(bytes(32)))),
    "more than was asked for": ("outside-span", lambda a: a.with_part(last=9)),
    "the picture track": ("malformed", lambda a: a.with_part(track="picture")),
    "sound alone": ("malformed", lambda a: a.with_part(track="audio")),
    "first behind last": ("malformed", lambda a: a.with_part(first=5, last=4)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_decision_over_something_else_is_refused(answered: Answered, name: str) -> None:
    reason, change = REFUSED[name]
    releases = [bytes(48 + 32 * len(span.indexes)) for clip in change(answered).clips for span in clip.tracks]
    with pytest.raises(Refused) as refusal:
        answered.judge(change(answered), releases)
    assert refusal.value.reason == reason


def test_only_an_owner_decides(answered: Answered) -> None:
    for keys in (answered.home.recovery, answered.home.requester, new_keys()):
        token = sign_decision(answered.decision, keys.signs)
        with pytest.raises(Refused) as refusal:
            answered.judge_token(token, [])
        assert refusal.value.reason == "not-an-owner"
    header, payload, signature = sign_decision(answered.decision, answered.home.owner.signs).split(b".")
    altered = b".".join((header, payload, signature[:-4] + b"AAAA"))
    with pytest.raises(Refused) as refusal:
        answered.judge_token(altered, [])
    assert refusal.value.reason in ("bad-signature", "malformed")


def test_keys_for_more_or_fewer_records_are_refused(answered: Answered) -> None:
    token = sign_decision(answered.decision, answered.home.owner.signs)
    (release,) = seal_releases(token, answered.decision, [answered.keys], answered.home.requester.opens_public)
    for releases in ([], [release + bytes(32)], [release[:-1]], [release, release]):
        with pytest.raises(Refused) as refusal:
            answered.judge_token(token, releases)
        assert refusal.value.reason == "bad-release"


@given(st.data())
def test_records_for_a_span_begin_at_a_key_and_cover_it(data: st.DataObject) -> None:
    keys = [True, *data.draw(st.lists(st.booleans(), min_size=0, max_size=20))]
    records = [RecordHeader(bytes(32), Track.VIDEO, 2, 0, 0, 0, 16)]
    records += [RecordHeader(bytes(32), Track.VIDEO, int(k), n + 1, n * 10, 10, 16) for n, k in enumerate(keys)]
    start = data.draw(st.integers(-20, 250))
    end = start + data.draw(st.integers(1, 100))
    found = records_for(records, start, end)
    overlapping = [r.index for r in records[1:] if r.start_ns < end and r.start_ns + 10 > start]
    if not overlapping:
        assert found is None
        return
    assert found is not None
    first, last = found
    assert records[first].key
    assert last == overlapping[-1]
    assert first <= overlapping[0]
    assert not any(r.key for r in records[first + 1 : overlapping[0] + 1]), "no longer run-in than needed"


def test_an_impossible_step_of_consent_raises_and_changes_nothing(tmp_path: Path) -> None:
    home = Household.at(tmp_path)
    home.record_clip()
    row, _ = home.admit(Span(NOW - 900 * SECOND, NOW + 600 * SECOND))
    for event in Event:
        allowed = event in TRANSITIONS[State.ASKED]
        if allowed:
            assert after(State.ASKED, event)
            continue
        entries = len(list(home.ledger.entries()))
        with pytest.raises(Refused) as refusal:
            home.ledger.move(row.id, event, NOW, "tried")
        assert refusal.value.reason == "not-asked"
        assert home.ledger.request(row.id) == row
        assert len(list(home.ledger.entries())) == entries


def test_a_decision_that_was_taken_back_is_void_for_ever(answered: Answered) -> None:
    home = answered.home
    ledger = home.ledger
    row = ledger.requests()[0]
    token = sign_decision(answered.decision, home.owner.signs)
    releases = seal_releases(token, answered.decision, [answered.keys], home.requester.opens_public)

    def share(decision: bytes) -> None:
        ledger.share(
            row.id,
            decision,
            releases,
            owner=home.owner.kid,
            transfer=b64u(bytes(16)),
            now_ns=NOW,
            undo_until=Until(NOW, "", 0),
            clips=ledger.concerned(row.id),
        )

    share(token)
    assert ledger.request(row.id).state is State.AGREED
    transfer = ledger.transfer(row.id)
    assert transfer is not None
    assert transfer.releases == releases
    assert ledger.undo(row.id, NOW).state is State.ASKED
    assert ledger.transfer(row.id) is None, "the sealed keys are gone with the decision"
    with pytest.raises(Refused) as refusal:
        share(token)
    assert refusal.value.reason == "void"
    assert ledger.request(row.id).state is State.ASKED
    later = build_decision(answered.asked, home.device_id, [answered.part], now_ns=NOW + 1, undo_ns=0)
    share(sign_decision(later, home.owner.signs))
    assert ledger.request(row.id).state is State.AGREED


def test_clips_are_let_go_when_a_request_is_over(answered: Answered) -> None:
    ledger = answered.home.ledger
    row = ledger.requests()[0]
    assert answered.home.clips.index.by_id(answered.row.id).held  # type: ignore[union-attr]
    decline = build_decision(answered.asked, answered.home.device_id, [], now_ns=NOW, undo_ns=0)
    assert decline.answer == "decline"
    ledger.decline(row.id, sign_decision(decline, answered.home.owner.signs), answered.home.owner.kid, NOW)
    assert not answered.home.clips.index.by_id(answered.row.id).held  # type: ignore[union-attr]
    assert ledger.concerned(row.id) == [answered.row.sequence]


def test_the_parts_of_a_decision_are_what_was_signed(answered: Answered) -> None:
    token = sign_decision(answered.decision, answered.home.owner.signs)
    judged = answered.judge_token(
        token, seal_releases(token, answered.decision, [answered.keys], answered.home.requester.opens_public)
    )
    assert judged == answered.decision
    assert isinstance(judged.clips[0], SharedClip)
    assert len(statements.digest(token)) == 32
