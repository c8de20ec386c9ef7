"""A Mosquitto that can be killed and started again on its port."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path

from tests.slow.conftest import free_port, needed, wait_for_port


class Mosquitto:
    """A broker that can be killed and started again on its port."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        allow = [] if lines else ["allow_anonymous true"]
        start = [f"user {getpass.getuser()}", "persistence false", f"listener {self.port} 127.0.0.1"]
        self._config.write_text("\n".join([*start, *allow, *lines, ""]))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [needed("mosquitto"), "-c", str(self._config)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(self.port, self._process)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def __enter__(self) -> Mosquitto:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
