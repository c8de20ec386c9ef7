"""The doorbell: every part made, wired, started, watched and stopped in one place.

With `recorder_thread`, `broker_talk` and `home_talk` the only one that names concrete adapters. startup → run →
shutdown is `Doorbell.run`; what each part does is the part's own concern.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent import __version__
from agent.adapters import clock
from agent.adapters.button import DoorbellButton
from agent.adapters.directory_source import fetch_directory
from agent.adapters.http import OwnerServer
from agent.adapters.ntfy import owner_phones
from agent.adapters.supervisor import Supervisor
from agent.age_limit import AgeLimit
from agent.broker_talk import BrokerTalk, broker_address, uplink
from agent.config import Config
from agent.core import home_assistant, identity
from agent.core.area import cell_of
from agent.core.audit import Details
from agent.core.encoding import format_time, from_b64u
from agent.core.errors import BadInput, Corrupt, DoorwardError, Refused, Unavailable
from agent.core.owner_api import Trouble
from agent.core.statements import raw_public
from agent.core.topics import request_topic
from agent.detecting import Detecting
from agent.disclosure.bulletin import Bulletin
from agent.disclosure.desk import Desk, Home
from agent.disclosure.doorkeeper import Doorkeeper
from agent.disclosure.home_panel import HomePanel
from agent.disclosure.intake import Intake
from agent.disclosure.newcomers import Newcomers
from agent.disclosure.preferences import Preferences
from agent.disclosure.sending import Sending
from agent.disclosure.trusted import Trusted
from agent.home_talk import HomeTalk, household_address
from agent.phone_talk import PhoneTalk
from agent.recorder import RecorderReport, recorder_settings
from agent.recorder_thread import Footage, RecorderThread
from agent.secure_home import SecureHome, stays_here
from agent.setup import Opened, open_state, pairing_link
from agent.store.clips import ClipStore
from agent.store.early import Early
from agent.store.keeping import Keeper, ring_limits
from agent.store.ledger import Ledger
from agent.store.ring import Ring
from agent.store.state import StateDirectory, WriterLock
from agent.timekeeper import Clock, Timekeeper
from agent.watchdog import Heartbeat, Watchdog

log = logging.getLogger(__name__)

_TOLD_EVERY_CLIPS = 1000
_EXTENDED_EVERY_CLIPS = 100


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
            why = e.strerror if isinstance(e, OSError) else e
            raise BadInput(f"the requester in {name} cannot be pinned: {why}") from e
        found.append(statement)
    return found


class Doorbell:
    """One doorbell over one state directory."""

    def __init__(self, state: StateDirectory, config: Config, *, pinned: list[bytes], footage: Footage | None) -> None:
        self._state = state
        self._config = config
        self._pinned = pinned
        self._footage = footage
        self._supervisor = Supervisor(os.environ)
        self._heartbeat = Heartbeat(clock.boot_ns)
        self._may_record = asyncio.Event()
        self.bulletin = Bulletin()
        self._talk = BrokerTalk(self.bulletin)
        self._broker = broker_address(config.broker)
        self._household = household_address(config)
        self._secure = None if stays_here(config.http.host) else SecureHome(config, state)
        told, page = config.notify, self._secure.origin() if self._secure else ""
        self._phones = owner_phones(told.ntfy, config.doorbell.name, told.page or page, told.ntfy_token)
        self.recorded: asyncio.Future[RecorderReport] = asyncio.get_running_loop().create_future()
        self.stopped = asyncio.Event()

    # -- what the desk shows (disclosure.desk.Activity)

    @property
    def recording(self) -> str:
        """waiting, watching, recording, blind, paused, ended or stopped."""
        return self.recorder.state

    @property
    def troubles(self) -> list[Trouble]:
        """What keeps the doorbell from recording."""
        return self.recorder.troubles

    @property
    def broker(self) -> str:
        """connected, connecting or off."""
        return self._talk.state

    @property
    def detector(self) -> str:
        """off, missing, starting, on or failed."""
        return self._detecting.state

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
        with contextlib.ExitStack() as stack:
            pin = self._config.button.pin
            if pin >= 0:
                stack.callback(DoorbellButton(pin, self.recorder.press, self.recorder.button_sticks).close)
            await self._run_parts(opened, ready)

    async def _run_parts(self, opened: Opened, ready: Callable[[Running], None]) -> None:
        self._note("started", {"version": __version__})
        newcomers = Newcomers(self._ledger, opened.device, self.time, self._owners_changed)
        server = OwnerServer(self.doorkeeper, newcomers, self.desk, self.preferences, self._paired)
        origin = await self._serve_page(server)
        if self._ledger.owners() is not None:
            self._may_record.set()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._converse()),
                    group.create_task(self._sending.run()),
                    group.create_task(self._record()),
                    group.create_task(self._intake.run()),
                    group.create_task(self._age_limit.run()),
                    group.create_task(self._renew_directory()),
                    group.create_task(self._stay_awake()),
                    group.create_task(self._timekeeper.run()),
                    group.create_task(self._tell_household()),
                    group.create_task(self._tell_phones()),
                    group.create_task(self._keep_page_trusted()),
                ]
                self._watchdog.start()
                self._supervisor.ready(self.recording)
                ready(Running(origin, opened.recovery_code))
                await self.stopped.wait()
                self._supervisor.stopping()
                self.recorder.stop()
                if self._may_record.is_set():
                    await asyncio.wait([tasks[2]])
                self._watchdog.stop()
                for task in tasks:
                    task.cancel()
        except ExceptionGroup as group_error:
            raise _first_purposeful(group_error) from group_error
        finally:
            self._watchdog.stop()
            self.recorder.stop()
            self._detecting.close()
            self._sending.close()
            await server.stop()
            self._timekeeper.close()
            self._note("stopped", {"version": __version__})

    async def _serve_page(self, server: OwnerServer) -> str:
        """Where the owner opens the page."""
        http = self._config.http
        if self._secure is None:
            return f"http://localhost:{await server.start(http.host, http.port)}"
        self._secure.renew(self.time.now())
        await server.start(http.host, http.port)
        port = await server.start_secure(http.host, http.https_port, self._secure.context)
        server.show_steps(self._secure.steps(port))
        return self._secure.origin(port)

    def _note(self, what: str, details: Details) -> None:
        try:
            self._ledger.note(self.time.now(), what, details)
        except Unavailable as e:  # a full disk must not keep the owner from the page that can make room
            log.error("the log entry '%s' could not be kept: %s", what, e)

    def _build(self, opened: Opened) -> None:
        config, db = self._config, opened.db
        clips = ClipStore(Ring(opened.state.ring), db, opened.device)
        self.time = Clock(
            opened.state, opened.device, clock.reading, clock.kernel_boot_id(), trusted=config.clock.trusted
        )
        self._timekeeper = Timekeeper(self.time, clips.index, self._time_moved, self._time_known)
        self._timekeeper.begin()
        recovery = clips.recover(self._tell_recovery)
        self.time.folder.prune(clips.index)
        for problem in recovery.unreadable:
            log.error("%s; 'doorward check' says more", problem)
        self._ledger = Ledger(db)
        self._device = opened.device
        self._detecting = Detecting(config, opened.state.root, patient=False)
        self.recorder = RecorderThread(
            opened,
            recorder_settings(config),
            ring_limits(config),
            self.time,
            self.bulletin,
            self._detecting.sight,
            frozenset(config.notify.on),
        )  # fmt: skip
        self._watchdog = Watchdog(self._supervisor, [self._heartbeat, self.recorder.heartbeat])
        self.doorkeeper = Doorkeeper(
            self._ledger, opened.device, config.doorbell.name, __version__, self.time, secrets.token_bytes
        )
        self._sending = Sending(
            self._ledger, clips, opened.device, self._talk.publish, self._talk.listen, self.bulletin, self.time,
            uplink(config.broker),
        )  # fmt: skip
        place = (config.doorbell.latitude, config.doorbell.longitude)
        limits = ring_limits(config)
        asked = config.requesters
        key = from_b64u(asked.directory_key, 32) if asked.directory_key else None
        self._trusted = Trusted(self._ledger, self._pinned, key, self.time.now)
        self._intake = Intake(
            self._ledger, Early(db), clips.index, place, self._trusted, self.bulletin, self.time,
            clock.minute_of_day, self.look_again, limits.budget_bytes,
        )  # fmt: skip
        home = Home(
            name=config.doorbell.name,
            longitude=place[1],
            latitude=place[0],
            undo_ns=round(config.consent.undo_s * 1e9),
        )
        self._age_limit = AgeLimit(opened, limits, self.time, self.bulletin)
        keeper = Keeper(clips, self._ledger, limits, self.time.now)
        self._index = clips.index
        self.desk = Desk(
            self._ledger, clips, keeper, opened.device, home, self, self.bulletin, self._trusted,
            self.doorkeeper.owner_set, self.time, secrets.token_bytes,
        )  # fmt: skip

        self.preferences = Preferences(self._ledger, self._trusted, self.bulletin, self.time.now, clock.minute_of_day)

    def _tell_recovery(self, done: int, clips: int) -> None:
        if done % _EXTENDED_EVERY_CLIPS == 1:
            self._supervisor.starting(f"Reading clip {done} of {clips}")
        if done % _TOLD_EVERY_CLIPS == 0:
            log.warning("the index was lost or is far behind: %d of %d clips are read from the ring", done, clips)

    def pairing_link(self, origin: str, secret: bytes) -> str:
        """Open pairing for one phone."""
        return pairing_link(self._ledger, self._device, origin, self.time, secret)

    def _time_moved(self, from_ns: int, to_ns: int) -> None:
        self._note("clock-set", {"from": format_time(from_ns), "to": format_time(to_ns)})

    def _time_known(self) -> None:
        log.info("the time is known")
        if self._secure is not None:
            self._secure.look_after(self.time.now())
        self._intake.judge_waiting()
        self._sending.look_again()
        self.bulletin.tell("status")

    def _owners_changed(self) -> None:
        self.recorder.owners_changed()
        self.bulletin.tell("status")

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

    async def _renew_directory(self) -> None:
        where = self._config.requesters.directory
        if where:
            await self._trusted.keep_up(lambda: fetch_directory(where), lambda: self.bulletin.tell("status"))

    async def _stay_awake(self) -> None:
        """The event loop's own sign of life, and the line that 'systemctl status' shows."""
        told = ""
        while True:
            self._heartbeat.beat("the event loop waits for something, most likely the disk")
            status = "; ".join(trouble.text for trouble in self.troubles) or self.recording
            if status != told:
                self._supervisor.status(status[:1].upper() + status[1:])
                told = status
            await asyncio.sleep(1)

    async def _converse(self) -> None:
        if self._broker is None:
            return
        doorbell = self._config.doorbell
        requests = request_topic(cell_of(doorbell.latitude, doorbell.longitude))
        await self._talk.run(self._broker, requests, self._intake, self._sending)

    async def _tell_household(self) -> None:
        if self._household is None:
            return
        panel = HomePanel(self._ledger, self._index, self.preferences, self, self.bulletin, self.time)
        node = home_assistant.node_id(raw_public(self._device))
        prefix, name = self._config.home_assistant.discovery_prefix, self._config.doorbell.name
        await HomeTalk(self._household, prefix, node, name, __version__, panel, self.bulletin).run()

    async def _keep_page_trusted(self) -> None:
        if self._secure is not None:
            await self._secure.keep_fresh(self.time.now)

    async def _tell_phones(self) -> None:
        if self._phones is not None:
            await PhoneTalk(self._phones.tell, self._ledger, self, self.bulletin, self.time.now, random.random).run()


def _first_purposeful(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error to show of several that came at once: one raised on purpose, if there is any."""
    found = group.subgroup(DoorwardError)
    while found is not None:
        first = found.exceptions[0]
        if not isinstance(first, BaseExceptionGroup):
            return first
        found = first
    return group
