"""A running doorbell, its owner and a requester as separate processes, as a homeowner and a requester have them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.slow.conftest import doorward, doorward_json, free_port, wait_for_port

HOME = (42.3611, -71.0571)


@dataclass
class Neighbourhood:
    """One doorbell below `root` that replays `footage`, an owner's identity, a pinned requester."""

    root: Path
    broker: str
    footage: Path
    undo_s: float = 0.5
    proof: tuple[str, ...] = ()  # what the requester shows to the broker

    def __post_init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.state = self.root / "state"
        self.owner = self.root / "owner.json"
        self.requester = self.root / "police.json"
        self.out = self.root / "evidence"
        self.config = self.root / "doorward.toml"
        doorward_json("requester", "init", "--agency", "Springfield Police", "--identity", self.requester)
        doorward_json("owner", "init", "--identity", self.owner, "--no-passphrase")
        self.config.write_text(
            f"[doorbell]\nlatitude = {HOME[0]}\nlongitude = {HOME[1]}\n"
            f'[camera]\nreplay = ["{self.footage}"]\nrealtime = false\n'
            f'[broker]\nurl = "{self.broker}"\n'
            f'[requesters]\npinned = ["{self.requester.name}.statement"]\n'
            f"[consent]\nundo_s = {self.undo_s}\n"
            "[clock]\ntrusted = true\n"
            f"[http]\nport = {self.port}\n"
        )

    def command(self, *arguments: str | Path) -> Any:
        """A command on the doorbell itself, its JSON."""
        return doorward_json("--config", self.config, "--state", self.state, *arguments)

    def start(self) -> subprocess.Popen[bytes]:
        """`doorward run`, answering."""
        command = [sys.executable, "-m", "agent", "-v", "--config", str(self.config), "--state", str(self.state), "run"]
        with (self.root / "doorbell.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for_port(self.port, process, 20)
        return process

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """The doorbell while entered; it must end cleanly."""
        process = self.start()
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            assert process.wait(20) in (0, -9), (self.root / "doorbell.log").read_text()[-2000:]

    def pair(self) -> None:
        """The owner becomes this doorbell's owner."""
        link = self.command("pair")["url"]
        doorward_json("owner", "pair", link, "--identity", self.owner, "--device", self.url)

    def pair_before_recording(self) -> None:
        """Pair while the doorbell waits with an empty camera, so that every clip is sealed to the owner."""
        config = self.config.read_text()
        self.config.write_text(config.replace(f'replay = ["{self.footage}"]', "replay = []"))
        with self.running():
            self.pair()
        self.config.write_text(config)

    def own(self, *arguments: str | Path) -> Any:
        """A command of the owner's, its JSON."""
        return doorward_json("owner", *arguments, "--identity", self.owner)

    def wait_for_clips(self, count: int = 1) -> list[dict[str, Any]]:
        """Until so many clips have ended."""
        return until(lambda: [c for c in self.command("clips") if c["state"] != "recording"], lambda c: len(c) >= count)

    def ask(self, area: str | None = None, case: str = "24-118") -> str:
        """The requester asks for the last half hour; the request's id."""
        now = datetime.now(UTC)
        start, end = (f"{t:%Y-%m-%dT%H:%M:%SZ}" for t in (now - timedelta(minutes=30), now))
        asked = doorward_json(
            "requester", "ask", "--identity", self.requester, "--broker", self.broker,
            "--area", area or f"{HOME[0]},{HOME[1]},400", "--from", start, "--to", end, "--case", case,
            "--incident", "Package theft", "--message", "Did your camera see anybody?", "--contact", "555-0100",
            *self.proof,
        )  # fmt: skip
        return str(asked["request"])

    def wait_for_request(self, request: str) -> dict[str, Any]:
        """Until the owner is asked."""
        rows = until(lambda: self.own("requests"), lambda found: any(row["id"] == request for row in found))
        return next(row for row in rows if row["id"] == request)

    def _receive(self) -> list[str | Path]:
        return [
            "--json", "requester", "receive", "--identity", self.requester, "--broker", self.broker,
            "--out", self.out, *self.proof,
        ]  # fmt: skip

    def receive(self, seconds: float) -> subprocess.CompletedProcess[str]:
        """The requester fetches what is offered."""
        return doorward(*self._receive(), "--for", str(seconds))

    def receiving(self) -> subprocess.Popen[bytes]:
        """The requester fetches what is offered until it is interrupted."""
        with (self.root / "requester.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", "agent", *self._receive()], stdout=log, stderr=log)

    def received(self, seconds: float = 15) -> list[Path]:
        """Complete, verified folders after fetching for so long."""
        done = self.receive(seconds)
        assert done.returncode == 0, done.stderr
        json.loads(done.stdout)
        return sorted(path.parent for path in self.out.glob("*/receipt.jws"))


def until(look: Any, good: Any, seconds: float = 30) -> Any:
    """Look until what is seen is good."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        seen = look()
        if good(seen):
            return seen
        time.sleep(0.1)
    raise AssertionError(f"it did not come to pass in {seconds} s; last seen: {seen}")
