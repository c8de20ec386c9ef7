"""The whole way, as a user runs it: footage → ring → request → yes → transfer → films that equal their source."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.slow.conftest import (
    doorward,
    doorward_json,
    is_run_of,
    needed,
    packet_hashes,
    picture_hashes,
)

pytestmark = pytest.mark.slow

FOOTAGE = [
    "car-detection.mp4",
    "composite-a.mp4",
    "nest-atv2.mp4",
    "nest-bicycle2.mp4",
    "one-by-one-person-detection.mp4",
    "psu-getin.mp4",
    "traffic_camera_vfr.mp4",
    "vtest.avi",
    "wavingtrees.mp4",
]


def codec(film: Path) -> str:
    command = [needed("ffprobe"), "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=codec_name", "-of"]
    done = subprocess.run([*command, "csv=p=0", str(film)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def judge(outcome: dict[str, object], source: Path, keep: Path) -> None:
    """Every film plays, and shows packet by packet and picture by picture what the source shows."""
    films = [Path(str(name)) for name in outcome["films"]]  # type: ignore[attr-defined]
    assert outcome["verified"] is True
    assert len(films) >= 1
    passed_through = codec(source) == "h264"
    packets = packet_hashes(source) if passed_through else []
    pictures = picture_hashes(source) if passed_through else []
    for film in films:
        assert codec(film) == "h264"
        shown = picture_hashes(film)
        assert len(shown) > 10
        if passed_through:
            assert is_run_of(packet_hashes(film), packets)
            assert is_run_of(shown, pictures)
    assert doorward_json("--state", keep / "state", "check")["ok"] is True
    folder = Path(str(outcome["evidence"]))
    assert doorward_json("requester", "verify", folder)["verified"] is True
    report = json.loads((folder / "report.json").read_text())
    assert report
    assert "<html" in (folder / "report.html").read_text()


@pytest.mark.parametrize("name", FOOTAGE)
def test_real_footage_goes_the_whole_way(shared_dir: Path, tmp_path: Path, name: str) -> None:
    source = shared_dir / "data" / "footage" / name
    judge(doorward_json("demo", "--yes", "--keep", tmp_path, "--footage", source), source, tmp_path)


def test_the_rendered_doorstep_goes_the_whole_way(scene: Path, tmp_path: Path) -> None:
    judge(doorward_json("demo", "--yes", "--keep", tmp_path), scene, tmp_path)


def test_the_same_through_mosquitto_and_again_in_the_same_directory(tmp_path: Path, mosquitto: str) -> None:
    for _ in range(2):
        outcome = doorward_json("demo", "--yes", "--keep", tmp_path, "--broker", mosquitto)
        assert outcome["state"] == "delivered"
        assert outcome["verified"] is True
    assert doorward_json("--state", tmp_path / "state", "audit", "verify")["intact"] is True


def test_closing_the_terminal_is_clean(tmp_path: Path) -> None:
    """Nobody pairs, and the terminal is closed: nothing was sent, nothing stays behind, the state is whole."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen(
            [sys.executable, "-m", "agent", "demo", "--keep", str(tmp_path), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if "/pair#1." in line:
                break
        time.sleep(0.2)
        process.send_signal(number)
        rest = process.stdout.read()
        assert process.wait(20) == 0, rest
        assert "Nothing was sent" in rest
        assert "Traceback" not in rest
    assert doorward_json("--state", tmp_path / "state", "check")["ok"] is True


def test_a_demo_stopped_before_its_answer_is_no_success_for_a_program(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "agent", "--json", "demo", "--yes", "--keep", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "An owner is paired" in line:
            break
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert json.loads(told)["state"] is None


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--footage", "no-such-film.mp4"], 2, "no-such-film.mp4"),
        (["--footage", "{tmp}/text.mp4"], 2, "not a film"),
        (["--footage", "{tmp}/empty.mp4"], 2, "empty.mp4"),
        (["--broker", "mqtt://127.0.0.1:9"], 3, "no connection to the MQTT broker"),
        (["--broker", "tcp://somewhere"], 2, "must look like mqtt://"),
        (["--port", "70000"], 2, "70000"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(tmp_path: Path, arguments: list[str], status: int, says: str) -> None:
    (tmp_path / "text.mp4").write_text("this is no film\n" * 100)
    (tmp_path / "empty.mp4").touch()
    filled = [argument.format(tmp=tmp_path) for argument in arguments]
    done = doorward("demo", "--yes", "--keep", tmp_path / "keep", *filled)
    assert done.returncode == status, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_busy_port_is_said_in_one_sentence(tmp_path: Path) -> None:
    import socket

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = doorward("demo", "--keep", tmp_path, "--port", str(port))
    assert done.returncode == 3
    assert f"port {port}" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
