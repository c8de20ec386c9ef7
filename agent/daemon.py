"""The doorbell: every part made, wired, started, watched and stopped in one place.

The only module that names concrete adapters. startup → run → shutdown is `Doorbell.run`; what each part does is the
part's own concern.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from agent import __version__
from agent.adapters import clock
from agent.adapters.broker import BrokerAddress, BrokerSession, Inbound
from agent.adapters.http import OwnerServer
from agent.config import Config
from agent.core import identity, statements
from agent.core.area import cell_of
from agent.core.errors import BadInput, Corrupt, DoorwardError, Refused, Unavailable
from agent.core.frame import SourceItem
from agent.core.identity import OwnerSet, RequesterStatement
from agent.core.timeline import TimeBase
from agent.core.topics import read_transfer_topic, request_topic
from agent.disclosure.bulletin import Bulletin
from agent.disclosure.desk import Desk, Home
from agent.disclosure.doorkeeper import Doorkeeper
from agent.disclosure.intake import Intake
from agent.disclosure.sending import Sending
from agent.recorder import Recorder, RecorderReport, RecorderSettings, recorder_settings
from agent.setup import Opened, open_state, pairing_link
from agent.store.clips import ClipStore, owner_set_in_force
from agent.store.database import connect
from agent.store.index import ClipRow
from agent.store.ledger import Ledger
from agent.store.ring import Ring
from agent.store.state import StateDirectory, WriterLock, device_id

log = logging.getLogger(__name__)

_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Footage:
    """What the recorder is to see: opened when recording begins, with what its clock means.

    `source` is given whether to stop: a camera that is away hands over nothing after which to ask.
    """

    source: Callable[[Callable[[], bool]], Iterable[SourceItem]]
    base: Callable[[], TimeBase]


@dataclass(frozen=True, slots=True)
class Running:
    """What is known once the doorbell answers."""

    origin: str
    recovery_code: str | None


def pinned_requesters(config: Config) -> list[bytes]:
    """The statements of the files the configuration names; BadInput names the file that cannot be used."""
    found = []
    for name in config.requesters.pinned:
        try:
            statement = Path(name).read_bytes().strip()
            identity.read_requester_statement(statement)
        except (OSError, Refused, Corrupt) as e:
            raise BadInput(f"the requester in {name} cannot be pinned: {e}") from e
        found.append(statement)
    return found


class RecorderThread:
    """Runs a Recorder in a thread of its own, with its own connection, and tells the event loop what happens."""

    def __init__(self, opened: Opened, settings: RecorderSettings, bulletin: Bulletin) -> None:
        self._opened = opened
        self._settings = settings
        self._bulletin = bulletin
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self.state = "waiting"
        self.moment_ns = 0

    async def record(self, footage: Footage) -> RecorderReport:
        """Until the source ends or `stop`. Unavailable when the disk fails."""
        self._set_state("watching")
        try:
            report = await asyncio.shield(asyncio.to_thread(self._record, footage))
        except BaseException:
            self._set_state("stopped")
            raise
        self._set_state("ended")
        return report

    def stop(self) -> None:
        """End after the item at hand; the open clip is closed properly."""
        self._stop.set()

    def _record(self, footage: Footage) -> RecorderReport:
        with contextlib.closing(connect(self._opened.state.database, cache_only=True)) as db:
            store = ClipStore(Ring(self._opened.state.ring), db, self._opened.device)
            ledger = Ledger(db)
            device = device_id(self._opened.device)

            def owners() -> tuple[OwnerSet, bytes]:
                token = owner_set_in_force(ledger)
                return identity.read_owner_set(token, device), statements.digest(token)

            recorder = Recorder(store, self._settings, owners, secrets.token_bytes, self)
            return recorder.record(footage.source(self._stop.is_set), footage.base(), self._stop.is_set)

    def _set_state(self, state: str) -> None:
        self.state = state
        self._bulletin.tell("status")

    def _tell(self, what: str) -> None:
        self._loop.call_soon_threadsafe(self._bulletin.tell, what)

    # What the recorder's thread reports (recorder.Watcher).

    def clip_began(self, row: ClipRow) -> None:
        self.state = "recording"
        log.info("clip %s begins", row.id)
        self._tell("clips")

    def clip_ended(self, row: ClipRow) -> None:
        self.state = "watching"
        log.info("clip %s: %d records, %d bytes", row.id, row.records, row.bytes)
        self._tell("clips")

    def clips_evicted(self, rows: list[ClipRow]) -> None:
        ledger_details = [{"clip": row.id, "reason": "budget"} for row in rows]
        self._loop.call_soon_threadsafe(self._note_evicted, ledger_details)
        self._tell("clips")

    def _note_evicted(self, details: list[dict[str, str]]) -> None:
        for each in details:
            Ledger(self._opened.db).note(clock.utc_ns(), "evicted", dict(each))

    def moment(self, source_ns: int) -> None:
        self.moment_ns = source_ns


class Doorbell:
    """One doorbell over one state directory."""

    def __init__(self, state: StateDirectory, config: Config, *, pinned: list[bytes], footage: Footage | None) -> None:
        self._state = state
        self._config = config
        self._pinned = _by_kid(pinned)
        self._footage = footage
        self._broker: BrokerSession | None = None
        self._may_record = asyncio.Event()
        self.bulletin = Bulletin()
        self.recorded: asyncio.Future[RecorderReport] = asyncio.get_running_loop().create_future()
        self.stopped = asyncio.Event()

    # -- what the desk shows (disclosure.desk.Activity)

    @property
    def recording(self) -> str:
        """waiting, watching, recording, ended or stopped."""
        return self.recorder.state

    @property
    def broker(self) -> str:
        """connected, connecting or off."""
        return self._broker.state.value if self._broker else "off"

    def sent_bytes(self, request: str) -> int | None:
        """Bytes of blocks handed over for a transfer in progress."""
        return self._sending.sent_bytes(request)

    def look_again(self) -> None:
        """Something was decided."""
        self._sending.look_again()

    # -- life

    async def run(self, ready: Callable[[Running], None], *, make_recovery: bool, what: str = "run") -> None:
        """Set up, serve until `stopped` is set, shut down. Unavailable or BadInput if something needed is not there."""
        with WriterLock(self._state, what):
            opened = open_state(self._state, clock.utc_ns(), secrets.token_bytes, make_recovery=make_recovery)
            with contextlib.closing(opened.db):
                await self._serve(opened, ready)

    async def _serve(self, opened: Opened, ready: Callable[[Running], None]) -> None:
        self._build(opened)
        self._ledger.note(clock.utc_ns(), "started", {"version": __version__})
        server = OwnerServer(self.doorkeeper, self.desk, self._paired)
        host = self._config.http.host
        port = await server.start(host, self._config.http.port)
        if self._ledger.owners() is not None:
            self._may_record.set()
        shown = "localhost" if host in ("127.0.0.1", "::1") else host
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._talk()),
                    group.create_task(self._sending.run()),
                    group.create_task(self._record()),
                ]
                ready(Running(f"http://{shown}:{port}", opened.recovery_code))
                await self.stopped.wait()
                self.recorder.stop()
                if self._may_record.is_set():
                    await asyncio.wait([tasks[2]])
                for task in tasks:
                    task.cancel()
        except ExceptionGroup as group_error:
            raise _first_purposeful(group_error) from group_error
        finally:
            self.recorder.stop()
            self._sending.close()
            await server.stop()
            self._ledger.note(clock.utc_ns(), "stopped", {"version": __version__})

    def _build(self, opened: Opened) -> None:
        config, db = self._config, opened.db
        clips = ClipStore(Ring(opened.state.ring), db, opened.device)
        recovery = clips.recover()
        for problem in recovery.unreadable:
            log.error("%s; 'doorward check' says more", problem)
        self._ledger = Ledger(db)
        self._device = opened.device
        self.recorder = RecorderThread(opened, recorder_settings(config), self.bulletin)
        self.doorkeeper = Doorkeeper(
            self._ledger, opened.device, config.doorbell.name, __version__, clock.utc_ns, secrets.token_bytes
        )
        self._sending = Sending(
            self._ledger, clips, opened.device, self._publish, self._listen, self.bulletin, clock.utc_ns,
            clock.boot_ns,
        )  # fmt: skip
        place = (config.doorbell.latitude, config.doorbell.longitude)
        self._intake = Intake(self._ledger, clips.index, place, self._pinned, self.bulletin, clock.utc_ns)
        home = Home(
            name=config.doorbell.name,
            longitude=place[1],
            latitude=place[0],
            budget_bytes=config.ring.budget_mb * _MEGABYTE,
            undo_ns=round(config.consent.undo_s * 1e9),
        )
        self.desk = Desk(
            self._ledger, clips, opened.device, home, self, self.bulletin, self.doorkeeper.owner_set, clock.utc_ns,
            secrets.token_bytes,
        )  # fmt: skip

    def pairing_link(self, origin: str, secret: bytes) -> str:
        """Open pairing for one phone."""
        return pairing_link(self._ledger, self._device, origin, clock.utc_ns(), secret)

    def _paired(self) -> None:
        self._may_record.set()
        self.bulletin.tell("status")

    async def _record(self) -> None:
        await self._may_record.wait()
        if self._footage is None:
            return
        report = await self.recorder.record(self._footage)
        if not self.recorded.done():
            self.recorded.set_result(report)
        self.bulletin.tell("status")

    # -- the broker

    async def _talk(self) -> None:
        if not self._config.broker.url:
            return
        doorbell = self._config.doorbell
        requests = request_topic(cell_of(doorbell.latitude, doorbell.longitude))
        async with BrokerSession(BrokerAddress.parse(self._config.broker.url)) as session:
            self._broker = session
            self._listening: list[str] = []
            await session.subscribe(requests)
            state = session.state
            while True:
                for message in await session.receive(timeout_s=5):
                    await self._take(message, requests)
                if session.state is not state:
                    state = session.state
                    self.bulletin.tell("status")

    async def _take(self, message: Inbound, requests: str) -> None:
        if message.topic == requests:
            self._intake.on_request(message.payload)
            return
        topic = read_transfer_topic(message.topic)
        if topic is not None and topic.what == "get":
            await self._sending.on_get(topic.transfer, message.payload)
        elif topic is not None and topic.what == "receipt":
            await self._sending.on_receipt(topic.transfer, message.payload)

    async def _publish(self, topic: str, payload: bytes, qos: int) -> bool:
        if self._broker is None:
            return False
        try:
            await self._broker.publish(topic, payload, qos=qos)
        except Unavailable as e:
            log.info("not sent: %s", e)
            return False
        return True

    async def _listen(self, topics: list[str]) -> None:
        if self._broker is None:
            return
        old, self._listening = self._listening, topics
        try:
            await self._broker.unsubscribe(*(topic for topic in old if topic not in topics))
            await self._broker.subscribe(*topics)
        except Unavailable as e:
            log.info("listening begins when the broker is back: %s", e)


def _by_kid(pinned: list[bytes]) -> dict[str, tuple[bytes, RequesterStatement]]:
    read = [(token, identity.read_requester_statement(token)) for token in pinned]
    return {said.id: (token, said) for token, said in read}


def _first_purposeful(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error to show of several that came at once: one raised on purpose, if there is any."""
    found = group.subgroup(DoorwardError)
    while found is not None:
        first = found.exceptions[0]
        if not isinstance(first, BaseExceptionGroup):
            return first
        found = first
    return group
