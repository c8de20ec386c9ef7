"""A whole home for tests of the page: broker, doorbell replaying a film, and somebody who asks, all in one thread.

The test itself stays outside, where Playwright drives a browser.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
import pytest
from playwright.sync_api import Browser, sync_playwright

from agent.adapters import clock
from agent.adapters.broker import BrokerAddress, BrokerSession
from agent.adapters.embedded_broker import EmbeddedBroker
from agent.adapters.replay import ReplaySource
from agent.config import Broker, Clock, Config, Consent, Doorbell, Http, Requesters
from agent.core.area import Area, Circle
from agent.core.settings import Settings
from agent.core.timeline import Span, TimeBase, Trust
from agent.daemon import Doorbell as DoorbellProcess
from agent.daemon import Running
from agent.recorder import RecorderReport
from agent.recorder_thread import Footage
from agent.requester import asking, directory_file, key_file
from agent.requester.asking import Asked, Question
from agent.requester.receiving import Progress, Receiver
from agent.store.state import StateDirectory

HOME = (42.36110, -71.05710)
AGENCY = "Riverbend Police Department"
MINUTE_NS = 60 * 1_000_000_000
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

T = TypeVar("T")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; the test is skipped where it is absent, and fails in CI."""
    program = shutil.which("chromium")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed, but CI must have it")
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class PageHome:
    """Running while entered. Every call from outside is carried into the home's event loop.

    `receives`: whether who asked is there to fetch what is shared. `listed`: they stand in a directory, not pinned.
    """

    def __init__(
        self,
        directory: Path,
        footage: Path,
        *,
        undo_s: float = 30.0,
        receives: bool = True,
        sound: bool = False,
        listed: bool = False,
    ) -> None:
        self._directory = directory
        self._listed = listed
        self._footage = footage
        self._undo_s = undo_s
        self._receives = receives
        self._sound = sound
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="home")
        self.evidence = directory / "evidence"
        self.progress: list[Progress] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(60)
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(60)

    def invite(self) -> str:
        """A fresh pairing link."""
        return self._call(self._invite)

    def recorded(self) -> RecorderReport:
        """What was recorded, when the film has ended."""
        return self._await(asyncio.wait_for(asyncio.shield(self.doorbell.recorded), 120))

    def ask(self, span: Span | None = None, area: Area | None = None, **words: str) -> Asked:
        """Ask for `span` (else twenty minutes around everything recorded); returns when the owner has been prompted."""
        last = max(clip.row.end_ns for clip in self.recorded().clips)
        said = {
            "case_number": "RB-2026-0417",
            "incident_type": "Package theft",
            "message": "A parcel was taken from a doorstep in your street.\nDid your camera see anybody on foot?",
            "contact": "Det. Alvarez, +1 555 0100",
            "officer": "Det. M. Alvarez",
            "purpose": "To find out who took the parcel",
            "retention": "Until the case is closed, at most 90 days",
        }
        circle = Circle((HOME[1] + 0.0012, HOME[0] + 0.0006), 400.0)
        question = Question(area=area or circle, span=span or Span(last - 20 * MINUTE_NS, last), **(said | words))
        address = BrokerAddress.parse(self._broker_url)
        return self._await(self._ask(address, question))

    def state(self, request: str) -> str:
        """Where the request stands at the doorbell."""
        return self._call(lambda: self.doorbell.desk.request(request).row.state)

    def settings(self) -> Settings:
        """What the owner has set."""
        return self._call(lambda: self.doorbell.preferences.show().settings)

    def visit(self, label: str) -> None:
        """As if this were at the door now."""
        self._call(lambda: self.doorbell.bulletin.tell_visit("A" * 22, label))

    def audit(self) -> list[str]:
        """What the audit chain says, in order."""
        return [entry.what for entry in self._await(self.doorbell.desk.audit(0, 500)).entries]

    # -- inside

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._live())
        except BaseException as e:
            self._failure = e
            self._ready.set()
            raise
        finally:
            self._loop.close()

    async def _live(self) -> None:
        self._end = asyncio.Event()
        asker = key_file.create(self._directory / "requester.json", AGENCY, secrets.token_bytes(64), clock.utc_ns())
        source = ReplaySource([self._footage], sound=self._sound)
        start_ns = clock.utc_ns() - sum(facts.duration_ns for facts in source.facts)
        footage = Footage(lambda _stopped: source, lambda: TimeBase(0, start_ns, Trust.REPLAYED))
        async with EmbeddedBroker() as broker:
            self._broker_url = broker.url
            config = Config(
                doorbell=Doorbell("Front door", *HOME),
                broker=Broker(broker.url),
                consent=Consent(undo_s=self._undo_s),
                clock=Clock(trusted=True),
                http=Http("127.0.0.1", 0),
            )
            pinned = [asker.statement]
            if self._listed:
                keeper = directory_file.create(
                    self._directory / "county.key", "Example County", secrets.token_bytes(32)
                )
                file = self._directory / "county.directory"
                keeper.publish(pinned, file, now_ns=clock.utc_ns(), life_ns=90 * 86_400 * 10**9)
                pinned = []
                config = msgspec.structs.replace(config, requesters=Requesters([], str(file), keeper.public))
            state = StateDirectory(self._directory / "state", create=True)
            self.doorbell = DoorbellProcess(state, config, pinned=pinned, footage=footage)
            running: asyncio.Future[Running] = self._loop.create_future()
            process = asyncio.create_task(self.doorbell.run(running.set_result, make_recovery=False, what="test"))
            await asyncio.wait({process, running}, return_when=asyncio.FIRST_COMPLETED)
            if process.done():
                process.result()
            self.origin = (await running).origin
            self._asker = asker
            async with BrokerSession(BrokerAddress.parse(broker.url)) as session:
                await session.connected(asking.CONNECT_S)
                stop = asyncio.Event()
                if self._receives:
                    receiver = Receiver(asker, session, self.evidence, self.progress.append)
                    receiving = asyncio.create_task(receiver.run(stop))
                self._ready.set()
                await self._end.wait()
                stop.set()
                if self._receives:
                    await receiving
            self.doorbell.stopped.set()
            await process

    def _invite(self) -> str:
        return self.doorbell.pairing_link(self.origin, secrets.token_bytes(16))

    def withdraw(self, asked: Asked) -> None:
        """Who asked takes it back; returns when the doorbell knows."""
        self._await(self._withdraw(asked))

    async def _withdraw(self, asked: Asked) -> None:
        with self.doorbell.bulletin.listen() as news:
            await asking.withdraw(self._asker, BrokerAddress.parse(self._broker_url), asked.id, clock.utc_ns())
            async with asyncio.timeout(30):
                while self.doorbell.desk.request(asked.id).row.state != "withdrawn":
                    await news.get()

    async def _ask(self, address: BrokerAddress, question: Question) -> Asked:
        with self.doorbell.bulletin.listen() as news:
            asked = await asking.ask(self._asker, address, question, clock.utc_ns())
            async with asyncio.timeout(30):
                while asked.id not in [row.id for row in self.doorbell.desk.requests()]:
                    await news.get()
        return asked

    def _call(self, act: Callable[[], T]) -> T:
        async def run() -> T:
            return act()

        return self._await(run())

    def _await(self, awaited: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(awaited, self._loop).result(150)
