"""A live doorbell whose wall clock begins in 1970, is set, and steps: what it says of its time, and what it writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.core.encoding import parse_time

pytestmark = pytest.mark.slow
SOURCE = Path(__file__).parent / "stepped_clock.c"
S = 1_000_000_000
DAY = 86_400 * S


class Stepped:
    """`doorward run` under a wall clock that the test moves."""

    def __init__(self, root: Path) -> None:
        library, self.file = root / "stepped.so", root / "clock"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
        self.state = root / "state"
        config = root / "doorward.toml"
        config.write_text("[http]\nport = 0\n")
        self.command = [sys.executable, "-m", "agent", "--config", str(config), "--state", str(self.state)]
        self.environment = {**os.environ, "LD_PRELOAD": str(library), "STEPPED_CLOCK": str(self.file)}
        self.log = root / "log"

    def shift(self, by_ns: int, *, synchronised: bool) -> None:
        """From now on the wall clock is off by so much."""
        new = self.file.with_name("clock.new")
        new.write_text(f"{by_ns} {0 if synchronised else 5}\n")
        new.replace(self.file)

    def run(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen([*self.command, "run"], env=self.environment, stdout=log, stderr=log)

    def ask(self, *arguments: str) -> Any:
        done = subprocess.run(
            [*self.command, "--json", *arguments], env=self.environment, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def set_entries(self) -> list[dict[str, str]]:
        return [entry["details"] for entry in self.ask("audit") if entry["what"] == "clock-set"]


@pytest.fixture
def doorbell(tmp_path: Path) -> Stepped:
    if shutil.which("gcc") is None:
        if os.environ.get("CI"):
            pytest.fail("there is no gcc, but CI must have one")
        pytest.skip("there is no gcc")
    return Stepped(tmp_path)


def until(true: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if true():
            return
        assert process.poll() is None
        time.sleep(0.1)
    pytest.fail("it did not happen in 20 seconds")


def test_only_a_time_server_moves_the_doorbells_time(doorbell: Stepped) -> None:
    doorbell.shift(-time.time_ns() + 60 * S, synchronised=False)
    process = doorbell.run()
    try:
        until(lambda: any((doorbell.state / "clock").glob("*.jws")), process)
        doorbell.shift(0, synchronised=True)
        until(doorbell.set_entries, process)
        (entry,) = doorbell.set_entries()
        assert parse_time(entry["from"]) < DAY
        assert abs(parse_time(entry["to"]) - time.time_ns()) < 30 * S
        for wrong in (73 * 365 * DAY, -20 * 365 * DAY):
            doorbell.shift(wrong, synchronised=False)
            time.sleep(2.5)
        assert len(doorbell.set_entries()) == 1, "a step behind the time server's back moves nothing"
    finally:
        process.terminate()
        assert process.wait(20) == 0, doorbell.log.read_text()[-2000:]
    newest = doorbell.ask("audit")[-1]
    assert newest["what"] == "stopped"
    assert abs(parse_time(newest["time"]) - time.time_ns()) < 60 * S
    assert doorbell.ask("audit", "verify")["intact"]
    assert doorbell.ask("check")["ok"]
