"""What the stories told inside scripts/camera_machine share: Doorward's own commands, and waiting for what they say.

Every command is the product's own entry, in a process of its own, forked because a new Python takes six seconds there.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.__main__ import main

WAIT_S = 90.0
PORT = 8080


def until(true: Callable[[], bool], what: str, seconds: float = WAIT_S, *, every_s: float = 0.1) -> None:
    """Wait; SystemExit with `what` where it does not come to pass."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit(f"it did not come to pass in {seconds:.0f} s: {what}")
        time.sleep(every_s)


def spawn(out: Path, err: Path, *arguments: str) -> int:
    """`doorward ARGUMENTS` in a process of its own; its id."""
    pid = os.fork()
    if pid == 0:
        for number, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), number)
        sys.argv = ["doorward", *arguments]
        try:
            main()
        except SystemExit as ended:
            os._exit(ended.code if isinstance(ended.code, int) else 1)
        os._exit(0)
    return pid


class Inside:
    """One doorbell in the machine, its owner, and the folder that the world outside sees."""

    def __init__(self, folder: Path, config: str) -> None:
        self.folder = folder
        self.log = folder / "doorbell.log"
        self.log.write_text("")
        self.config = Path("/run/doorward.toml")
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(f"{config}[clock]\ntrusted = true\n[http]\nport = {PORT}\n")
        self.owner = Path("/run/owner.json")
        self._pid = 0
        self._commands = 0

    def said(self, words: str, count: int = 1) -> None:
        """Wait until the doorbell's log has said it so often."""
        until(lambda: self.log.read_text().count(words) >= count, f"{words!r} × {count}")

    def quiet(self) -> None:
        """Wait until every clip has ended, and no new one begins at once."""

        def ended() -> bool:
            log = self.log.read_text()
            return log.count(" records, ") == log.count(" begins")

        until(ended, "every clip ends")
        time.sleep(3)
        until(ended, "every clip ends")

    def command(self, *arguments: str) -> Any:
        """A command's JSON."""
        self._commands += 1
        out, err = (self.folder / f"command-{self._commands}.{kind}" for kind in ("out", "err"))
        _, status = os.waitpid(spawn(out, err, "--json", *arguments), 0)
        if status:
            raise SystemExit(f"{arguments}: {err.read_text()}")
        return json.loads(out.read_text())

    def here(self, *arguments: str) -> Any:
        """A command on the doorbell itself."""
        return self.command("--config", str(self.config), "--state", "/run/state", *arguments)

    def start(self) -> None:
        """`doorward run`, paired."""
        self.command("owner", "init", "--identity", str(self.owner), "--no-passphrase")
        arguments = ["-v", "--config", str(self.config), "--state", "/run/state", "run"]
        self._pid = spawn(self.log, self.log, *arguments)
        self.said("The owner's page")
        link = self.here("pair")["url"]
        self.command("owner", "pair", link, "--identity", str(self.owner), "--device", f"http://127.0.0.1:{PORT}")

    def export(self) -> None:
        """Everything recorded goes out: a film for each clip, the list of them, and what the check finds."""
        clips = self.here("clips")
        for clip in clips:
            film = str(self.folder / f"{clip['id']}.mp4")
            self.command("owner", "export", clip["id"], "-o", film, "--identity", str(self.owner))
        (self.folder / "clips.json").write_text(json.dumps(clips))

    def stop(self) -> None:
        """The doorbell ends as systemd ends it, and is whole."""
        os.kill(self._pid, signal.SIGTERM)
        _, status = os.waitpid(self._pid, 0)
        if status:
            raise SystemExit(f"the doorbell ended with {status}")
        (self.folder / "check.json").write_text(json.dumps(self.here("check")))
