"""What commands print where nobody planned it: on a full disk, into a closed pipe, on a narrow or an old terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.household import Household


@pytest.fixture
def state(tmp_path: Path) -> Path:
    home = Household.at(tmp_path)
    home.record_clip()
    home.record_clip()
    home.db.close()
    return home.state.ring.parent


def run(*arguments: object, stdout: int = subprocess.PIPE, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "agent", *map(str, arguments)]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, env=os.environ | environment, timeout=60)


@pytest.mark.parametrize("json", [[], ["--json"]])
def test_an_answer_that_cannot_be_written_is_one_sentence(state: Path, json: list[str]) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        done = run(*json, "--state", state, "clips", stdout=full)
    finally:
        os.close(full)
    assert done.returncode == 3
    assert done.stderr.decode().startswith("doorward: the answer could not be written: No space left on device;")


@pytest.mark.parametrize("json", [[], ["--json"]])
def test_a_reader_that_has_seen_enough_is_no_failure(state: Path, json: list[str]) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    try:
        done = run(*json, "--state", state, "clips", stdout=writes)
    finally:
        os.close(writes)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_old_terminal_shows_what_it_can(state: Path) -> None:
    done = run("--state", state, "clips", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"2 clips in all" in done.stdout


def test_a_narrow_terminal_shows_ids_whole_and_one_clip_is_no_clips(tmp_path: Path) -> None:
    home = Household.at(tmp_path)
    row = home.record_clip()
    told = run("--state", home.state.ring.parent, "clips", COLUMNS="40").stdout.decode()
    assert row.id in told
    assert "1 clip in all" in told


def test_a_demo_whose_evidence_has_nowhere_to_go_does_not_begin(tmp_path: Path) -> None:
    (tmp_path / "evidence").write_text("in the way")
    done = run("demo", "--yes", "--keep", tmp_path)
    assert done.returncode == 3
    assert done.stderr.decode().strip().endswith("cannot be made: File exists; name another folder with --keep")
    assert done.stdout == b""
