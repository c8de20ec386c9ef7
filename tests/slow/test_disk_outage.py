"""A disk that fails while a doorbell records: really full, or refusing an operation. It pauses, and goes on by itself.

The recorder is the product's, the disk a loop-mounted ext4 (root) or FUSE with faults.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.core.frame import EncodedPacket, SourceItem
from agent.store.check import Checker
from agent.store.ring import Ring
from tests.conftest import ROOT
from tests.household import SECOND
from tests.slow.conftest import needed
from tests.slow.test_ring_ext4 import mounted, must_have_loop_devices, new_ext4
from tests.street import Recorded, Street

pytestmark = pytest.mark.slow

PICTURES = set(range(200, 500))


def street(
    fails: Callable[[], None], mended: Callable[[], None], from_s: int, to_s: int, size: int = 4000
) -> Iterator[SourceItem]:
    """A visit from 20 s to 50 s, `size` bytes a picture; the disk fails between two moments."""
    for item in Street(90, [(20, 50)], size=size):
        if isinstance(item, EncodedPacket) and item.pts_ns == from_s * SECOND:
            fails()
        if isinstance(item, EncodedPacket) and item.pts_ns == to_s * SECOND:
            mended()
        yield item


@contextlib.contextmanager
def recorder_on(disk: Path) -> Iterator[Recorded]:
    """A patient recorder whose ring and database lie on `disk`."""
    recorded = Recorded(disk / "state", patience=lambda: 0.5)
    try:
        yield recorded
    finally:
        recorded.home.db.close()


def kept(recorded: Recorded) -> set[int]:
    """Opens every record of every clip."""
    return {n for row in recorded.rows() for n in recorded.pictures(row)}


def findings(recorded: Recorded) -> list[str]:
    home = recorded.home
    return [found.text for found in Checker(Ring(home.state.ring), home.state.clock, home.db, home.device).findings()]


@pytest.mark.parametrize("from_s", [10, 30, 54])
@pytest.mark.parametrize("left_kb", [0, 64])
def test_a_disk_that_is_really_full_pauses_recording_and_loses_nothing(
    tmp_path: Path, from_s: int, left_kb: int
) -> None:
    must_have_loop_devices()
    with mounted(new_ext4(tmp_path / "image", 32), tmp_path / "disk") as disk, recorder_on(disk) as recorded:
        filler = disk / "filler"

        def fill() -> None:
            with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
                while file.write(bytes(1024)):
                    pass
            os.truncate(filler, filler.stat().st_size - left_kb * 1024)
            os.sync()

        # 14 s take more than the blocks a clip has asked for ahead.
        recorded.record(street(fill, filler.unlink, from_s, from_s + 14, size=40_000))
        assert kept(recorded) >= PICTURES
        assert findings(recorded) == []
        assert {row.state for row in recorded.rows()} <= {"closed", "cut"}
        assert len(recorded.failures) == len(recorded.outages) <= 2
        assert all(lost_ns == 0 for _, _, lost_ns in recorded.outages)
        if from_s == 30:
            assert recorded.failures
            said = recorded.failures[0]  # by whichever found out: the look for room, the ring's write, the index's
            assert "full" in said or "make room" in said


@dataclass(frozen=True)
class FaultDisk:
    """Where it is mounted, the file that says what fails (tests/faultfs.py), and the process that serves it."""

    mount: Path
    faults: Path
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def fault_fs(root: Path) -> Iterator[FaultDisk]:
    """Mounted while entered."""
    needed("fusermount3")
    below, mount, faults = root / "below", root / "mount", root / "faults"
    below.mkdir()
    mount.mkdir()
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.fail("/dev/fuse is not usable") if os.environ.get("CI") else pytest.skip("/dev/fuse is not usable")
    process = subprocess.Popen([sys.executable, "-m", "tests.faultfs", below, mount, faults], cwd=ROOT)
    try:
        deadline = time.monotonic() + 10
        while not mount.is_mount():
            assert process.poll() is None, "the file system ended"
            assert time.monotonic() < deadline, "the file system does not come up"
            time.sleep(0.05)
        yield FaultDisk(mount, faults, process)
    finally:
        subprocess.run(["fusermount3", "-u", str(mount)], check=False)
        process.wait(30)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize(
    "operations",
    [
        ("write",),
        ("fsync",),
        ("create",),
        ("unlink",),
        ("open",),
        ("flush",),
        ("write", "flush"),
        ("write", "fsync", "create", "unlink"),
    ],
)
def test_a_disk_that_refuses_an_operation_pauses_recording_and_loses_nothing(
    tmp_path: Path, operations: tuple[str, ...], number: int
) -> None:
    with fault_fs(tmp_path) as disk, recorder_on(disk.mount) as recorded:
        refused = "\n".join(f"{operation} {errno.errorcode[number]}" for operation in operations)

        def refuse(disk: FaultDisk) -> None:
            disk.faults.write_text(refused)

        for from_s in (19, 30):
            recorded.record(
                street(lambda: disk.faults.write_text(refused) and None, disk.faults.unlink, from_s, from_s + 12)
            )
            assert findings(recorded) == []
        assert kept(recorded) >= PICTURES
        assert {row.state for row in recorded.rows()} <= {"closed", "cut"}
        assert len(recorded.failures) == len(recorded.outages)
        if "write" in operations:
            assert recorded.failures
