"""`doorward bench` as it is used: a page, a document, a no, and nothing left behind however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from agent.adapters.sample_film import Planes, draw_film

pytestmark = pytest.mark.slow


def command(settings: Path, state: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "agent", "--config", str(settings), "--state", str(state), *arguments]


def run(settings: Path, state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "80"}
    done = subprocess.run(
        command(settings, state, *arguments), capture_output=True, text=True, env=environment, timeout=120
    )
    assert list(state.iterdir()) == [], "nothing is left behind"
    return done


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Settings that any machine keeps up with."""
    file = tmp_path / "small.toml"
    file.write_text('[camera]\nurl = "rtsp://camera/1"\nwidth = 320\nheight = 240\nfps = 5\n[detector]\nmodel = ""\n')
    return file


def noise(number: int) -> Planes:
    return np.random.default_rng(number).integers(16, 235, (360, 320), np.uint8)


def test_a_page_of_eighty_columns_says_yes(small: Path, state: Path) -> None:
    done = run(small, state, "bench")
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    for said in ("320×240, 5 pictures", "reading pictures for motion", "sealing and writing", "This machine keeps up"):
        assert said in done.stdout


def test_a_document_and_nothing_else(small: Path, state: Path) -> None:
    done = run(small, state, "--json", "bench")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert (found["ok"], found["do"], found["camera"], found["width"]) == (True, "", "network", 320)
    assert found["core"] == pytest.approx(sum(stage["core"] for stage in found["stages"]))
    assert 0 < found["write"]["median_s"] <= found["write"]["slowest_s"]


def test_what_no_machine_can_do_is_a_no_with_advice(tmp_path: Path, state: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(draw_film(noise, 1920, 1080, 250, 15_000, lambda share: None))
    settings = tmp_path / "doorward.toml"
    settings.write_text(
        '[camera]\nreplay = ["film.mp4"]\nmasks = [{ corners = [[0, 0], [1, 0], [1, 1]] }]\n[detector]\nmodel = ""\n'
    )
    done = run(settings, state, "--json", "bench")
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"]) == (1, False)
    assert "does not keep up" in found["text"]
    assert found["do"].startswith("Convert the films to ")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_in_the_middle_it_leaves_nothing(small: Path, state: Path, how: signal.Signals) -> None:
    process = subprocess.Popen(command(small, state, "bench"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    open_files = Path(f"/proc/{process.pid}/fd")
    until = time.monotonic() + 60
    while not any(name.startswith(str(state)) for name in _targets(open_files)):
        assert process.poll() is None, "it ended before it wrote"
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(how)
    process.communicate(timeout=30)
    assert process.returncode != 0
    assert list(state.iterdir()) == []


def _targets(folder: Path) -> list[str]:
    found = []
    for link in folder.iterdir():
        try:
            found.append(os.readlink(link))
        except OSError:  # closed meanwhile
            continue
    return found
