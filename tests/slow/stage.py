"""A doorbell, its broker, its owner and its requesters on one stage, and a director who kills one of them at a step.

Doorbell and requester are processes of their own that tell their steps (tests/slow/steps.py); the broker is Mosquitto.
All talk over a wire that remembers every message. Whoever is killed is started again at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import multiprocessing
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from agent.adapters.broker import BrokerAddress
from agent.adapters.owner_client import OwnerClient
from agent.core.area import Circle
from agent.core.bundle import read_offer
from agent.core.errors import NotThere, Unavailable
from agent.core.owner_api import Status
from agent.core.timeline import Span
from agent.core.topics import read_transfer_topic
from agent.owner import key_file as owner_file
from agent.owner.session import OwnerSession
from agent.requester.asking import Question, ask
from agent.requester.folder import END, PARTIAL, TransferFolder
from agent.requester.key_file import RequesterIdentity
from agent.store.database import connect
from agent.store.ledger import Ledger
from tests.slow.conftest import free_port
from tests.slow.doorbells import HOME, Neighbourhood
from tests.slow.killable_broker import Mosquitto
from tests.slow.steps import play
from tests.slow.wire import Wire

VICTIMS = ("doorbell", "requester", "broker")
PATIENCE_S = 40.0
_ID_CHARACTERS = 22
_HALF_AN_HOUR_NS = 1800 * 1_000_000_000
_SPAWN = multiprocessing.get_context("forkserver")
_SPAWN.set_forkserver_preload(["agent.cli.doorbell", "agent.cli.requester", "tests.slow.steps"])


def recorded(root: Path, footage: Path) -> Neighbourhood:
    """A paired doorbell in `root` that has recorded the two visits of the rendered doorstep."""
    street = Neighbourhood(root, "mqtt://127.0.0.1:9", footage)
    config = street.config.read_text()
    street.config.write_text(config.replace(f'replay = ["{footage}"]', "replay = []"))
    with street.running():
        street.pair()
    street.config.write_text(config)
    with street.running():
        street.wait_for_clips(2)
    return street


def configuration(opening: Neighbourhood, port: int, broker: str, requesters: list[RequesterIdentity]) -> str:
    """For a doorbell that goes on where `opening` ended: no camera, no undo window, these requesters pinned."""
    text = opening.config.read_text()
    pinned = ", ".join(f'"{one.statement_path}"' for one in requesters)
    for pattern, value in (
        (r"port = \d+", f"port = {port}"),
        (r"pinned = .*", f"pinned = [{pinned}]"),
        (r"replay = .*", "replay = []"),
        (r'url = "mqtt:.*"', f'url = "{broker}"'),
        (r"undo_s = .*", "undo_s = 0"),
    ):
        text, found = re.subn(pattern, value, text)
        assert found == 1, pattern
    return text


def about_the_last_half_hour(case: str, now_ns: int) -> Question:
    """What a requester asks the homes around."""
    area, span = Circle((HOME[1], HOME[0]), 400.0), Span(now_ns - _HALF_AN_HOUR_NS, now_ns)
    return Question(area, span, case, "Package theft", "Did your camera see anybody?", "555-0100")


@contextlib.asynccontextmanager
async def owner_of(opening: Neighbourhood, port: int) -> AsyncIterator[OwnerSession]:
    """The owner of `opening`, signed in at the doorbell that listens on `port` now."""
    content = owner_file.read(opening.owner)
    assert content.doorbell is not None
    async with OwnerClient(f"http://127.0.0.1:{port}") as client:
        session = OwnerSession(client, content.doorbell, owner_file.unlock(content, None), time.time_ns)
        await session.open()
        yield session


@dataclass(frozen=True)
class Scene:
    """Who is killed at which step; `stop`: the owner stops the transfer at its first block."""

    step: str
    victim: str
    stop: bool = False


@dataclass
class Outcome:
    """How a transfer ended: the state at the doorbell, what the requester has, blocks sent beyond those needed."""

    scene: Scene | None
    state: str
    folder: TransferFolder
    transfer: str
    extra_blocks: int = 0


@dataclass
class Stage:
    """One doorbell's stage below `root`; `opening` is a paired state directory with clips in it."""

    root: Path
    opening: Neighbourhood
    requesters: list[RequesterIdentity]
    outcomes: list[Outcome] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def set_up(self) -> AsyncIterator[Stage]:
        """Everybody is there."""
        self.root.mkdir()
        self.state = self.root / "state"
        shutil.copytree(self.opening.state, self.state)
        self._scene: Scene | None = None
        self._performed: Scene | None = None
        self._begun, self._stopped = asyncio.Event(), asyncio.Event()
        self._acting: dict[str, ForkServerProcess] = {}
        self._entrances: set[asyncio.Task[None]] = set()
        self.port = free_port()
        self.control = str(self.root / "director")
        with Mosquitto(self.root) as self.broker:
            director = await asyncio.start_unix_server(self._direct, self.control)
            try:
                async with Wire(self.broker.port).open() as self.wire:
                    text = configuration(self.opening, self.port, self.wire.url, self.requesters)
                    (self.root / "doorward.toml").write_text(text)
                    await self._enter("doorbell")
                    yield self
            finally:
                for process in self._acting.values():
                    process.kill()
                    process.join()
                director.close()

    # -- one scene

    async def perform(self, scene: Scene | None, number: int) -> Outcome:
        """Ask, share, pull, with the kill in it; until both ends have come to an end."""
        self._begun.clear()
        self._stopped.clear()
        asker = self.requesters[number // 8]
        self._asker, self._out = asker, self.root / f"out{number}"
        await self._everybody_listens()
        now_ns = time.time_ns()
        question = about_the_last_half_hour(f"case-{number}", now_ns)
        asked = await ask(asker, BrokerAddress.parse(self.wire.url), question, now_ns)
        await self._until(lambda state: state == "asked", asked.id)
        self._scene = self._performed = scene
        await self._enter("requester")
        await self._share(asked.id)
        if scene is not None and scene.stop:
            await self._stop(asked.id)
        state = await self._until(lambda state: state in ("delivered", "stopped") and self._settled(), asked.id)
        await self._until(lambda _: self._scene is None, asked.id)
        await asyncio.gather(*self._entrances)
        self._leave("requester")
        (path,) = self._out.iterdir()
        transfer = path.name[-_ID_CHARACTERS:]
        outcome = Outcome(scene, state, TransferFolder(path), transfer, self._extra_blocks(transfer))
        self.outcomes.append(outcome)
        return outcome

    def _settled(self) -> bool:
        """The requester has come to an end: everything verified, or told that it was stopped."""
        folders = [TransferFolder(path) for path in self._out.iterdir()] if self._out.is_dir() else []
        return any((folder.complete or folder.has(END)) and not folder.has(PARTIAL) for folder in folders)

    def _extra_blocks(self, transfer: str) -> int:
        said = self.wire.messages
        topics = [(number, read_transfer_topic(topic)) for number, topic in enumerate(said.topics)]
        mine = [(number, topic.what) for number, topic in topics if topic is not None and topic.transfer == transfer]
        offer = read_offer(next(said.payload(number) for number, what in mine if what == "offer"))
        return sum(what == "block" for _, what in mine) - offer.blocks - len(offer.pages)

    # -- the owner

    async def _everybody_listens(self) -> None:
        """Until the doorbell hears what is asked. Whoever was killed last is back then."""
        await asyncio.gather(*self._entrances)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            self._nobody_fell()
            with contextlib.suppress(Unavailable):
                async with owner_of(self.opening, self.port) as owner:
                    if (await owner.client.get("/api/status", Status)).broker == "connected":
                        return
            await asyncio.sleep(0.05)
        raise AssertionError(f"after {self._performed} the doorbell does not find its broker again; see {self.root}")

    def _state(self, request: str) -> str | None:
        """How a request stands, as the doorbell's disk has it; None where it has not heard of it."""
        try:
            with contextlib.closing(connect(self.state / "doorward.db", read_only=True)) as db:
                return Ledger(db).request(request).state.value
        except (NotThere, Unavailable):
            return None

    async def _until(self, good: Callable[[str], bool], request: str) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            self._nobody_fell()
            state = self._state(request)
            if state is not None and good(state):
                return state
            await asyncio.sleep(0.05)
        raise AssertionError(f"{self._performed} came to no end; the request is {state}; see {self.root}")

    async def _share(self, request: str) -> None:
        """Say yes, again if the doorbell died over it and does not have it."""
        while True:
            try:
                async with owner_of(self.opening, self.port) as owner:
                    await owner.share(request, [], sound=False)
                return
            except Unavailable:
                await self._everybody_listens()
                if self._state(request) != "asked":
                    return

    async def _stop(self, request: str) -> None:
        """Say stop, once the first block is there; the requester waits until that is done."""
        await self._begun.wait()
        while True:
            try:
                async with owner_of(self.opening, self.port) as owner:
                    await owner.step(request, "stop")
                return
            except Unavailable:
                if self._state(request) == "stopped":
                    return
                await self._everybody_listens()

    # -- the director

    async def _direct(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # it was killed
            while line := await reader.readline():
                await self._at(line.decode().strip())
                writer.write(b".")
                await writer.drain()
        writer.close()

    async def _at(self, step: str) -> None:
        scene = self._scene
        if step == "stop stored":
            self._stopped.set()
        if scene is not None and scene.step == step:
            self._scene = None
            await self._kill(scene.victim)
        if scene is not None and scene.stop and step == "first block kept":
            self._begun.set()
            await self._stopped.wait()

    async def _kill(self, victim: str) -> None:
        if victim == "broker":
            await asyncio.to_thread(self.broker.kill)
        else:
            self._leave(victim)
        entrance = asyncio.create_task(self._enter(victim))
        self._entrances.add(entrance)
        entrance.add_done_callback(self._entrances.discard)

    def _nobody_fell(self) -> None:
        """Everybody on the stage is there; nobody ends but by the director's hand."""
        for who, process in self._acting.items():
            if not process.is_alive():
                log = (self.root / f"{who}.log").read_text()
                raise AssertionError(f"in {self._performed} the {who} ended by itself: {log[-1000:]}")

    def _leave(self, who: str) -> None:
        self._nobody_fell()
        process = self._acting.pop(who)
        process.kill()
        process.join()

    async def _enter(self, who: str) -> None:
        if who == "broker":
            await asyncio.to_thread(self.broker.start)
            return
        config = ["--config", str(self.root / "doorward.toml"), "--state", str(self.state)]
        arguments = {
            "doorbell": ["-v", *config, "run"],
            "requester": ["-v", "requester", "receive", "--identity", str(self._asker.path), "--broker", self.wire.url,
                          "--out", str(self._out)] if who == "requester" else [],
        }  # fmt: skip
        process = _SPAWN.Process(target=play, args=(arguments[who], self.control, self.root / f"{who}.log"))
        await asyncio.to_thread(process.start)
        self._acting[who] = process


def films(folder: TransferFolder) -> list[str]:
    """The hashes of the films in an evidence folder."""
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.path.glob("clip-*.mp4"))]
