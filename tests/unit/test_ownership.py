"""What root makes in a state directory becomes its user's; nothing outside it does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.store.ownership import hand_to_owner
from tests.household import NOW, Household

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
SOMEBODY = 61234


def owner(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid


def test_what_is_roots_below_becomes_the_users(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / "ring").mkdir(parents=True)
    (state / "ring" / "0").write_bytes(b"clip")
    os.chown(state, SOMEBODY, SOMEBODY)
    hand_to_owner(state)
    assert owner(state / "ring") == owner(state / "ring" / "0") == (SOMEBODY, SOMEBODY)


def test_links_give_nothing_away_that_lies_elsewhere(tmp_path: Path) -> None:
    state, secret = tmp_path / "state", tmp_path / "secret"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("root's")
    secret.write_text("root's")
    state.mkdir()
    os.chown(state, SOMEBODY, SOMEBODY)
    (state / "soft").symlink_to(secret)
    (state / "folder").symlink_to(elsewhere)
    (state / "hard").hardlink_to(secret)
    hand_to_owner(state)
    assert owner(secret) == owner(elsewhere) == owner(elsewhere / "file") == (0, 0)


def test_a_state_of_roots_own_or_none_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    hand_to_owner(tmp_path)
    hand_to_owner(tmp_path / "none")
    assert owner(tmp_path / "file") == (0, 0)


def test_root_that_may_not_give_away_is_told_so_after_the_commands_answer(tmp_path: Path) -> None:
    state = tmp_path / "state"
    Household.at(state).record_clip(NOW)
    os.chown(state, SOMEBODY, SOMEBODY)
    without_the_right = ["setpriv", "--bounding-set=-chown", sys.executable, "-m", "agent"]
    done = subprocess.run(
        [*without_the_right, "--state", str(state), "--json", "clips"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 1
    assert "Operation not permitted" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stderr.count("WARNING") == 1, "one sentence for all the files"
    assert owner(state / "ring") == (0, 0)
