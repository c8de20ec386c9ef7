"""The doorbell as a whole, where a part of it fails: what goes on, and what is said."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import pytest

from agent.adapters import clock
from agent.config import Config, Http
from agent.core.boot_clock import Reading
from agent.daemon import Doorbell, Running
from agent.store.state import StateDirectory
from tests.household import NOW, SECOND


async def test_a_clock_that_is_set_while_the_disk_takes_nothing_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wall = [10 * SECOND, False]
    began_ns = clock.boot_ns()

    def reading() -> Reading:
        passed_ns = clock.boot_ns() - began_ns
        return Reading(clock.boot_ns(), int(wall[0]) + passed_ns, bool(wall[1]), SECOND)

    monkeypatch.setattr(clock, "reading", reading)
    config = Config(http=Http(port=0))
    doorbell = Doorbell(StateDirectory(tmp_path, create=True), config, pinned=[], footage=None)
    ready: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(doorbell.run(ready.set_result, make_recovery=True))
    await asyncio.wait([ready, running], return_when=asyncio.FIRST_COMPLETED)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))
    try:
        wall[:] = [NOW, True]
        await asyncio.wait([running], timeout=2.5)
        assert not running.done()
        assert doorbell.time.known()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        doorbell.stopped.set()
        await running
    assert "'clock-set' could not be kept" in caplog.text
