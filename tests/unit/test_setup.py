"""`doorward setup`: what is asked, tried for real, written and left alone.

On a real terminal: tests/slow/test_setup.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agent import examining
from agent.adapters.embedded_broker import EmbeddedBroker
from agent.camera_search import FoundCamera, Search
from agent.cli import commands, setup_questions
from agent.config import Config, read_config
from agent.core.errors import BadInput
from agent.core.health import Finding, bad, ok
from agent.settings_file import shipped
from agent.setup import open_state
from agent.store.state import StateDirectory, WriterLock
from tests.ntfy_server import NtfyServer

NAME, PLACE, CAMERA, PAGE, NOTICES, BROKER, WRITE = range(7)
SECRET = "hunter2-of-the-door"


class Home:
    """A folder with settings and state, and a person who answers."""

    def __init__(self, root: Path) -> None:
        self.file = root / "etc" / "doorward.toml"
        self.state = root / "state"

    def setup(self, *answers: str, json_: bool = False, defaults: bool = False) -> Result:
        """The command; after the last answer the terminal is closed."""
        named = ["--config", str(self.file), "--state", str(self.state)]
        arguments = [*named, *(["--json"] if json_ else []), "setup", *(["--defaults"] if defaults else [])]
        return CliRunner().invoke(
            commands.doorward, arguments, input="".join(f"{a}\n" for a in answers), standalone_mode=False
        )

    def done(self, *answers: str, **how: Any) -> Result:
        result = self.setup(*answers, **how)
        assert result.exception is None, f"{result.output}\n{result.exception!r}"
        return result

    @property
    def config(self) -> Config:
        return read_config(self.file)

    def begin(self) -> StateDirectory:
        """A doorbell that was started once."""
        state = StateDirectory(self.state, create=True)
        open_state(state, 0, os.urandom, make_recovery=False).db.close()
        return state


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examining, "_CAMERA_S", 0.5)
    monkeypatch.setattr(examining, "_BROKER_S", 2.0)


def answers(**said: str) -> list[str]:
    """Enter to every question but those named."""
    given = [""] * 7
    for name, answer in said.items():
        given[globals()[name.upper()]] = answer
    return given


def test_enter_to_everything_is_a_doorbell_that_phones_reach(home: Home) -> None:
    home.done(*answers())
    assert tomllib.loads(home.file.read_text()) == tomllib.loads(shipped()) | {
        "http": tomllib.loads(shipped())["http"] | {"host": "0.0.0.0"}
    }
    assert stat.S_IMODE(home.file.stat().st_mode) == 0o640


def test_what_was_answered_is_all_that_changes(home: Home) -> None:
    said = home.done(*answers(name="Garden gate", place="48.2082, 16.3738", page="no")).output
    assert "doorbell.name: Front door → Garden gate" in said
    before, after = shipped().splitlines(), home.file.read_text().splitlines()
    assert [new for old, new in zip(before, after, strict=True) if old != new] == [
        'name = "Garden gate"',
        "latitude = 48.2082",
        "longitude = 16.3738",
    ]


def test_a_second_time_enter_changes_nothing(home: Home) -> None:
    home.done(*answers(name="Garden gate", place="48.2082, 16.3738"))
    before = (home.file.read_bytes(), home.file.stat().st_ino)
    document = json.loads(home.done(*answers()[:-1], json_=True).stdout)
    assert (home.file.read_bytes(), home.file.stat().st_ino) == before
    assert (document["written"], document["created"]) == ({}, False)


def test_what_the_owner_wrote_stays(home: Home) -> None:
    home.file.parent.mkdir()
    home.file.write_bytes(b"# mine\r\n[ring]\r\ndays = 3 # short\r\n[doorbell]\r\nname = 'Old' # here\r\n")
    home.file.chmod(0o604)
    home.done(*answers(name="New", page="no"))
    text = home.file.read_bytes().decode()
    assert text == '# mine\r\n[ring]\r\ndays = 3 # short\r\n[doorbell]\r\nname = "New" # here\r\n'
    assert stat.S_IMODE(home.file.stat().st_mode) == 0o604


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_whose_the_file_is_stays(home: Home) -> None:
    home.file.parent.mkdir()
    real = home.file.with_name("elsewhere.toml")
    real.write_text("")
    os.chown(real, 61234, 61235)
    real.chmod(0o640)
    home.file.symlink_to(real.name)
    home.done(*answers(name="New"))
    found = real.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (61234, 61235, 0o640)
    assert home.file.is_symlink()
    assert home.config.doorbell.name == "New"


@pytest.mark.parametrize("given", range(7))
def test_who_leaves_has_changed_nothing(home: Home, given: int) -> None:
    home.file.parent.mkdir()
    home.file.write_text("# mine\n")
    result = home.setup(*answers(name="New", place="48.2, 16.3")[:given])
    assert "Nothing was changed." in result.output
    assert result.exit_code != 0
    assert home.file.read_text() == "# mine\n"
    assert sorted(path.name for path in home.file.parent.iterdir()) == ["doorward.toml"]


def test_who_does_not_want_it_written_has_changed_nothing(home: Home) -> None:
    assert home.setup(*answers(name="New", write="no")).exit_code != 0
    assert not home.file.exists()


def test_the_defaults_ask_nothing(home: Home) -> None:
    document = json.loads(home.done(defaults=True, json_=True).stdout)
    assert home.file.read_text() == shipped()
    assert document == {
        "file": str(home.file),
        "created": True,
        "written": {},
        "next": [f"doorward --config {home.file} --state {home.state} {what}" for what in ("run", "pair")],
        "pairing": None,
    }
    home.file.write_text("[doorbell]\nname = 'Mine'\n")
    assert json.loads(home.done(defaults=True, json_=True).stdout)["created"] is False
    assert home.config.doorbell.name == "Mine"


def test_a_file_that_is_none_is_said_before_anything_is_asked(home: Home) -> None:
    home.file.parent.mkdir()
    home.file.write_text("[doorbel]\n")
    result = home.setup(*answers())
    assert isinstance(result.exception, BadInput)
    assert "did you mean 'doorbell'" in str(result.exception)
    assert "1 of" not in result.output


def test_a_wrong_answer_is_explained_and_asked_again(home: Home) -> None:
    given = [
        "x" * 65,
        "Gate",
        "Vienna",
        "48.2, 16.3",
        "webcam",
        "7",
        "",
        "perhaps",
        "no",
        "topic",
        "",
        "ftp://x",
        "",
        "",
    ]
    said = home.done(*given).output
    for word in ("at most 64", "48.2082, 16.3738", "not one Doorward knows", "no camera 7", "yes or no", "mqtt://"):
        assert word in " ".join(said.split()), word
    assert home.config.doorbell.latitude == 48.2


def test_a_camera_that_does_not_answer(home: Home) -> None:
    url = f"rtsp://door:{SECRET}@127.0.0.1:9/none"
    given = answers(name="Gate")
    given[CAMERA : CAMERA + 1] = [url, "", "keep"]
    said = home.done(*given).output
    assert said.count("✗ The camera at rtsp://127.0.0.1:9/none cannot be reached") == 2, "Enter tries again"
    assert home.config.camera.url == url
    assert "camera.url: (empty) → rtsp://…@127.0.0.1:9/none" in said
    given[CAMERA : CAMERA + 3] = ["", "none"]
    again = home.done(*given).output
    assert home.config.camera.url == ""
    assert SECRET not in said + again


def test_a_camera_found_is_proposed_and_one_too_large_made_smaller(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The camera and the machine that does not keep up with it are made up."""
    sizes = []

    def film_some(config: Config) -> list[Finding]:
        sizes.append(config.camera.width)
        return [
            ok("camera", "comes"),
            bad("encoder", "few", "lower") if config.camera.width > 640 else ok("encoder", "all"),
        ]

    found = Search((FoundCamera("pi", "of the Pi"), FoundCamera("usb", "USB camera Eye")), ("no permission",))
    monkeypatch.setattr(setup_questions, "search", lambda: found)
    monkeypatch.setattr(setup_questions, "film_some", film_some)
    given = answers()
    given[CAMERA : CAMERA + 1] = ["2", "yes", ""]
    said = home.done(*given).output
    assert "  2  USB camera Eye" in said
    assert "✗ no permission" in said
    assert sizes == [1920, 1280, 640]
    assert (home.config.camera.url, home.config.camera.width, home.config.camera.height) == ("usb", 640, 480)
    given[CAMERA : CAMERA + 3] = ["pi", "no"]
    home.file.unlink()
    home.done(*given)
    assert (home.config.camera.url, home.config.camera.width) == ("pi", 1920)
    home.file.unlink()
    sizes.clear()
    given[CAMERA : CAMERA + 2] = ["", "", ""]
    home.done(*given)
    assert home.config.camera.url == "pi", "the first is proposed"


def test_films_instead_of_a_camera_stay(home: Home) -> None:
    home.file.parent.mkdir()
    home.file.write_text('[camera]\nreplay = ["a.mp4"]\n')
    given = answers(name="Gate")
    del given[CAMERA]
    home.done(*given)
    assert home.config.camera.replay == [str(home.file.parent / "a.mp4")]


@pytest.fixture
def ntfy() -> Iterator[NtfyServer]:
    with NtfyServer() as server:
        yield server


def test_a_topic_is_tried(home: Home, ntfy: NtfyServer) -> None:
    given = answers(name="Garden gate")
    given[NOTICES : NOTICES + 1] = [ntfy.url, ""]
    home.done(*given)
    assert home.config.notify.ntfy == ntfy.url
    assert [(notice["title"], notice["topic"]) for notice in ntfy.taken] == [
        ("Garden gate", "a-long-name-nobody-guesses")
    ]


def test_a_topic_that_is_refused_is_left_out(home: Home, ntfy: NtfyServer) -> None:
    ntfy.refuse = 403
    given = answers(name="Gate")
    given[NOTICES : NOTICES + 1] = [ntfy.url, "", "none"]
    assert "does not let this doorbell post" in " ".join(home.done(*given).output.split())
    assert home.config.notify.ntfy == ""


def test_a_new_topic_cannot_be_guessed(home: Home) -> None:
    topics = set()
    for _ in range(2):
        result = home.setup(*answers(notices="new")[: NOTICES + 1])  # leaves before it is told to the world
        (topic,) = [line.strip() for line in result.output.splitlines() if line.startswith("  doorward-")]
        topics.add(topic)
        assert len(topic.removeprefix("doorward-")) == 16
    assert len(topics) == 2


async def test_a_broker_is_tried(home: Home) -> None:
    async with EmbeddedBroker() as broker:
        said = (await asyncio.to_thread(home.done, *answers(broker=broker.url))).output
    assert f"{broker.url} takes the doorbell" in said
    assert home.config.broker.url == broker.url
    given = answers(name="Gate")
    given[BROKER : BROKER + 1] = [f"mqtt://door:{SECRET}@127.0.0.1:9", "keep"]
    result = await asyncio.to_thread(home.done, *given, json_=True)
    assert json.loads(result.stdout)["written"]["broker.url"] == "mqtt://…@127.0.0.1:9"
    assert SECRET not in result.output
    assert SECRET in home.config.broker.url


def test_a_running_doorbell_without_an_owner_is_paired(home: Home) -> None:
    home.done(*answers(page="no"))
    state = home.begin()
    with WriterLock(state, "run"):
        document = json.loads(home.done(defaults=True, json_=True).stdout)
        assert document["pairing"]["url"].startswith("http://localhost:8080/pair#1.")
        assert document["next"] == []
        assert "or type" in home.done(*answers()[:3], "no", "", "").output
        stale = json.loads(home.done(*answers(name="New", page="no"), json_=True).stdout)
    assert stale["pairing"] is None, "it does not know the new settings yet"
    assert [command.rsplit(" ", 1)[1] for command in stale["next"]] == ["run", "pair"]


def test_who_may_not_write_is_told_first(home: Home) -> None:
    """A process of its own: root gives up the right to write where it may not, as others never had it."""
    home.file.parent.mkdir(mode=0o500)
    without_the_right = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    named = ["--config", str(home.file), "--state", str(home.state)]
    done = subprocess.run(
        [*without_the_right, sys.executable, "-m", "agent", *named, "setup"],
        input="".join(f"{a}\n" for a in answers()), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert done.stdout == "", "nobody is asked anything"
    assert f"{home.file} is not yours to change" in done.stderr
    assert "sudo" in done.stderr
    assert not home.file.exists()
