"""The demo's story, step by step: broker, doorbell, owner, requester, a real request and a real answer.

Everything here is the product's own parts over real connections on loopback; only the people are played. It writes
below one directory and says what happens through `Stage`, whoever shows it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent.adapters import clock
from agent.adapters.broker import BrokerAddress, BrokerSession
from agent.adapters.embedded_broker import EmbeddedBroker
from agent.adapters.owner_client import OwnerClient
from agent.adapters.replay import ReplaySource
from agent.config import Broker, Clock, Config, Consent, Doorbell, Http
from agent.core import identity
from agent.core.area import Circle
from agent.core.errors import NotThere, Refused, Unavailable
from agent.core.identity import KeyPair
from agent.core.owner_api import RequestRow
from agent.core.timeline import Span, TimeBase, Trust
from agent.daemon import Doorbell as DoorbellProcess
from agent.daemon import Running
from agent.owner import key_file
from agent.owner.session import OwnerSession, pair, read_pairing
from agent.recorder import RecorderReport
from agent.recorder_thread import Footage
from agent.requester import asking
from agent.requester import key_file as requester_keys
from agent.requester.key_file import RequesterIdentity
from agent.requester.receiving import Progress, Receiver
from agent.store.state import StateDirectory

# A street corner in Boston: somewhere has to be home.
HOME = (42.36110, -71.05710)
RADIUS_M = 400.0
_MINUTE_NS = 60 * 1_000_000_000
_ASK_BEFORE_NS = 5 * _MINUTE_NS
_SPAN_AT_LEAST_NS = 20 * _MINUTE_NS
_SPAN_AT_MOST_NS = 12 * 60 * _MINUTE_NS
_PATIENCE_S = 120.0
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked of the demo. `broker_url` None: the embedded one. `answers`: an owner identity says yes."""

    directory: Path
    evidence: Path
    footage: Path
    answers: bool
    port: int
    broker_url: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: the request's last state, and the folder of evidence if there was a yes."""

    state: str
    clips: int
    folder: Path | None
    verified: bool


class Stage(Protocol):
    """Shows what happens. Every call is one thing a person can see."""

    def started(self, page: str, broker: str) -> None: ...
    def invite(self, link: str) -> None: ...
    def paired(self) -> None: ...
    def recording(self, total_ns: int, moment: Callable[[], int]) -> contextlib.AbstractAsyncContextManager[None]: ...
    def recorded(self, report: RecorderReport) -> None: ...
    def asked(self, agency: str, span: Span) -> None: ...
    def prompted(self, page: str, *, by_person: bool) -> None: ...
    def changed(self, row: RequestRow) -> None: ...
    def received(self, progress: Progress) -> None: ...
    def finished(self, outcome: Outcome, *, stays: bool) -> None: ...


class Demo:
    """One run of the story. `stopped` ends it early and cleanly."""

    def __init__(self, plan: Plan, stage: Stage, stopped: asyncio.Event) -> None:
        self._plan = plan
        self._stage = stage
        self._stopped = stopped
        self._progress: Progress | None = None

    async def run(self) -> Outcome | None:
        """The outcome; None when it was stopped before there was one. Unavailable, BadInput: something is missing."""
        source = ReplaySource([self._plan.footage])
        async with self._broker() as broker_url:
            config = self._config(broker_url)
            requester = self._requester()
            total_ns = sum(facts.duration_ns for facts in source.facts)
            start_ns = clock.utc_ns() - total_ns
            footage = Footage(lambda _stopped: source, lambda: TimeBase(0, start_ns, Trust.REPLAYED))
            state = StateDirectory(self._plan.directory / "state", create=True)
            doorbell = DoorbellProcess(state, config, pinned=[requester.statement], footage=footage)
            ready: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
            process = asyncio.create_task(doorbell.run(ready.set_result, make_recovery=False, what="demo"))
            story = asyncio.create_task(self._story(doorbell, ready, requester, broker_url, total_ns))
            stopper = asyncio.create_task(self._stopped.wait())
            try:
                await asyncio.wait({process, story, stopper}, return_when=asyncio.FIRST_COMPLETED)
                if not story.done():
                    return None
                outcome = story.result()
                self._stage.finished(outcome, stays=not self._plan.answers)
                if not self._plan.answers:
                    await stopper  # the owner may want to look at the receipt and the log
                return outcome
            finally:
                story.cancel()
                stopper.cancel()
                doorbell.stopped.set()
                await process

    @contextlib.asynccontextmanager
    async def _broker(self) -> AsyncIterator[str]:
        if self._plan.broker_url is None:
            async with EmbeddedBroker() as embedded:
                yield embedded.url
            return
        async with BrokerSession(BrokerAddress.parse(self._plan.broker_url)) as session:
            await session.connected(asking.CONNECT_S)
        yield self._plan.broker_url

    def _config(self, broker_url: str) -> Config:
        return Config(
            doorbell=Doorbell("Demo door", *HOME),
            broker=Broker(broker_url),
            consent=Consent(undo_s=1.0 if self._plan.answers else 30.0),
            clock=Clock(trusted=True),
            http=Http("127.0.0.1", self._plan.port),
        )

    def _requester(self) -> RequesterIdentity:
        path = self._plan.directory / "requester.json"
        if path.exists():
            return requester_keys.load(path)
        return requester_keys.create(path, "Springfield Police (a demo)", secrets.token_bytes(64), clock.utc_ns())

    # -- the story

    async def _story(
        self,
        doorbell: DoorbellProcess,
        ready: asyncio.Future[Running],
        requester: RequesterIdentity,
        broker_url: str,
        total_ns: int,
    ) -> Outcome:
        running = await ready
        self._stage.started(running.origin, broker_url)
        owner = await self._pair(doorbell, running.origin)
        async with self._stage.recording(total_ns, lambda: doorbell.recorder.moment_ns):
            report = await asyncio.shield(doorbell.recorded)
        self._stage.recorded(report)
        if not report.clips:
            raise NotThere("nothing moved in this footage, so no clip was recorded and there is nothing to ask for")
        address = BrokerAddress.parse(broker_url)
        async with BrokerSession(address) as session:
            await session.connected(asking.CONNECT_S)
            stop = asyncio.Event()
            receiver = Receiver(requester, session, self._plan.evidence, self._on_progress)
            receiving = asyncio.create_task(receiver.run(stop))
            try:
                return await self._ask_and_wait(doorbell, running, requester, address, report, owner)
            finally:
                stop.set()
                await receiving

    async def _pair(self, doorbell: DoorbellProcess, origin: str) -> OwnerSession | None:
        if self._plan.answers:
            return await self._pair_identity(doorbell, origin)
        if not doorbell.doorkeeper.device().paired:
            self._stage.invite(doorbell.pairing_link(origin, secrets.token_bytes(identity.SECRET_BYTES)))
            await _until(doorbell, lambda: doorbell.doorkeeper.device().paired)
        self._stage.paired()
        return None

    async def _pair_identity(self, doorbell: DoorbellProcess, origin: str) -> OwnerSession:
        path = self._plan.directory / "owner.json"
        if path.exists():
            content = key_file.read(path)
            keys = key_file.unlock(content, None)
        else:
            recovery = identity.recovery_entry(identity.recovery_keys(secrets.token_bytes(16)))
            content = key_file.make("Demo owner", secrets.token_bytes(64), recovery, None, b"")
            key_file.write(path, content, new=True)
            keys = key_file.unlock(content, None)
        async with OwnerClient(origin) as client:
            paired = await self._introduce(doorbell, client, origin, content, keys)
        key_file.write(path, key_file.with_doorbell(content, paired), new=False)
        self._stage.paired()
        return OwnerSession(OwnerClient(origin), paired, keys, clock.utc_ns)

    async def _introduce(
        self, doorbell: DoorbellProcess, client: OwnerClient, origin: str, content: key_file.KeyFile, keys: KeyPair
    ) -> key_file.PairedDoorbell:
        device = doorbell.doorkeeper.device()
        if device.paired and content.doorbell is not None and content.doorbell.id == device.id:
            return key_file.PairedDoorbell(origin, device.id, device.key)
        if device.paired:
            raise Refused(
                "already-paired",
                f"the doorbell in {self._plan.directory} belongs to a browser; run the demo without --yes, "
                "or choose another directory",
            )
        code = read_pairing(doorbell.pairing_link(origin, secrets.token_bytes(identity.SECRET_BYTES)))
        return await pair(client, origin, code, content.name, keys, content.recovery, clock.utc_ns())

    async def _ask_and_wait(
        self,
        doorbell: DoorbellProcess,
        running: Running,
        requester: RequesterIdentity,
        address: BrokerAddress,
        report: RecorderReport,
        owner: OwnerSession | None,
    ) -> Outcome:
        span = _span_to_ask(report)
        question = asking.Question(
            area=Circle((HOME[1], HOME[0]), RADIUS_M),
            span=span,
            case_number=f"DEMO-{secrets.token_hex(3).upper()}",
            incident_type="Package theft",
            message="A parcel was taken from a doorstep in this street. Did your camera see anybody on foot?",
            contact="This is a demo: nobody will call.",
            officer="Det. Demo",
            purpose="To find out who took the parcel",
            retention="Until you close this demo",
        )
        asked = await asking.ask(requester, address, question, clock.utc_ns())
        self._stage.asked(requester.said.agency, span)
        await self._until_prompted(doorbell, asked.id)
        self._stage.prompted(running.origin, by_person=owner is None)
        if owner is not None:
            async with owner.client:
                await owner.open()
                await owner.share(asked.id, [], sound=False)
        return await self._watch(doorbell, asked.id, len(report.clips))

    async def _until_prompted(self, doorbell: DoorbellProcess, request: str) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await _until(doorbell, lambda: any(row.id == request for row in doorbell.desk.requests()))
        except TimeoutError as e:
            raise Unavailable(
                "the request did not come through the broker within two minutes; 'doorward --verbose demo' says why"
            ) from e

    async def _watch(self, doorbell: DoorbellProcess, request: str, clips: int) -> Outcome:
        """Show every change until the request has come to its end."""
        shown = None
        while True:
            row = doorbell.desk.request(request).row
            if row != shown:
                self._stage.changed(row)
                shown = row
            ended = row.state in ("declined", "expired", "stopped", "lapsed", "delivered")
            arrived = self._progress
            if ended and row.state != "delivered":
                return Outcome(row.state, clips, None, verified=False)
            if ended and arrived is not None and arrived.stage.value in ("verified", "failed"):
                return Outcome(row.state, clips, arrived.folder, verified=arrived.stage.value == "verified")
            if arrived is not None and arrived.stage.value == "failed":
                return Outcome(row.state, clips, arrived.folder, verified=False)
            await asyncio.sleep(_LOOK_EVERY_S)

    def _on_progress(self, progress: Progress) -> None:
        self._progress = progress
        self._stage.received(progress)


async def _until(doorbell: DoorbellProcess, condition: Callable[[], bool]) -> None:
    """Wait for the doorbell to tell of something that makes `condition` true."""
    with doorbell.bulletin.listen() as news:
        while not condition():
            await news.get()


def _span_to_ask(report: RecorderReport) -> Span:
    """A stretch around everything recorded, within what may be asked for."""
    first = min(clip.row.start_ns for clip in report.clips)
    last = max(clip.row.end_ns for clip in report.clips)
    start = min(first - _ASK_BEFORE_NS, last - _SPAN_AT_LEAST_NS)
    return Span(max(start, last - _SPAN_AT_MOST_NS), last)
