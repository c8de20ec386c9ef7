"""The life of a clip: nothing of an event is lost, clips never overlap, and time is only what was told."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.errors import BadInput
from agent.core.segmenter import TRANSITIONS, Closed, Event, Opened, Segmenter, SegmenterRules, State

S = 1_000_000_000
FRAME = S // 10


def clips_of(changes: list[Opened | Closed]) -> list[tuple[Opened, Closed]]:
    """Pair each opening with its closing; fails unless they alternate."""
    assert [type(c) for c in changes] == [Opened, Closed] * (len(changes) // 2)
    return [(o, c) for o, c in zip(changes[::2], changes[1::2], strict=True)]  # type: ignore[misc]


def run(
    moving: list[tuple[float, float]],
    until: float,
    rules: SegmenterRules | None = None,
    lingering: list[tuple[float, float]] = (),  # type: ignore[assignment]
    presses: list[float] = (),  # type: ignore[assignment]
) -> list[tuple[Opened, Closed]]:
    """Ten frames a second from 0 to `until`; motion in the half-open spans given, seconds."""
    segmenter = Segmenter(rules)
    changes: list[Opened | Closed] = []
    due = sorted(round(p * S) for p in presses)
    for time_ns in range(0, round(until * S), FRAME):
        while due and due[0] <= time_ns:
            changes += segmenter.press(due.pop(0))
        inside = [any(round(a * S) <= time_ns < round(b * S) for a, b in spans) for spans in (moving, lingering)]
        changes += segmenter.observe(time_ns, inside[0], lingering=inside[1])
    changes += segmenter.finish(round(until * S))
    assert segmenter.state is State.ENDED
    return clips_of(changes)


def test_a_clip_has_its_pre_roll_and_its_post_roll() -> None:
    [(opened, closed)] = run([(20, 24)], 60)
    assert opened == Opened(15 * S, 20 * S)
    assert closed == Closed(closed.motion_end_ns + 5 * S, 24 * S - FRAME, continues=False)


def test_the_pre_roll_reaches_no_further_than_the_first_frame() -> None:
    [(opened, _)] = run([(2, 4)], 60)
    assert opened == Opened(0, 2 * S)


def test_a_pause_within_a_visit_does_not_end_it() -> None:
    assert len(run([(20, 24), (25.5, 30)], 60)) == 1


def test_two_visits_ten_seconds_apart_are_two_clips() -> None:
    first, second = run([(20, 24), (34, 38)], 60)
    assert first[1].end_ns <= second[0].start_ns


def test_a_visitor_during_the_post_roll_gets_a_clip_that_starts_where_the_last_ends() -> None:
    first, second = run([(20, 24), (27, 30)], 60)
    assert first[1].end_ns == second[0].start_ns == second[0].motion_start_ns == 27 * S
    assert not first[1].continues


def test_somebody_standing_still_holds_the_visit_together() -> None:
    assert len(run([(20, 24), (31, 33)], 60, lingering=[(24, 31)])) == 1
    assert len(run([(20, 24), (31, 33)], 60)) == 2


def test_a_thing_left_behind_does_not_hold_a_clip_open() -> None:
    [(_, closed)] = run([(20, 24)], 90, lingering=[(24, 90)])
    assert closed == Closed(32 * S - FRAME, 24 * S - FRAME, continues=False)


def test_whoever_stood_and_left_unseen_was_there_until_then() -> None:
    first, second = run([(20, 24), (29.5, 31)], 60, lingering=[(24, 28)])
    assert first[1].end_ns == 29 * S - FRAME
    assert second[0].start_ns == first[1].end_ns


def test_a_ring_opens_a_clip_though_nothing_moves() -> None:
    [(opened, closed)] = run([], 60, presses=[20.05])
    assert opened == Opened(round(15.05 * S), round(20.05 * S))
    assert closed.end_ns == round(28.05 * S)


def test_a_ring_in_the_post_roll_belongs_to_the_visit() -> None:
    [(_, closed)] = run([(20, 24)], 60, presses=[27])
    assert closed.end_ns == 35 * S


def test_after_a_ring_the_visit_waits_for_whoever_stands_at_the_door() -> None:
    assert len(run([(24, 30)], 60, presses=[20])) == 1


def test_a_long_event_continues_in_the_next_clip_without_losing_a_frame() -> None:
    rules = SegmenterRules(max_clip_ns=20 * S)
    clips = run([(10, 60)], 90, rules)
    assert [o.start_ns for o, _ in clips] == [5 * S, 25 * S, 45 * S]
    assert [c.continues for _, c in clips] == [True, True, False]
    assert all(a[1].end_ns == b[0].start_ns for a, b in pairwise(clips))
    assert clips[-1][1].end_ns == 65 * S - FRAME


def test_a_post_roll_longer_than_a_clip_ends_all_the_same() -> None:
    clips = run([(10, 11)], 90, SegmenterRules(post_roll_ns=30 * S, max_clip_ns=10 * S))
    assert [c.continues for _, c in clips] == [True, True, True, False]
    assert clips[-1][1].end_ns == 41 * S - FRAME


def test_motion_confirmed_late_begins_when_it_began() -> None:
    segmenter = Segmenter()
    for time_ns in range(0, 10 * S, FRAME):
        assert segmenter.observe(time_ns, False) == []
    assert segmenter.observe(10 * S, True, since_ns=10 * S - 3 * FRAME) == [
        Opened(5 * S - 3 * FRAME, 10 * S - 3 * FRAME)
    ]


def test_motion_after_a_hole_in_the_source_closes_the_old_clip_at_its_own_end() -> None:
    segmenter = Segmenter()
    segmenter.observe(0, True)
    assert segmenter.observe(60 * S, True) == [Closed(5 * S, 0, continues=False), Opened(55 * S, 60 * S)]


def test_time_may_not_run_backwards_nor_past_the_end() -> None:
    segmenter = Segmenter()
    segmenter.observe(S, False)
    with pytest.raises(ValueError, match="backwards"):
        segmenter.observe(S - 1, False)
    segmenter.finish(S)
    with pytest.raises(ValueError, match="ended"):
        segmenter.observe(2 * S, False)


@pytest.mark.parametrize(
    "figures", [{"pre_roll_ns": -1}, {"pause_ns": 0}, {"linger_ns": S}, {"max_clip_ns": 5 * S}, {"min_clip_ns": -1}]
)
def test_rules_that_contradict_themselves_are_refused(figures: dict[str, int]) -> None:
    with pytest.raises(BadInput):
        SegmenterRules(**figures)


def test_every_state_but_the_last_has_a_way_to_the_end() -> None:
    assert {s for s, e in TRANSITIONS if e is Event.SOURCE_ENDED} == set(State) - {State.ENDED}
    assert not [pair for pair in TRANSITIONS if pair[0] is State.ENDED]


seconds = st.integers(0, 12 * 10).map(lambda tenths: tenths * S // 10)
rules_of_any_kind = st.builds(
    lambda pre, post, pause, more, least, most: SegmenterRules(
        pre, post, 1 + pause, 1 + pause + more, least, 1 + pre + least + most
    ),
    *[seconds] * 6,
)
# Steps of time are irregular, repeated times and long holes included.
steps = st.lists(
    st.tuples(
        st.one_of(st.integers(0, S // 5), st.sampled_from([FRAME, FRAME, 0, 3 * S, 40 * S])),
        st.sampled_from(["still", "moving", "lingering", "press"]),
        st.integers(0, S),
    ),
    max_size=60,
)


@given(rules_of_any_kind, steps, st.integers(0, 20 * S))
def test_no_frame_of_an_event_is_lost_and_clips_never_overlap(
    rules: SegmenterRules, script: list[tuple[int, str, int]], tail_ns: int
) -> None:
    segmenter = Segmenter(rules)
    time_ns = 7 * S
    first_ns: int | None = None
    changes: list[Opened | Closed] = []
    events: list[int] = []
    for step_ns, what, look_back_ns in script:
        time_ns += step_ns
        first_ns = time_ns if first_ns is None else first_ns
        if what == "press":
            new = segmenter.press(time_ns)
        else:
            new = segmenter.observe(
                time_ns, what == "moving", since_ns=time_ns - look_back_ns, lingering=what == "lingering"
            )
        if what in ("press", "moving"):
            events.append(time_ns)
        assert all(c.end_ns <= time_ns for c in new if isinstance(c, Closed))
        changes += new
    end_ns = time_ns + tail_ns
    first_ns = end_ns if first_ns is None else first_ns
    changes += segmenter.finish(end_ns)

    clips = clips_of(changes)
    for opened, closed in clips:
        assert first_ns <= opened.start_ns <= opened.motion_start_ns <= closed.motion_end_ns <= closed.end_ns <= end_ns
        assert closed.end_ns - opened.start_ns <= rules.max_clip_ns
        assert opened.motion_start_ns - opened.start_ns <= rules.pre_roll_ns
    for (_, before), (after, _) in pairwise(clips):
        assert before.end_ns <= after.start_ns
        assert not before.continues or before.end_ns == after.start_ns
    assert not (clips and clips[-1][1].continues)
    for event_ns in events:  # with its rolls, as far as there was footage
        reach = (max(first_ns, event_ns - rules.pre_roll_ns), min(end_ns, event_ns + rules.post_roll_ns))
        covered = sum(max(0, min(c.end_ns, reach[1]) - max(o.start_ns, reach[0])) for o, c in clips)
        assert covered == reach[1] - reach[0]
        assert any(o.start_ns <= event_ns and (event_ns < c.end_ns or event_ns == end_ns) for o, c in clips)


@given(steps)
def test_the_same_observations_give_the_same_clips(script: list[tuple[int, str, int]]) -> None:
    def once(offset_ns: int) -> list[tuple[int, ...]]:
        segmenter, time_ns, out = Segmenter(), offset_ns, []
        for step_ns, what, _ in script:
            time_ns += step_ns
            out += segmenter.observe(time_ns, what in ("moving", "press"), lingering=what == "lingering")
        return [
            (c.start_ns - offset_ns, c.motion_start_ns - offset_ns)
            if isinstance(c, Opened)
            else (c.end_ns - offset_ns, c.motion_end_ns - offset_ns, c.continues)
            for c in out
        ]

    assert once(0) == once(10**18)
