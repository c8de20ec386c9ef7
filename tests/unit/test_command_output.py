"""What commands print where nobody planned it: on a full disk, into a closed pipe, on a narrow or an old terminal."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from rich.console import Console

from agent.cli.commands import doorward
from agent.cli.demo import demo_film
from agent.cli.tables import request_table
from agent.core.owner_api import RequestRow
from agent.demo import scene
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


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_an_answer_that_cannot_be_written_is_one_sentence(state: Path, form: list[str]) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        done = run(*form, "--state", state, "clips", stdout=full)
    finally:
        os.close(full)
    assert done.returncode == 3
    assert done.stderr.decode().startswith("doorward: the answer could not be written: No space left on device;")


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_reader_that_has_seen_enough_is_no_failure(state: Path, form: list[str]) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    try:
        done = run(*form, "--state", state, "clips", stdout=writes)
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


def lists(group: click.Group, path: str = "doorward") -> Iterator[tuple[str, str]]:
    """What is printed for `--help` of a group and of the groups in it, in 80 columns."""
    context = click.Context(group, info_name=path, terminal_width=78)
    yield path, group.get_help(context)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from lists(command, f"{path} {name}")


@pytest.mark.parametrize("home", ["a file", "nobody's"])
def test_a_demo_without_a_home_keeps_its_film_with_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file") if home == "a file" else "/proc/none")
    drawn = tmp_path / f"doorstep-v{scene.VERSION}.mp4"
    drawn.touch()
    assert demo_film(tmp_path) == drawn


def test_no_help_ends_in_dots() -> None:
    found = dict(lists(doorward))
    assert {"doorward", "doorward owner", "doorward requester"} <= set(found)
    assert {path: text for path, text in found.items() if "..." in text.replace("[ARGS]...", "")} == {}


def test_the_list_of_commands_loads_none_of_them() -> None:
    """On a Pi each costs seconds."""
    script = "import sys, agent.__main__ as m\ntry: m.main()\nfinally: print('av' in sys.modules, 'cv2' in sys.modules)"
    command = [sys.executable, "-c", script, "--help"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    assert told.endswith("False False\n")
    assert "Run the doorbell until it is stopped." in told


@pytest.mark.parametrize("columns", [40, 80])
def test_ids_of_requests_stand_whole_in_a_terminal(columns: int) -> None:
    ident = "JTFRuPUaRIyy_WUo2e3cyQ"
    row = RequestRow(
        id=ident, agency="Springfield Police Department", case_number="2026-11-000123", incident_type="theft",
        from_="2026-11-24T15:28:51Z", to="2026-11-25T03:28:51Z", expires="2026-11-27T00:00:00Z", received="",
        state="asked", clips=1, undo_until=None, sent_bytes=0, total_bytes=0,
    )  # fmt: skip
    console = Console(width=columns, file=io.StringIO(), record=True)
    console.print(request_table([row]))
    assert ident in console.export_text()


def test_a_package_that_an_update_needs_is_one_sentence() -> None:
    script = "import sys, agent.__main__ as m\nsys.modules['isal'] = None\nm.main()"
    told = subprocess.run([sys.executable, "-c", script, "clips"], capture_output=True, text=True, timeout=60)
    assert told.returncode == 3
    assert told.stderr.startswith("doorward: the Python package 'isal")
    assert "scripts/environment" in told.stderr
    assert told.stderr.count("\n") == 1


def test_a_mistyped_command_is_answered_with_the_one_meant() -> None:
    assert b"Did you mean 'clips'?" in run("clip").stderr


def test_a_long_sentence_ends_its_lines_between_words(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    command = [sys.executable, "-m", "agent", "--state", str(tmp_path / "none"), "clips"]
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs, env=environment)
    assert child.wait(60) == 3
    os.close(theirs)
    told = os.read(ours, 10_000).decode()
    os.close(ours)
    assert " ".join(told.split()).endswith("holds no doorbell yet; 'doorward run' or 'doorward replay FILE' makes one")
    assert len(told.splitlines()) > 1


def test_a_log_goes_into_a_pipe_by_name(state: Path) -> None:
    done = run("--state", state, "audit", "export", "/dev/stdout")
    assert done.stdout.startswith(b'{"n":1,')
    assert Path("/dev/stdout").is_symlink()


def test_a_rule_beyond_its_limits_is_said_in_words() -> None:
    done = run("owner", "rules", "--longer-than", "5", "--identity", "none")
    assert b"5 is not in the range 15<=x<=720" in done.stderr
    done = run("owner", "pause", "--until", "tomorrow", "--identity", "none")
    assert (done.returncode, b"'tomorrow' is not a time" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "placed"),
    [
        ("clips --json", "--json clips"),
        ("owner clips --state x", "--state … owner clips"),
        ("audit verify -v", "-v audit"),
    ],
)
def test_an_option_behind_the_command_is_told_its_place(words: str, placed: str) -> None:
    done = run(*words.split())
    assert done.returncode == 2
    assert f"stands before the command: python -m agent {placed}" in done.stderr.decode()


def test_what_to_do_is_about_the_doorbell_that_was_looked_at(state: Path) -> None:
    told = json.loads(run("--json", "--state", state, "doctor").stdout)["checks"]
    (camera,) = [check for check in told if check["check"] == "camera"]
    assert camera["do"] == f"doorward --state {state} setup"
