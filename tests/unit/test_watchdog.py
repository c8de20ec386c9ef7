"""systemd hears that all is well only while every part moves; and the unit itself is sound."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.adapters.supervisor import Supervisor, journaled
from agent.watchdog import STUCK_S, Heartbeat, Watchdog

ROOT = Path(__file__).parents[2]
SECOND = 1_000_000_000


class Systemd:
    """The other end of the socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(5)
        self.environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "40000000"}

    def heard(self) -> list[str]:
        """Everything that lies in the socket now."""
        found = []
        self._socket.setblocking(False)
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@doorward-test-{os.getpid()}"
    peer = Systemd(address)
    yield peer
    peer.close()


def test_what_systemd_is_told(systemd: Systemd) -> None:
    supervisor = Supervisor(systemd.environment)
    assert supervisor.watchdog_s == 40
    supervisor.starting("Reading clip 1 of 9")
    supervisor.ready("watching")
    supervisor.status("two\nlines")
    supervisor.alive()
    supervisor.stopping()
    assert systemd.heard() == [
        "EXTEND_TIMEOUT_USEC=60000000\nSTATUS=Reading clip 1 of 9",
        "READY=1\nSTATUS=watching",
        "STATUS=two lines",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


def test_without_systemd_nothing_happens() -> None:
    supervisor = Supervisor({})
    supervisor.ready("watching")
    assert supervisor.watchdog_s is None


def test_a_socket_that_is_gone_is_said_and_survived(caplog: pytest.LogCaptureFixture) -> None:
    Supervisor({"NOTIFY_SOCKET": "/nonexistent/notify"}).alive()
    assert "systemd cannot be told" in caplog.text


def test_a_stuck_part_silences_the_dog_and_is_named_once(systemd: Systemd, caplog: pytest.LogCaptureFixture) -> None:
    now = [0]
    camera, loop, unused = (Heartbeat(lambda: now[0]) for _ in range(3))
    dog = Watchdog(Supervisor(systemd.environment), [camera, loop, unused])
    for _ in range(3):
        camera.beat("the camera hands over nothing")
        loop.beat("the event loop waits")
        dog.look()
        now[0] += round(STUCK_S * SECOND) - 1
    assert systemd.heard() == ["WATCHDOG=1"] * 3
    now[0] += 1
    loop.beat("the event loop waits")
    with caplog.at_level(logging.CRITICAL):
        dog.look()
        dog.look()
    assert systemd.heard() == ["STATUS=Stuck: the camera hands over nothing"]
    assert [r.message for r in caplog.records] == [
        "stuck for 20 seconds: the camera hands over nothing; systemd will start Doorward anew"
    ]
    camera.rest()
    dog.look()
    assert systemd.heard() == ["WATCHDOG=1"], "what has ended is not stuck"


def test_the_thread_looks_often_enough_and_ends(systemd: Systemd) -> None:
    dog = Watchdog(Supervisor(systemd.environment | {"WATCHDOG_USEC": "90000"}), [])
    dog.start()
    heard = [systemd._socket.recv(4096) for _ in range(3)]
    dog.stop()
    assert heard == [b"WATCHDOG=1"] * 3


def _analyze(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("systemd-analyze is not installed, but CI must have it")
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "doorward.service"
    text = (ROOT / "systemd" / "doorward.service").read_text()
    unit.write_text(text.replace("/opt/doorward/bin/doorward", "/usr/bin/env"))  # the command is not installed here
    return subprocess.run([program, *arguments, str(unit)], capture_output=True, text=True, timeout=60)


def test_it_is_known_whether_a_journal_keeps_what_is_said(tmp_path: Path) -> None:
    with (tmp_path / "err").open("w") as stream, (tmp_path / "other").open("w") as other:
        found = os.fstat(stream.fileno())
        environment = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert journaled(environment, stream.fileno())
        assert not journaled(environment, other.fileno()), "inherited from a desktop's session"
        assert not journaled({}, stream.fileno())


def test_the_unit_lets_the_clock_be_asked() -> None:
    """A clock that cannot be asked would make every clip's time provisional; systemd's filters take that call away."""
    unit = (ROOT / "systemd" / "doorward.service").read_text()
    assert "\nProtectClock" not in unit
    assert "\nSystemCallFilter=adjtimex clock_adjtime\n" in unit
    assert "\nCapabilityBoundingSet=\n" in unit, "setting it takes a capability"


def test_systemd_takes_the_unit_without_a_word(tmp_path: Path) -> None:
    done = _analyze(tmp_path, "verify", "--man=no")
    assert done.returncode == 0, done.stderr
    assert "doorward.service" not in done.stderr, done.stderr


def test_the_unit_is_shut_tight(tmp_path: Path) -> None:
    """2.2 of 10: cameras and their announcements, the network, and asking for the clock's state are left open."""
    done = _analyze(tmp_path, "security", "--offline=true", "--threshold=22", "--no-pager")
    assert done.returncode == 0, done.stdout[-400:]
    assert "Overall exposure level" in done.stdout
