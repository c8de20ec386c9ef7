"""Real peers for slow tests: Mosquitto, the doorward command, ffmpeg as a judge of films."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def needed(program: str) -> str:
    """The path of a Debian program; the test is skipped where it is absent, and fails in CI."""
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{program} is not installed, but CI must have it")
        pytest.skip(f"{program} is not installed")
    return found


def free_port() -> int:
    """A TCP port nobody listens on, below those Linux lends to connections: free while its owner restarts, too."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = 10) -> None:
    """Until something listens on `port`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, "the process ended before it listened"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail(f"nothing listens on port {port} after {seconds} s")


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[str]:
    """A Mosquitto of this test's own; its URL."""
    port = free_port()
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    with (tmp_path / "mosquitto.log").open("wb") as log:
        process = subprocess.Popen([needed("mosquitto"), "-c", str(config)], stdout=log, stderr=log)
    try:
        wait_for_port(port, process)
        yield f"mqtt://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def doorward(*arguments: str | Path, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would, without a terminal."""
    command = [sys.executable, "-m", "agent", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)


def doorward_json(*arguments: str | Path, timeout: float = 240) -> Any:
    """Its JSON document; the command must succeed."""
    done = doorward("--json", *arguments, timeout=timeout)
    assert done.returncode == 0, f"{arguments}: exit {done.returncode}: {done.stderr}"
    return json.loads(done.stdout)


def packet_hashes(film: Path) -> list[str]:
    """One hash a video packet, in decoding order, as it lies in the file."""
    return _hashes(film, ["-c", "copy"])


def picture_hashes(film: Path) -> list[str]:
    """One hash a decoded picture, in order of presentation."""
    return _hashes(film, ["-pix_fmt", "yuv420p"])


def _hashes(film: Path, how: list[str]) -> list[str]:
    command = [needed("ffmpeg"), "-v", "error", "-i", str(film), "-map", "0:v:0", *how, "-fps_mode", "passthrough"]
    done = subprocess.run(
        [*command, "-f", "framehash", "-hash", "md5", "-"], capture_output=True, text=True, check=True
    )
    assert done.stderr == "", f"ffmpeg complains about {film}: {done.stderr[:300]}"
    return [line.rsplit(",", 1)[1].strip() for line in done.stdout.splitlines() if not line.startswith("#")]


def is_run_of(part: list[str], whole: list[str]) -> bool:
    """Whether `part` stands in `whole` without a hole."""
    return any(whole[at : at + len(part)] == part for at, first in enumerate(whole) if first == part[0])
