"""Whatever ends a doorbell's work, what it acknowledged is there afterwards: kills, refusals, power cuts, bad tails.

The workload and the judge are in tests/crash.py, the outcomes in docs/design/faults.md. Kills strike a forked child at
each of its steps: every call that changes a file of the ring, every statement SQLite begins, and at random moments.
"""

from __future__ import annotations

import errno
import math
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.core.errors import Unavailable
from tests.conftest import ROOT
from tests.crash import acknowledge_in, judge, make, opened, work
from tests.power import Disk, read_trace

pytestmark = pytest.mark.slow

ROUNDS = 7
CALLS = ("open", "mkdir", "pwrite", "fdatasync", "fsync", "unlink")


class Steps:
    """Counts the steps of the process it is installed in and strikes at one of them."""

    def __init__(self, at: int, strike: Callable[[str], None], *, torn: bool = False) -> None:
        self.names: list[str] = []
        self._at = at
        self._strike = strike
        self._torn = torn

    def _step(self, name: str, tear: Callable[[], object]) -> None:
        self.names.append(name)
        if len(self.names) - 1 == self._at:
            if self._torn:
                tear()
            self._strike(name)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Every call of CALLS that changes something, and every SQL statement, is a step."""
        real = {name: getattr(os, name) for name in CALLS}
        connect = sqlite3.connect

        def wrap(name: str) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                if name != "open" or args[1] & os.O_CREAT:
                    half = (
                        (lambda: real["pwrite"](args[0], args[1][: len(args[1]) // 2], args[2]))
                        if name == "pwrite"
                        else bool
                    )
                    self._step(name, half)
                return real[name](*args, **kwargs)

            return call

        def traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            db: sqlite3.Connection = connect(*args, **kwargs)
            db.set_trace_callback(lambda statement: self._step(statement.split(None, 1)[0], bool))
            return db

        for name in CALLS:
            setattr(os, name, wrap(name))
        sqlite3.connect = traced  # type: ignore[assignment]
        try:
            yield
        finally:
            for name in CALLS:
                setattr(os, name, real[name])
            sqlite3.connect = connect


def die(_step: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def forked(act: Callable[[], None]) -> int:
    """Start `act` in a child process; its id."""
    child = os.fork()
    if child == 0:
        try:
            act()
        finally:
            os._exit(0)
    return child


class Bench:
    """State directories that are copies of one prepared before, in memory: a kill loses nothing the kernel has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.template = folder / "template"
        make(self.template)
        self._count = 0

    def fresh(self) -> tuple[Path, Path]:
        """(a new state directory, where its workload writes its acknowledgements)"""
        self._count += 1
        root = self.folder / str(self._count)
        shutil.copytree(self.template, root)
        return root, self.folder / f"{self._count}.acks"

    def judged(self, root: Path, acks: Path) -> int:
        """The judgement; what was judged is cleared away if it was good."""
        count = judge(root, acks.read_text().splitlines() if acks.exists() else [])
        shutil.rmtree(root)
        acks.unlink(missing_ok=True)
        return count


@pytest.fixture
def bench() -> Iterator[Bench]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Bench(Path(folder))


def steps_of(bench: Bench, act: Callable[[Path, Path], None]) -> list[str]:
    """The names of all steps of `act`, counted in this process."""
    root, acks = bench.fresh()
    steps = Steps(-1, die)
    with steps.installed():
        act(root, acks)
    bench.judged(root, acks)
    return steps.names


def workload(root: Path, acks: Path) -> None:
    work(root, acknowledge_in(acks), ROUNDS)


def kill_at(bench: Bench, root: Path, acks: Path, step: int, act: Callable[[Path, Path], None], *, torn: bool) -> None:
    def child() -> None:
        with Steps(step, die, torn=torn).installed():
            act(root, acks)

    _, status = os.waitpid(forked(child), 0)
    assert os.WIFSIGNALED(status), f"step {step} was not reached"


def test_killed_at_every_step(bench: Bench) -> None:
    names = steps_of(bench, workload)
    assert {"open", "pwrite", "fdatasync", "fsync", "unlink", "BEGIN", "INSERT", "UPDATE", "DELETE", "COMMIT"} <= set(
        names
    )
    runs = 0
    for step, name in enumerate(names):
        for torn in (False, True) if name == "pwrite" else (False,):
            root, acks = bench.fresh()
            kill_at(bench, root, acks, step, workload, torn=torn)
            bench.judged(root, acks)
            runs += 1
    assert runs >= 350, "with the kills at random, 500 or more"


def recovering(root: Path, _acks: Path) -> None:
    home = opened(root)
    home.clips.recover()
    home.db.close()


def test_killed_while_recovering_from_a_kill(bench: Bench) -> None:
    names = steps_of(bench, workload)
    dice = random.Random(4)
    for _ in range(25):
        root, acks = bench.fresh()
        kill_at(bench, root, acks, dice.randrange(len(names)), workload, torn=True)
        spare = bench.folder / "spare"
        shutil.copytree(root, spare)
        steps = Steps(-1, die)
        with steps.installed():
            recovering(spare, acks)
        shutil.rmtree(spare)
        step = dice.randrange(len(steps.names))
        kill_at(bench, root, acks, step, recovering, torn=True)
        bench.judged(root, acks)


def test_killed_at_random_moments(bench: Bench) -> None:
    """The moments between the steps too, SQLite's own writes among them."""
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    takes_s = math.inf
    for _ in range(3):  # the quickest: on a busy machine the first may take several times as long as most
        root, acks = bench.fresh()
        began = time.monotonic()
        workload(root, acks)
        takes_s = min(takes_s, time.monotonic() - began)
    killed = 0
    for number in range(200):
        root, acks = bench.fresh()
        child = forked(lambda root=root, acks=acks: workload(root, acks))  # type: ignore[misc]
        time.sleep(dice.uniform(0, takes_s * 1.2))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        try:
            bench.judged(root, acks)
        except AssertionError as e:
            raise AssertionError(f"seed {seed}, kill {number}: {e}") from e
    assert killed >= 100


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_the_disk_refuses_at_every_call(bench: Bench, number: int) -> None:
    """The call fails, half of a write having happened or none; the work ends there, and a start goes on from it."""

    def refuse(step: str) -> None:
        if step in CALLS:
            raise OSError(number, os.strerror(number))

    names = steps_of(bench, workload)
    refused = 0
    for step, name in enumerate(names):
        if name not in CALLS or name == "mkdir":  # a folder that is there need not be made
            continue
        root, acks = bench.fresh()
        with Steps(step, refuse, torn=True).installed(), pytest.raises((OSError, Unavailable)):
            workload(root, acks)
        bench.judged(root, acks)
        refused += 1
    assert refused > 100


# -- power cuts: what the disk was told to keep, and any part of what it was not


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Path, Disk, list[tuple[int, str]]]:
    """(the state before, every change the workload made, its acknowledgements and after how many changes)"""
    if shutil.which("strace") is None:
        reason = "strace is not installed"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    root = tmp_path / "state"
    make(root)
    shutil.copytree(root, tmp_path / "before")
    acks, trace = tmp_path / "acks", tmp_path / "trace"
    calls = "openat,write,pwrite64,ftruncate,fsync,fdatasync,unlink,unlinkat,rename,mkdir"
    done = subprocess.run(
        ["strace", "-f", "-qq", "-y", "-xx", "-s", "1000000", "-e", f"trace={calls}", "-e", "signal=none", "-o", trace,
         sys.executable, "-m", "tests.crash", root, acks, "6"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    disk, promised = read_trace(trace, root, acks)
    assert [line for _, line in promised] == acks.read_text().splitlines(), "the trace is complete"
    return tmp_path / "before", disk, promised


def test_power_is_cut_between_any_two_changes(recorded: tuple[Path, Disk, list[tuple[int, str]]]) -> None:
    before, disk, promised = recorded
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    images = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        for cut in disk.moments():
            for fate in ("nothing", "everything", "some", "some, torn", "some, torn, flipped"):
                image = Path(folder) / "image"
                shutil.copytree(before, image)
                disk.leave(image, cut, fate, dice)
                acks = [line for after, line in promised if after <= cut]
                try:
                    judge(image, acks)
                except Exception as e:
                    raise AssertionError(f"seed {seed}, cut {cut}, {fate} of what was not synced: {e}") from e
                shutil.rmtree(image)
                images += 1
    assert images >= 500
