"""Doorbells, owners and requesters for scripts/bench_transfer: `doorward run` as processes, as many as wanted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

from agent import __main__ as command_line
from agent.adapters.broker import BrokerAddress, BrokerSession
from agent.core.errors import Unavailable
from agent.core.owner_api import RequestRow, Status
from agent.demo.scene import cached_scene
from agent.owner.session import OwnerSession
from agent.requester.asking import ask
from agent.requester.key_file import RequesterIdentity, create
from agent.requester.receiving import Progress, Receiver, Stage
from tests.slow.conftest import free_port
from tests.slow.doorbells import Neighbourhood
from tests.slow.stage import about_the_last_half_hour, configuration, owner_of, recorded

PATIENCE_S = 60.0
_SPAWN = get_context("forkserver")


def run_doorbell(arguments: list[str], log: Path) -> None:
    """The whole life of a doorbell's process."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    command_line.sys.argv = ["doorward", *arguments]
    command_line.main()


@dataclass
class Street:
    """Doorbells that all have the same two clips, and requesters they all trust, at the broker `url`."""

    folder: Path
    url: str
    asking: int
    ports: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.requesters = [self._requester(n) for n in range(self.asking)]
        film = cached_scene(Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "doorward")
        self.opening: Neighbourhood = recorded(self.folder, film)

    def _requester(self, number: int) -> RequesterIdentity:
        return create(self.folder / f"requester-{number}", "Springfield Police", os.urandom(64), time.time_ns())

    @contextlib.contextmanager
    def doorbells(self, count: int) -> Iterator[None]:
        """So many of them, from now on."""
        _SPAWN.set_forkserver_preload(["agent.cli.doorbell"])
        processes: list[BaseProcess] = []
        try:
            for _ in range(count):
                processes.append(self._start())
            yield
        finally:
            for process in processes:
                process.kill()
                process.join()
            self.ports.clear()

    def _start(self) -> BaseProcess:
        port = free_port()
        place = self.folder / f"doorbell-{port}"
        place.mkdir()
        shutil.copytree(self.opening.state, place / "state")
        (place / "doorward.toml").write_text(configuration(self.opening, port, self.url, self.requesters))
        command = ["--config", str(place / "doorward.toml"), "--state", str(place / "state"), "run"]
        process = _SPAWN.Process(target=run_doorbell, args=(command, place / "log"))
        process.start()
        self.ports.append(port)
        return process

    @contextlib.asynccontextmanager
    async def owner(self, port: int) -> AsyncIterator[OwnerSession]:
        """The owner of the doorbell at `port`, which hears its broker by then."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                async with owner_of(self.opening, port) as owner:
                    status = await owner.client.get("/api/status", Status)
                    if status.broker == "connected":
                        yield owner
                        return
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.05)

    async def ask(self, requester: RequesterIdentity, case: str) -> str:
        """The id of a request about the clips."""
        now_ns = time.time_ns()
        question = about_the_last_half_hour(case, now_ns)
        return (await ask(requester, BrokerAddress.parse(self.url), question, now_ns)).id

    async def asked(self, owner: OwnerSession, request: str) -> RequestRow:
        """Until the owner sees the request."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for row in await owner.requests():
                    if row.id == request:
                        return row
                await asyncio.sleep(0.02)


class Reception:
    """One requester receiving: what it has verified, and when the first block of each transfer was."""

    def __init__(self, requester: RequesterIdentity, url: str, out: Path) -> None:
        self._requester = requester
        self._url = url
        self._out = out
        self._more = asyncio.Event()
        self.first: dict[str, float] = {}
        self.verified: dict[str, float] = {}

    def _take(self, news: Progress) -> None:
        if news.received_bytes:
            self.first.setdefault(news.transfer, time.perf_counter())
        if news.stage in (Stage.FAILED, Stage.STOPPED):
            raise SystemExit(f"transfer {news.transfer}: {news.stage.value} {news.failed}")
        if news.stage is Stage.VERIFIED:
            self.verified[news.transfer] = time.perf_counter()
        self._more.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listening, while entered."""
        stop = asyncio.Event()
        async with BrokerSession(BrokerAddress.parse(self._url)) as session:
            await session.connected(10)
            task = asyncio.create_task(Receiver(self._requester, session, self._out, self._take).run(stop))
            await asyncio.sleep(0.3)  # subscribed
            try:
                yield
            finally:
                stop.set()
                await task

    async def until_verified(self, count: int) -> None:
        """Until so many transfers are verified evidence."""
        while len(self.verified) < count:
            self._more.clear()
            await self._more.wait()
