"""The rendered doorstep: its truth is what its pictures show."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from agent.demo.canvas import HEIGHT, WIDTH
from agent.demo.scene import FPS, SECONDS, TRUTH, VERSION, Scene, cached_scene, pose_at


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def luma(scene: Scene, second: float) -> np.ndarray:
    return scene.planes(round(second * FPS))[:HEIGHT].astype(int)


def test_the_truth_is_when_a_visitor_is_seen(scene: Scene) -> None:
    def seen(index: int) -> bool:
        sprite = scene.visitor(index / FPS)
        return sprite is not None and scene.shown_pixels(sprite) > 0.5

    for event in TRUTH:
        first, last = round(event.start_s * FPS), round(event.end_s * FPS)
        assert [seen(first - 1), seen(first), seen(last), seen(last + 1)] == [False, True, True, False]
        # Behind the post of the porch, too, something of them is seen.
        assert all(seen(index) for index in range(first, last, 5))
    inside = [range(round(e.start_s * FPS), round(e.end_s * FPS) + 1) for e in TRUTH]
    quiet = [index for index in range(0, SECONDS * FPS, 3) if not any(index in span for span in inside)]
    assert not any(seen(index) for index in quiet)


def test_two_visits_and_quiet_around_them() -> None:
    assert len(TRUTH) == 2
    assert 60 <= SECONDS <= 75
    assert TRUTH[0].start_s >= 8
    assert TRUTH[1].start_s - TRUTH[0].end_s >= 15
    assert SECONDS - TRUTH[1].end_s >= 4


def test_a_visitor_moves_without_jumping() -> None:
    for event in TRUTH:
        poses = [pose_at(index / FPS) for index in range(round(event.start_s * FPS), round(event.end_s * FPS))]
        known = [found[0] for found in poses if found is not None]
        assert len(known) == len(poses)
        for a, b in itertools.pairwise(known):
            assert abs(b.x - a.x) < 0.15
            assert abs(b.z - a.z) < 0.15
            assert abs(b.turn - a.turn) < 0.45
        assert min(pose.z for pose in known) < 2.3


def test_the_light_drifts_and_one_cloud_comes(scene: Scene) -> None:
    def sky(second: float) -> float:
        return float(luma(scene, second)[60:100, 500:700].mean())

    assert abs(sky(35.5) - sky(34.5)) < 2
    assert sky(35.5) - sky(37.5) > 20
    assert 2 < abs(sky(20) - sky(2)) < 15


def test_the_bush_sways_and_the_sensor_is_noisy(scene: Scene) -> None:
    before, after = luma(scene, 2.0), luma(scene, 2.6)
    changed = np.abs(after - before)
    bush, lawn = changed[330:560, 130:280], changed[330:560, 400:700]
    assert (bush > 12).mean() > 0.05
    assert (lawn > 12).mean() < 0.001
    assert 0.5 < lawn.mean() < 4


def test_the_same_picture_each_time(scene: Scene) -> None:
    for index in (0, 270, 900):
        assert np.array_equal(scene.planes(index), Scene().planes(index))
    assert scene.planes(0).shape == (HEIGHT * 3 // 2, WIDTH)


def test_a_film_in_the_cache_is_taken(tmp_path: Path) -> None:
    there = tmp_path / f"doorstep-v{VERSION}.mp4"
    there.write_bytes(b"film")
    assert cached_scene(tmp_path) == there
    assert there.read_bytes() == b"film"
