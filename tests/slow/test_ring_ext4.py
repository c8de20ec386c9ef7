"""A real ext4: its image copied while a doorbell writes, as a power cut leaves it, and a disk that is really full.

Needs root and a loop device.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.crash import judge, make

pytestmark = pytest.mark.slow


def run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True, timeout=60)


def must_have_loop_devices() -> None:
    if os.geteuid() == 0 and Path("/dev/loop-control").exists() and shutil.which("mkfs.ext4", path="/usr/sbin:/sbin"):
        return
    reason = "needs root, a loop device and mkfs.ext4"
    pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


@contextlib.contextmanager
def mounted(image: Path, where: Path) -> Iterator[Path]:
    where.mkdir(exist_ok=True)
    run("mount", "-o", "loop", image, where)
    try:
        yield where
    finally:
        run("umount", where)


def new_ext4(image: Path, megabytes: int) -> Path:
    with open(image, "wb") as file:
        file.truncate(megabytes * 1024 * 1024)
    run("/usr/sbin/mkfs.ext4", "-q", "-F", image)
    return image


def test_images_of_a_disk_in_use(tmp_path: Path) -> None:
    """The writer is stopped while its disk is copied, nothing is synced: the copy is what a power cut would leave."""
    must_have_loop_devices()
    image, acks = new_ext4(tmp_path / "image", 32), tmp_path / "acks"
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    with mounted(image, tmp_path / "disk") as disk:
        make(disk / "state")
        os.sync()
        writer = subprocess.Popen([sys.executable, "-m", "tests.crash", disk / "state", acks, "100000"], cwd=ROOT)
        try:
            while not acks.exists() and writer.poll() is None:
                time.sleep(0.02)
            records = []
            for number in range(12):
                time.sleep(dice.uniform(0.05, 0.5))
                writer.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, writer.pid, os.WSTOPPED)
                run("cp", "--sparse=always", image, tmp_path / "copy")
                promised = acks.read_text().splitlines()
                writer.send_signal(signal.SIGCONT)
                with mounted(tmp_path / "copy", tmp_path / "after") as after:
                    try:
                        records.append(judge(after / "state", promised))
                    except AssertionError as e:
                        raise AssertionError(f"seed {seed}, image {number}: {e}") from e
        finally:
            writer.kill()
            writer.wait()
    assert min(records) > 0
    assert len(promised) > 100, "the writer came far enough to evict and delete"


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """SQLite meets it too. When there is room again, a start goes on."""
    must_have_loop_devices()
    image = new_ext4(tmp_path / "image", 8)
    with mounted(image, tmp_path / "disk") as disk:
        full = 0
        for left_kb in (0, 8, 24, 56, 80, 120, 160, 240, 320):
            state, acks, filler = disk / "state", tmp_path / "acks", disk / "filler"
            make(state)
            with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
                while file.write(bytes(1024)):
                    pass
            os.truncate(filler, max(0, filler.stat().st_size - left_kb * 1024))
            os.sync()
            worked = subprocess.run(
                [sys.executable, "-m", "tests.crash", state, acks, "40"], cwd=ROOT, capture_output=True, check=False
            )
            full += worked.returncode != 0
            filler.unlink()
            judge(state, acks.read_text().splitlines() if acks.exists() else [])
            shutil.rmtree(state)
            acks.unlink(missing_ok=True)
    assert full >= 6, "most of these disks were too small for the work"


def test_a_card_that_can_only_be_read_is_named(tmp_path: Path, scene: Path) -> None:
    """What a worn card comes to: the kernel writes to it no more."""
    must_have_loop_devices()
    with mounted(new_ext4(tmp_path / "image", 32), tmp_path / "disk") as disk:
        make(disk / "state")
        run("mount", "-o", "remount,ro", disk)
        for command in ("clips", "check", "check --repair", "audit", "pair", "run", f"replay {scene}"):
            done = subprocess.run(
                [sys.executable, "-m", "agent", "--state", str(disk / "state"), *command.split()],
                cwd=ROOT, capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert done.returncode == 3, command
            assert "Traceback" not in done.stderr, command
            assert "its disk can only be read" in done.stderr or "Read-only file system" in done.stderr, command
