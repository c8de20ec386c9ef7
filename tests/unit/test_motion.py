"""What the detector promises whatever its method: sizes, zones, settings, and a plain figure on a plain scene."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from agent.core.errors import BadInput
from agent.core.frame import LumaFrame
from agent.core.motion import LOOK_BACK_NS, Motion, MotionDetector, MotionSettings, Zone
from agent.core.motion_explain import said

FRAME_NS = 100_000_000
SHAPE = (180, 320)


def scene(seed: int, walker_x: float | None) -> npt.NDArray[np.uint8]:
    """A textured wall with sensor noise and a dark, opaque figure whose left edge is at `walker_x`."""
    wall = np.random.default_rng(1).normal(128, 25, (18, 32)).repeat(10, 0).repeat(10, 1)
    picture = wall + np.random.default_rng(seed).normal(0, 2, SHAPE)
    if walker_x is not None:
        left = max(0, int(walker_x))
        picture[60:130, left : max(0, int(walker_x) + 24)] = 60
    return np.clip(picture, 0, 255).astype(np.uint8)


def walk(detector: MotionDetector) -> list[Motion]:
    """10 s of nothing, then a figure crosses in 5 s."""
    verdicts = []
    for i in range(150):
        x = None if i < 100 else -24 + (i - 100) * 7.0
        verdicts.append(detector.observe(LumaFrame(i * FRAME_NS, scene(100 + i, x))))
    return verdicts


def test_a_figure_crossing_a_quiet_scene_is_found_where_it_is() -> None:
    verdicts = walk(MotionDetector(SHAPE))
    assert not any(v.moving for v in verdicts[:100])
    assert all(v.moving for v in verdicts[106:145])
    first = next(v for v in verdicts if v.moving)
    assert 100 * FRAME_NS <= first.since_ns <= 103 * FRAME_NS
    assert first.time_ns - first.since_ns <= LOOK_BACK_NS
    box = verdicts[125].boxes[0]
    centre = (-24 + 25 * 7.0 + 12) / 320
    assert box.left < centre < box.right
    assert box.top < 95 / 180 < box.bottom


def test_a_frame_of_another_size_is_refused() -> None:
    with pytest.raises(BadInput):
        MotionDetector(SHAPE).observe(LumaFrame(0, np.zeros((240, 320), np.uint8)))
    with pytest.raises(BadInput):
        MotionDetector((16, 320))


@pytest.mark.parametrize("sensitivity", [0, 11])
def test_a_sensitivity_off_the_slider_is_refused(sensitivity: int) -> None:
    with pytest.raises(BadInput):
        MotionSettings(sensitivity)
    with pytest.raises(BadInput):
        Zone(((0, 0), (1, 0), (1, 1)), sensitivity=sensitivity)


@pytest.mark.parametrize("polygon", [(), ((0, 0), (1, 1)), ((0, 0), (1, 0), (1.5, 1)), ((0.0, 0.0),) * 65])
def test_a_zone_that_is_no_polygon_in_the_picture_is_refused(polygon: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(BadInput):
        Zone(polygon)


def right_half(**more: object) -> Zone:
    return Zone(((0.5, 0), (1, 0), (1, 1), (0.5, 1)), **more)  # type: ignore[arg-type]


def test_a_watch_zone_is_all_that_counts() -> None:
    verdicts = walk(MotionDetector(SHAPE, MotionSettings(zones=(right_half(),))))
    assert not any(v.moving for v in verdicts[:122])
    assert all(v.moving for v in verdicts[132:145])
    assert all(box.left >= 0.5 - 1 / 320 for v in verdicts for box in v.boxes)


def test_an_ignore_zone_wins_over_a_watch_zone() -> None:
    whole = Zone(((0, 0), (1, 0), (1, 1), (0, 1)))
    verdicts = walk(MotionDetector(SHAPE, MotionSettings(zones=(right_half(ignore=True), whole))))
    assert all(v.moving for v in verdicts[108:120])
    assert not any(v.moving for v in verdicts[130:])


def test_the_slider_says_how_little_is_enough() -> None:
    def faint(sensitivity: int, zone: int | None = None) -> bool:
        zones = () if zone is None else (Zone(((0, 0), (1, 0), (1, 1), (0, 1)), sensitivity=zone),)
        detector = MotionDetector(SHAPE, MotionSettings(sensitivity, zones))
        seen = []
        for i in range(150):
            picture = np.full(SHAPE, 120.0)
            if i >= 100:
                left = (i - 100) * 5
                picture[80:120, left : left + 16] += 13
            noisy = picture + np.random.default_rng(i).normal(0, 1, SHAPE)
            seen.append(detector.observe(LumaFrame(i * FRAME_NS, noisy.astype(np.uint8))).moving)
        assert not any(seen[:100])
        return any(seen)

    assert [faint(1), faint(5), faint(8)] == [False, True, True]
    assert faint(1, zone=8)
    assert not faint(8, zone=1)


def test_each_step_of_the_slider_sees_at_least_what_the_one_below_sees() -> None:
    contrasts = (6, 9, 13, 19, 28, 40)
    lasts, film = 60, []
    for i in range(40 + lasts * len(contrasts)):
        picture = np.full(SHAPE, 120.0)
        figure, at = divmod(i - 40, lasts)
        if figure >= 0 and at < 40:
            picture[80 : 92 + 6 * figure, at * 5 : at * 5 + 8 + 2 * figure] += contrasts[figure]
        film.append((picture + np.random.default_rng(i).normal(0, 1, SHAPE)).astype(np.uint8))
    seen = []
    for sensitivity in range(1, 11):
        detector = MotionDetector(SHAPE, MotionSettings(sensitivity))
        moving = [detector.observe(LumaFrame(i * FRAME_NS, p)).moving for i, p in enumerate(film)]
        assert not any(moving[:40])
        spans = [moving[40 + lasts * n : 40 + lasts * (n + 1)] for n in range(len(contrasts))]
        seen.append({n for n, span in enumerate(spans) if any(span)})
    assert all(less <= more for less, more in itertools.pairwise(seen)), seen
    assert len({len(figures) for figures in seen}) >= 4  # and the slider does something


def test_frames_come_in_order() -> None:
    detector = MotionDetector(SHAPE)
    detector.observe(LumaFrame(FRAME_NS, scene(1, None)))
    with pytest.raises(BadInput):
        detector.observe(LumaFrame(FRAME_NS - 1, scene(2, None)))


def test_a_figure_that_stops_lingers_and_one_that_left_does_not() -> None:
    detector = MotionDetector(SHAPE)
    verdicts = []
    for i in range(220):
        x = None if i < 60 or i >= 160 else min(-24 + (i - 60) * 8.0, 140.0)
        verdicts.append(detector.observe(LumaFrame(i * FRAME_NS, scene(100 + i, x))))
    standing, gone = verdicts[90:150], verdicts[175:]
    assert sum(v.lingering for v in standing) > 0.8 * len(standing)
    assert not any(v.moving for v in standing)
    assert not any(v.moving or v.lingering for v in gone)


def test_a_switch_of_light_is_no_motion() -> None:
    detector = MotionDetector(SHAPE)
    for i in range(200):
        factor = 1.0 if i < 80 else 0.55 if i < 140 else 1.2
        picture = (scene(100 + i, None) * factor).clip(0, 255).astype(np.uint8)
        assert not detector.observe(LumaFrame(i * FRAME_NS, picture)).moving


@pytest.mark.parametrize("strength", [60.0, 130.0])
def test_headlights_over_a_bare_wall_are_no_figure(strength: float) -> None:
    """There is no structure to compare; but a lit patch has no outline."""
    detector = MotionDetector(SHAPE)
    down, across = np.mgrid[0:180, 0:320]
    for i in range(160):
        x = -150 + (i - 100) * 12.0
        light = strength * np.exp(-(((across - x) / 45) ** 2 + ((down - 80) / 35) ** 2)) if i >= 100 else 0.0
        picture = 40 + light + np.random.default_rng(i).normal(0, 2, SHAPE)
        verdict = detector.observe(LumaFrame(i * FRAME_NS, np.clip(picture, 0, 255).astype(np.uint8)))
        assert not verdict.moving, i


@pytest.mark.parametrize(("bars", "depth"), [(1.0, 0.08), (2.5, 0.05)])
def test_bars_of_flickering_lamps_are_no_figure_and_hide_none(bars: float, depth: float) -> None:
    detector = MotionDetector(SHAPE)
    rows = np.arange(180)[:, None] / 180
    moving = []
    for i in range(250):
        picture = scene(100 + i, -24 + (i - 100) * 7.0 if 100 <= i < 150 else None)
        lit = picture * (1 + depth * np.sin(2 * np.pi * bars * rows + 0.9 * i))
        moving.append(detector.observe(LumaFrame(i * FRAME_NS, np.clip(lit, 0, 255).astype(np.uint8))).moving)
    assert not any(moving[:100])
    assert all(moving[107:145])
    assert not any(moving[151:])


def spotted(i: int, x: float, y: float) -> npt.NDArray[np.uint8]:
    """A dark wall with noise and a bright blurred spot of 10 px around (x, y)."""
    down, across = np.mgrid[0:180, 0:320]
    picture = 50 + 90 * np.exp(-(((across - x) / 4) ** 2 + ((down - y) / 4) ** 2) / 2)
    return np.clip(picture + np.random.default_rng(i).normal(0, 2, SHAPE), 0, 255).astype(np.uint8)


def test_what_flutters_is_no_figure_and_what_goes_as_fast_straight_on_is_one() -> None:
    detector = MotionDetector(SHAPE)
    for i in range(200):
        s = 0.1 * (i - 100)
        x, y = (160 + 70 * np.sin(5.1 * s), 90 + 40 * np.sin(7.3 * s)) if s >= 0 else (-50.0, -50.0)
        assert not detector.observe(LumaFrame(i * FRAME_NS, spotted(i, x, y))).moving, i
    seen = [detector.observe(LumaFrame(i * FRAME_NS, spotted(i, 10.0 * (i - 300), 90.0))) for i in range(200, 332)]
    assert not any(v.moving for v in seen[:100])
    first = next(v for v in seen if v.moving)
    assert first.since_ns < 303 * FRAME_NS


@pytest.mark.parametrize("kind", ["smeared", "grey", "pushed aside"])
def test_rows_that_broke_on_the_way_are_no_figure_and_hide_none(kind: str) -> None:
    detector = MotionDetector(SHAPE)
    moving = []
    for i in range(200):
        picture = scene(100 + i, -24 + (i - 140) * 7.0 if 140 <= i < 190 else None)
        if i in range(100, 112):
            band = picture[50:110]
            changed = {
                "smeared": band[:1],
                "grey": np.full_like(band, 128),
                "pushed aside": np.roll(band, 9, 1),
            }
            picture[50:110] = changed[kind]
        moving.append(detector.observe(LumaFrame(i * FRAME_NS, picture)).moving)
    assert not any(moving[:140])
    assert all(moving[146:185])


def with_cloth(picture: npt.NDArray[np.uint8], s: float) -> npt.NDArray[np.uint8]:
    """A bright cloth on a line that swings by its own width, `s` seconds after it began to; it hangs still before."""
    push = 20 * np.sin(2.5 * s) if s > 0 else 0.0
    corners = [(200, 30), (222, 30), (222 + push, 90 - 0.2 * abs(push)), (200 + push, 90 - 0.2 * abs(push))]
    cv2.fillPoly(picture, [np.rint(np.array(corners) * 16).astype(np.int32)], 215, cv2.LINE_AA, 4)
    return picture


def test_what_swings_in_its_place_for_long_is_no_visitor_and_hides_none() -> None:
    detector = MotionDetector(SHAPE)
    verdicts, reasons = [], set()
    for i in range(900):
        # It swings from 10 s on; somebody walks past it from 60 to 67 s, and it rests from 75 to 80 s.
        x = -24 + (i - 600) * 5.0 if 600 <= i < 669 else None
        swings = i - 100 if i < 750 or i >= 800 else 0
        picture = with_cloth(scene(100 + i, x), 0.1 * swings)
        verdicts.append(detector.observe(LumaFrame(i * FRAME_NS, picture)))
        reasons.add(said(verdicts[i], detector).partition(": ")[2])
    moving = [v.moving for v in verdicts]
    assert sum(moving[120:400]) > 0.9 * 280  # for half a minute nobody can know
    assert not any(moving[430:600])
    assert all(moving[606:664])
    assert next(v for v in verdicts[600:] if v.moving).since_ns <= 603 * FRAME_NS
    assert not any(moving[760:])  # it was remembered
    assert "something moves where things have moved for long" in reasons


def test_what_swung_in_its_place_is_remembered_for_longer_than_its_unrest() -> None:
    detector = MotionDetector(SHAPE)
    rests = range(600, 2200, 10)  # a picture a second is enough there
    for i in [*range(600), *rests, *range(2200, 2300)]:
        s = 0.0 if i in rests else 0.1 * (i - 100)
        verdict = detector.observe(LumaFrame(i * FRAME_NS, with_cloth(scene(100 + i, None), s)))
        assert not verdict.moving or i < 430, i


@pytest.mark.parametrize("pause_s", [0.0, 4.0])
def test_who_came_and_goes_to_and_fro_in_one_place_is_not_cut_off(pause_s: float) -> None:
    detector = MotionDetector(SHAPE)
    moving = []
    for i in range(800):
        s = 0.1 * (i - 100)
        swung = s - 4 - 0.5 * pause_s * np.floor((s - 4) / (np.pi + 0.5 * pause_s))
        x = 160 + 14 * np.sin(2.0 * swung)
        if s < 4 or s > 65:
            x = -24 + 46.0 * s if s < 4 else 160 - 46.0 * (s - 65)
        verdict = detector.observe(LumaFrame(i * FRAME_NS, scene(100 + i, x if 0 <= s < 69 else None)))
        moving.append(verdict.moving or verdict.lingering)
    assert all(moving[110:780])
    assert not any(moving[795:])


@pytest.mark.parametrize("shape", [(32, 32), (61, 99), (240, 320), (320, 180)])
def test_any_size_and_any_content_is_taken(shape: tuple[int, int]) -> None:
    detector = MotionDetector(shape)
    rng = np.random.default_rng(5)
    pictures = [np.zeros(shape), np.full(shape, 255), *rng.integers(0, 256, (6, *shape)), np.zeros(shape)]
    time_ns = 0
    for picture in pictures * 3:
        time_ns += int(rng.integers(1, 3_000_000_000))
        verdict = detector.observe(LumaFrame(time_ns, picture.astype(np.uint8)))
        assert verdict.since_ns <= verdict.time_ns


def test_a_camera_that_was_pushed_gets_used_to_its_new_place() -> None:
    detector = MotionDetector(SHAPE)
    for i in range(260):
        steady = cv2.GaussianBlur(scene(100 + i, None), (0, 0), 1.5)
        picture = steady if i < 60 else np.roll(steady, 4, axis=1)
        assert not detector.observe(LumaFrame(i * FRAME_NS, picture)).moving
    assert detector.changes is not None
    assert np.mean(cv2.absdiff(detector.changes.expected, picture)) < 2
    assert np.mean(cv2.absdiff(detector.changes.picture, picture)) < 2  # no longer moved back
