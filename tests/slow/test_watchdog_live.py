"""A running doorbell and systemd's end of the socket: it says that it lives, and stops saying so when its disk hangs.

The disk is FUSE; stopping its process makes every write wait for ever, as a dying card does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.slow.conftest import doorward_json, free_port
from tests.slow.test_disk_outage import fault_fs

pytestmark = pytest.mark.slow


def test_a_disk_that_hangs_silences_the_watchdog_and_is_named(tmp_path: Path, scene: Path) -> None:
    config = tmp_path / "doorward.toml"
    config.write_text(
        f'[camera]\nreplay = ["{scene}", "{scene}", "{scene}"]\nrealtime = true\n'
        f"[ring]\nmin_free_mb = 0\n[http]\nport = {free_port()}\n"
    )
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    systemd.bind(str(tmp_path / "notify"))
    systemd.settimeout(60)
    environment = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "6000000"}

    def heard() -> str:
        return systemd.recv(4096).decode()

    with fault_fs(tmp_path) as disk, (tmp_path / "log").open("wb") as log:
        doorbell = subprocess.Popen(
            [sys.executable, "-m", "agent", "--config", str(config), "--state", str(disk.mount / "state"), "run"],
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            while not (said := heard()).startswith("READY=1"):
                assert "Stuck" not in said
            clips = disk.mount / "state" / "ring"
            deadline = time.monotonic() + 60
            while not list(clips.rglob("*.clip")):
                assert time.monotonic() < deadline, "nothing is recorded"
                assert "Stuck" not in heard()
            os.kill(disk.process.pid, signal.SIGSTOP)
            begun = time.monotonic()
            while not (said := heard()).startswith("STATUS=Stuck"):
                assert time.monotonic() - begun < 100, "between two visits nothing is written, so nothing hangs"
            assert "disk" in said
            systemd.settimeout(6)
            with contextlib.suppress(TimeoutError):
                while True:
                    assert "WATCHDOG" not in heard(), "it lives, it says, with a disk that hangs"
        finally:
            os.kill(disk.process.pid, signal.SIGCONT)
            doorbell.send_signal(signal.SIGABRT)  # what systemd sends now
            assert doorbell.wait(30) == -signal.SIGABRT
    said = (tmp_path / "log").read_text()
    assert "stuck for 20 seconds" in " ".join(said.split())
    assert "Fatal Python error: Aborted" in said, "where each thread was"


def test_a_start_that_reads_the_ring_asks_for_time(tmp_path: Path, scene: Path) -> None:
    """An index that was lost is read from all clips: longer than systemd would wait, where there are many."""
    config, state = tmp_path / "doorward.toml", tmp_path / "state"
    config.write_text(f"[ring]\nmin_free_mb = 0\n[http]\nport = {free_port()}\n")
    before = doorward_json("--config", config, "--state", state, "replay", scene)["clips"]
    with contextlib.closing(sqlite3.connect(state / "doorward.db")) as db, db:
        db.execute("DELETE FROM clips")
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    systemd.bind(str(tmp_path / "notify"))
    systemd.settimeout(30)
    doorbell = subprocess.Popen(
        [sys.executable, "-m", "agent", "--config", str(config), "--state", str(state), "run"],
        env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")},
    )
    try:
        said = [systemd.recv(4096).decode()]
        while not said[-1].startswith("READY=1"):
            said.append(systemd.recv(4096).decode())
    finally:
        doorbell.terminate()
        assert doorbell.wait(20) == 0
    assert said[0] == f"EXTEND_TIMEOUT_USEC=60000000\nSTATUS=Reading clip 1 of {len(before)}"
    assert set(said[1:-1]) <= {"WATCHDOG=1"}, "the watchdog is patted by another thread, now and then before the end"
    assert len(doorward_json("--config", config, "--state", state, "clips")) == len(before)
