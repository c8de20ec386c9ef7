"""`doorward setup` as a homeowner has it: on a terminal of 80×24, with keys pressed one after the other."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config import read_config
from tests.slow.test_stream_real import Camera, cameras, gstreamer, of_film  # noqa: F401

pytestmark = pytest.mark.slow

COLUMNS, ROWS = 80, 24
ENTER, INTERRUPT, END, LEFT = "\r", "\x03", "\x04", "\x1b[D"
_CONTROL = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[=>])")


class Terminal:
    """A program on a terminal of its own. `lines`: what it has said, as it stands there."""

    def __init__(self, *command: str | Path) -> None:
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm-256color"
            for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
                os.environ.pop(name, None)
            os.execv(sys.executable, [sys.executable, *map(str, command)])
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._said = b""
        self._seen = 0
        self.status: int | None = None

    @property
    def text(self) -> str:
        return _CONTROL.sub("", self._said.decode("utf-8", "replace")).replace("\r\n", "\n")

    @property
    def lines(self) -> list[str]:
        return [line.rsplit("\r", 1)[-1] for line in self.text.split("\n")]

    def press(self, keys: str) -> None:
        """What a person types, once the program waits for it."""
        self.until("\n> ")
        self._seen = len(self.text)
        time.sleep(
            0.1
        )  # Python shows a prompt before it listens for Ctrl-C, and misses one that nobody can press so soon
        self.type(keys)

    def type(self, keys: str) -> None:
        """Whether it waits for that or not."""
        os.write(self._terminal, keys.encode())

    def until(self, words: str, seconds: float = 60) -> None:
        """Read on until it has said that since the last key."""
        deadline = time.monotonic() + seconds
        while words not in self.text[self._seen :]:
            assert time.monotonic() < deadline, f"no {words!r} in:\n{self.text[-2000:]}"
            assert self._read(), f"ended without {words!r}:\n{self.text[-2000:]}"

    def ended(self, seconds: float = 60) -> int:
        """Its exit status, and everything it said read."""
        deadline = time.monotonic() + seconds
        while self._read():
            assert time.monotonic() < deadline, f"it goes on:\n{self.text[-2000:]}"
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def close(self) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._terminal)

    def _read(self) -> bool:
        """Whether there may be more to come."""
        if not select.select([self._terminal], [], [], 0.2)[0]:
            return True
        try:
            said = os.read(self._terminal, 65536)
        except OSError:  # Linux says so when nobody has the terminal open any more
            return False
        self._said += said
        return bool(said)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """`doorward setup` for a doorbell that never was."""
    named = ("--config", tmp_path / "doorward.toml", "--state", tmp_path / "state")
    found = Terminal("-m", "agent", *named, "setup")
    yield found
    found.close()


def test_a_first_start(terminal: Terminal, tmp_path: Path) -> None:
    terminal.press(f"Garten{LEFT * 6}Mein {ENTER}")  # keys that move are keys that move
    terminal.press(f"48.2082, 16.3738{ENTER}")
    for _ in range(5):
        terminal.press(ENTER)
    assert terminal.ended() == 0, terminal.text
    config = read_config(tmp_path / "doorward.toml")
    assert (config.doorbell.name, config.doorbell.longitude, config.http.host) == ("Mein Garten", 16.3738, "0.0.0.0")
    commands = [line for line in terminal.lines if line.startswith("  doorward")]
    assert len(commands) == 2, "how to go on, each in one piece to be copied"
    for line in terminal.lines:
        assert len(line) <= COLUMNS or line in commands, line
    questions = re.split(r"\n(?=\d of 6 · )", terminal.text)
    assert len(questions) == 7
    assert all(question.count("\n") < ROWS for question in questions), "each is seen as a whole"


@pytest.mark.parametrize("key", [INTERRUPT, END])
@pytest.mark.parametrize("asked", [0, 6])
def test_who_leaves_has_changed_nothing(terminal: Terminal, tmp_path: Path, key: str, asked: int) -> None:
    for _ in range(asked):
        terminal.press(ENTER)
    terminal.press(key)
    assert terminal.ended() == 130
    assert "Nothing was changed." in terminal.text
    assert "Traceback" not in terminal.text
    assert list(tmp_path.iterdir()) == []


def test_a_camera_is_tried_until_it_works(
    terminal: Terminal,
    tmp_path: Path,
    cameras: list[Camera],  # noqa: F811
    scene: Path,
) -> None:
    camera = Camera(of_film(scene), "owner", "s3cret")
    cameras.append(camera)
    camera.on()
    right, wrong = (camera.url.replace("//", f"//owner:{word}@") for word in ("s3cret", "guess"))
    terminal.press(ENTER)
    terminal.press(ENTER)
    terminal.press(f"{wrong}{ENTER}")
    terminal.until("refuses this user and password")
    terminal.press(f"{right}{ENTER}")
    terminal.until("pictures a second")
    said = terminal.text[terminal.text.rindex("✗") :]
    assert re.search(r"✓ \d+×\d+ comes", said), said
    for _ in range(4):
        terminal.press(ENTER)
    assert terminal.ended() == 0, terminal.text
    assert read_config(tmp_path / "doorward.toml").camera.url == right
    shown = re.sub(r"> rtsp://.*", "", terminal.text)  # but for what the person typed
    assert "s3cret" not in shown
    assert "guess" not in shown.replace("nobody can guess", "")


def test_who_leaves_while_the_camera_is_tried(
    terminal: Terminal,
    tmp_path: Path,
    cameras: list[Camera],  # noqa: F811
    scene: Path,
) -> None:
    camera = Camera(of_film(scene))
    cameras.append(camera)
    camera.on()
    terminal.press(ENTER)
    terminal.press(ENTER)
    terminal.press(f"{camera.url}{ENTER}")
    terminal.until("Opening the camera")
    time.sleep(1)
    terminal.type(INTERRUPT)
    assert terminal.ended(20) == 130
    assert "Nothing was changed." in terminal.text
    assert "Traceback" not in terminal.text
    assert list(tmp_path.iterdir()) == []
