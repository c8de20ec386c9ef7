"""`doorward replay` as a developer uses it: times named, zones set, motion explained, all in one JSON document."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from agent.demo.scene import TRUTH
from tests.slow.conftest import doorward, doorward_json, needed, picture_hashes

pytestmark = pytest.mark.slow

EVERYWHERE = "[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]"


def test_both_visits_of_the_doorstep_are_clips_at_the_time_named(scene: Path, tmp_path: Path) -> None:
    told = doorward_json("--state", tmp_path / "s", "replay", "--start", "2026-11-23T15:00:00+01:00", scene)
    assert len(told["clips"]) == len(TRUTH) == 2
    for clip, event in zip(told["clips"], TRUTH, strict=True):
        assert clip["start"] <= event.start_s <= event.end_s <= clip["end"] + 0.1
        assert abs(clip["motion_start"] - event.start_s) <= 1.0
    assert told["clips"][0]["utc_start"].startswith("2026-11-23T14:00:0")
    assert (told["frames"], told["gaps"], told["seconds"]) == (1080, [], 72.0)
    listed = doorward_json("--state", tmp_path / "s", "clips", "--from", "2026-11-23T14:00:45Z")
    assert [clip["id"] for clip in listed] == [told["clips"][1]["id"]]
    assert listed[0]["time_trust"] == "replayed"


def test_an_ignored_zone_is_ignored_and_the_film_says_why(scene: Path, tmp_path: Path) -> None:
    config = tmp_path / "doorward.toml"
    config.write_text(f"[motion]\nzones = [{{ corners = {EVERYWHERE}, ignore = true }}]\n")
    told = doorward_json("--config", config, "--state", tmp_path / "s", "replay", "--explain", tmp_path / "why", scene)
    assert told["clips"] == []
    film = tmp_path / "why" / "explain.mp4"
    assert len(picture_hashes(film)) >= 700
    entries = ["-show_entries", "format=duration", "-of", "json"]
    facts = subprocess.run([needed("ffprobe"), "-v", "error", *entries, str(film)], capture_output=True, check=True)
    assert abs(float(json.loads(facts.stdout)["format"]["duration"]) - 72) < 1


def test_a_zone_that_cannot_be_is_named(scene: Path, tmp_path: Path) -> None:
    config = tmp_path / "doorward.toml"
    for zone, says in (
        ("{ corners = [[0.0, 0.0], [1.0, 1.0]] }", "at least 3 entries"),
        ("{ corners = [[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]] }", "at most 1"),
        ("{ corners = [[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]], sensitivity = 11 }", "at most 10"),
        ("{ cornres = [] }", "cornres"),
    ):
        config.write_text(f"[motion]\nzones = [{zone}]\n")
        done = doorward("--config", config, "--state", tmp_path / "s", "replay", scene)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert says in done.stderr
