"""Whether a machine keeps up, and what to change: the limits from both sides, and what holds for all figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.load import (
    LONGEST_WRITE_S,
    MOST,
    WELL,
    Camera,
    Lane,
    Stage,
    Step,
    Verdict,
    Video,
    advice,
    expected,
    judge,
    percent,
    sentence,
    smaller,
)

FULL_HD = Video(Camera.USB, 1920, 1080, 15, 4000)
_RANK = [Verdict.WELL, Verdict.BARELY, Verdict.NO]


def encoding(core: float, time: float | None = None) -> Stage:
    return Stage(Step.ENCODING, Lane.CAMERA, core, core if time is None else time)


costs = st.floats(0, 5)
a_stage = st.builds(
    lambda step, lane, core, idle, longest: Stage(step, lane, core, core + idle, longest),
    st.sampled_from(Step),
    st.sampled_from(Lane),
    costs,
    st.floats(0, 2),
    st.floats(0, 2),
)
some_stages = st.lists(a_stage, min_size=1, max_size=7)
videos = st.builds(
    Video,
    st.sampled_from(Camera),
    st.integers(160, 960).map(lambda half: 2 * half),
    st.integers(120, 960).map(lambda half: 2 * half),
    st.integers(5, 30),
    st.integers(250, 15_000),
    st.booleans(),
)


@pytest.mark.parametrize(
    ("core", "verdict"),
    [(WELL, Verdict.WELL), (WELL + 0.01, Verdict.BARELY), (MOST, Verdict.BARELY), (MOST + 0.01, Verdict.NO)],
)
def test_the_limits(core: float, verdict: Verdict) -> None:
    assert judge([encoding(core)], 1).verdict is verdict
    assert judge([encoding(core)], 4).verdict is verdict, "more cores do not make one thread faster"


def test_two_threads_that_fit_alone_do_not_fit_on_one_core() -> None:
    stages = [encoding(0.55), Stage(Step.MOTION, Lane.RECORDER, 0.5, 0.5)]
    assert judge(stages, 2).verdict is Verdict.WELL
    on_one = judge(stages, 1)
    assert (on_one.verdict, on_one.lane, on_one.largest.step) == (Verdict.NO, None, Step.ENCODING)


def test_work_spread_over_cores_may_take_more_than_one() -> None:
    assert judge([encoding(1.6, time=0.5)], 4).verdict is Verdict.WELL
    assert judge([encoding(1.6, time=0.5)], 1).verdict is Verdict.NO


def test_waiting_for_the_disk_counts_though_no_core_is_busy() -> None:
    slow = Stage(Step.WRITING, Lane.RECORDER, 0.01, 0.95)
    judgement = judge([encoding(0.1), slow], 4)
    assert (judgement.verdict, judgement.lane, judgement.largest) == (Verdict.NO, Lane.RECORDER, slow)
    assert "faster card" in advice(judgement, [slow], FULL_HD)


def test_one_long_write_leaves_little_to_spare_and_is_named() -> None:
    stages = [Stage(Step.WRITING, Lane.RECORDER, 0.01, 0.1, LONGEST_WRITE_S + 0.01)]
    judgement = judge(stages, 2)
    assert judgement.verdict is Verdict.BARELY
    assert "one write to the disk took longer than pictures can wait" in sentence(judgement)


@given(some_stages, st.integers(1, 16))
def test_more_cores_never_make_it_worse(stages: list[Stage], cores: int) -> None:
    assert _RANK.index(judge(stages, cores + 1).verdict) <= _RANK.index(judge(stages, cores).verdict)


@given(some_stages, a_stage, st.integers(1, 16))
def test_more_work_never_makes_it_better(stages: list[Stage], more: Stage, cores: int) -> None:
    before, after = judge(stages, cores), judge([*stages, more], cores)
    assert after.fullest >= before.fullest
    assert _RANK.index(after.verdict) >= _RANK.index(before.verdict)


@given(some_stages, st.integers(1, 16), videos)
def test_there_is_advice_exactly_where_it_does_not_keep_up(stages: list[Stage], cores: int, video: Video) -> None:
    judgement = judge(stages, cores)
    assert bool(advice(judgement, stages, video)) == (judgement.verdict is Verdict.NO)
    assert judgement.largest in stages
    assert judgement.verdict.value in sentence(judgement)
    assert expected(judgement, stages, 1.0) == pytest.approx(judgement.fullest)


@given(some_stages, st.integers(1, 16), videos)
def test_what_is_proposed_fits_or_is_the_least_there_is(stages: list[Stage], cores: int, video: Video) -> None:
    judgement = judge(stages, cores)
    found = smaller(judgement, stages, video)
    share = (found.width * found.height * found.fps) / (video.width * video.height * video.fps)
    assert share <= 1
    assert found.width % 2 == found.height % 2 == 0
    if found != video:
        assert found.width >= min(320, video.width)
        assert found.height >= min(240, video.height)
        assert found.fps >= 5
    least = smaller(judge([encoding(1e9)], 1), [encoding(1e9)], video)
    assert expected(judgement, stages, share) <= WELL or found == least


def test_the_largest_picture_that_fits_is_proposed() -> None:
    def said(core: float, video: Video = FULL_HD) -> str:
        stages = [encoding(core)]
        return advice(judge(stages, 4), stages, video)

    assert said(0.92) == "Try camera.width = 1280, camera.height = 720 in the settings, and 'doorward bench' once more."
    assert said(0.89) == ""
    assert "camera.width = 1280, camera.height = 720, camera.fps = 10 in" in said(2.0)
    assert "Try camera.width = 960, camera.height = 540 in" in said(2.2), "more of a picture than 1280×720 five times"
    assert "camera.width = 640, camera.height = 360, camera.fps = 5" in said(14.0)
    tiny = Video(Camera.PI, 320, 240, 5, 250)
    assert said(2.0, tiny) == "No smaller picture can be had from the settings; use a faster machine."


def test_each_kind_of_camera_is_changed_where_it_is_set() -> None:
    stages = [encoding(2.0)]
    judgement = judge(stages, 4)
    network, masked = (
        advice(judgement, stages, Video(Camera.NETWORK, 1920, 1080, 15, 4000, masked)) for masked in (False, True)
    )
    assert network == "Set the camera itself to 1280×720 at 10 pictures a second or less."
    assert masked.startswith("Let the camera itself black out what camera.masks hides")
    assert advice(judgement, stages, Video(Camera.FILES, 1920, 1080, 15, 4000)).startswith("Convert the films")


def test_a_detector_that_takes_too_much_can_go() -> None:
    stages = [encoding(0.2), Stage(Step.LOOKING, Lane.DETECTOR, 1.4, 1.4)]
    assert advice(judge(stages, 4), stages, FULL_HD).startswith('Set detector.model = "":')


@pytest.mark.parametrize(
    ("share", "said"), [(0.0, "<0.1 %"), (0.0005, "0.1 %"), (0.0994, "9.9 %"), (0.0995, "10 %"), (1.404, "140 %")]
)
def test_shares_have_as_many_digits_as_they_are_worth(share: float, said: str) -> None:
    assert percent(share) == said
