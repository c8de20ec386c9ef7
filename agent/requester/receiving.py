"""Receives what owners released: takes offers, pulls several transfers at once, opens them, signs receipts.

A shell around `core.transfer`: it moves messages and bytes and decides nothing about them. What was begun before is
taken up again from the folders; what is complete gets its receipt sent again whenever its offer comes.
Source: docs/spec/transfer.md.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from agent.adapters.broker import BrokerSession, Inbound, SessionState
from agent.core.bundle import Offer, judge_offer, read_end, read_offer
from agent.core.encoding import parse_time
from agent.core.errors import Corrupt, Refused, Unavailable
from agent.core.request import FootageRequest
from agent.core.statements import Kind, unverified
from agent.core.topics import TransferTopic, block_topic, read_transfer_topic, request_topic, transfer_topic
from agent.core.transfer import Arrival, Phase, Puller
from agent.requester import folder as names
from agent.requester.evidence import Check
from agent.requester.folder import PartialBundle, TransferFolder
from agent.requester.key_file import RequesterIdentity
from agent.requester.opening import open_bundle
from agent.requester.quota import Quota

log = logging.getLogger(__name__)

MAX_PULLS = 8
MAX_WAITING_OFFERS = 256
IDLE_NS = 120 * 1_000_000_000
HURRIED_IDLE_NS = 20 * 1_000_000_000  # while other offers wait
TURN_NS = 300 * 1_000_000_000  # as long may one be received while others wait; then it goes to their end
WITHDRAW_AGAIN_NS = 60 * 1_000_000_000
FLUSH_S = 5.0
_TICK_S = 1.0
_ROOM_FACTOR = 3  # the bundle, its parts, its films


class Stage(Enum):
    """Where a transfer stands for whoever looks on."""

    RECEIVING = "receiving"
    OPENING = "opening"
    VERIFIED = "verified"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Progress:
    """News of one transfer. `failed` is the check that failed, when one did."""

    transfer: str
    folder: Path
    stage: Stage
    received_bytes: int
    total_bytes: int
    failed: Check | None = None


@dataclass(slots=True)
class _Pull:
    folder: TransferFolder
    token: bytes
    offer: Offer
    puller: Puller
    partial: PartialBundle
    expires_ns: int
    began_ns: int
    last_news_ns: int
    task: asyncio.Task[None] | None = field(default=None)  # looking through the disk, or opening


class Receiver:
    """Everything one requester receives over one session. `on_progress` is called in the loop, often."""

    def __init__(
        self,
        identity: RequesterIdentity,
        session: BrokerSession,
        out: Path,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._identity = identity
        self._session = session
        self._out = out
        self._tell = on_progress
        self._pulls: dict[str, _Pull] = {}
        self._quota = Quota(out)
        self._told_full: set[tuple[str, str]] = set()  # (request, why an answer to it was not taken)
        self._waiting: dict[str, bytes] = {}  # offers that came while MAX_PULLS transfers were being received
        self._given_up: set[str] = set()
        self._withdrawn_until_ns: dict[str, int] = {}  # a request taken back is not taken back again before then
        self._outgoing: asyncio.Queue[tuple[str, bytes, int]] = asyncio.Queue()
        self._connections = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. A broker that goes away is waited for; a transfer the disk does not take is FAILED."""
        await self._listen()
        async with asyncio.TaskGroup() as tasks:
            around = [tasks.create_task(self._send()), tasks.create_task(self._wake_at(stop))]
            try:
                self._quota.load()
                self._take_up_folders()
                while not stop.is_set():
                    await self._turn(tasks)
                await self._flush()
            finally:
                for task in around:
                    task.cancel()
                for transfer in list(self._pulls):
                    self._drop(transfer)

    async def _listen(self) -> None:
        """To everything that is sent to this requester; where the broker goes away meanwhile, once it is back."""
        kid = self._identity.said.id
        said = [transfer_topic(kid, "+", "offer"), transfer_topic(kid, "+", "end")]
        for topics, qos in ((said, 1), ([block_topic(kid, "+", "+")], 0)):
            try:
                await self._session.subscribe(*topics, qos=qos)
            except Unavailable as e:
                log.warning("%s; listening goes on when it is back", e)

    async def _turn(self, tasks: asyncio.TaskGroup) -> None:
        """Take what came, then ask for what is missing."""
        messages = await self._session.receive(self._wait_s())
        now_ns = time.monotonic_ns()
        if self._session.connections != self._connections:
            self._connections = self._session.connections
            for pull in self._pulls.values():
                pull.puller.on_reconnect()
                pull.last_news_ns = now_ns
        for message in messages:
            self._on_message(message, now_ns)
        while self._waiting and len(self._pulls) < MAX_PULLS:
            transfer = next(iter(self._waiting))
            self._take("offer", transfer, self._waiting.pop(transfer))
        for transfer, pull in list(self._pulls.items()):
            self._advance(transfer, pull, now_ns, tasks)

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._session.wake()

    async def _flush(self) -> None:
        """Let the last receipt leave; if it cannot, the doorbell offers again and the next run sends it."""
        try:
            async with asyncio.timeout(FLUSH_S):
                await self._outgoing.join()
        except TimeoutError:
            log.info("%d messages were not sent", self._outgoing.qsize())

    def _wait_s(self) -> float:
        """Until the next timer of any pull, at most a second. Without a broker no timer can do anything."""
        if self._session.state is not SessionState.CONNECTED:
            return _TICK_S
        now_ns = time.monotonic_ns()
        waits = [(ns - now_ns) / 1e9 for p in self._pulls.values() if (ns := p.puller.wake_ns()) is not None]
        return max(0.0, min([_TICK_S, *waits]))

    # -- what comes

    def _on_message(self, message: Inbound, now_ns: int) -> None:
        topic = read_transfer_topic(message.topic)
        if topic is None or topic.requester != self._identity.said.id:
            return
        if topic.what == "block":
            self._on_block(topic, message.payload, now_ns)
        else:
            self._take(topic.what, topic.transfer, message.payload)

    def _take(self, what: str, transfer: str, token: bytes) -> None:
        """An offer or an end; what is none of ours leaves no trace but in the log."""
        try:
            if what == "offer":
                self._on_offer(transfer, token)
            elif what == "end":
                self._on_end(transfer, token)
        except (Refused, Corrupt, Unavailable) as e:
            log.warning("the %s of transfer %s was not taken: %s", what, transfer, e)

    def _on_block(self, topic: TransferTopic, payload: bytes, now_ns: int) -> None:
        pull = self._pulls.get(topic.transfer)
        if pull is None:
            return
        arrival = pull.puller.on_block(topic.block, payload, now_ns)
        try:
            if arrival is Arrival.WRITE:
                pull.partial.write(pull.puller.offset_of(topic.block), payload)
        except Unavailable as e:
            self._fail(topic.transfer, pull, Check("disk", names.PARTIAL, False, str(e)))
            return
        if arrival in (Arrival.WRITE, Arrival.PAGE):
            pull.last_news_ns = now_ns
            self._report(pull, Stage.RECEIVING)

    def _on_offer(self, transfer: str, token: bytes) -> None:
        if transfer in self._pulls or transfer in self._given_up:
            return
        try:
            offer = judge_offer(
                token, transfer=transfer, requester=self._identity.said.id, asked=self._asked, now_ns=time.time_ns()
            )
        except Refused as e:
            if e.reason == "unknown-request":
                self._withdraw_again(read_offer(token).request)
            raise
        request = self._identity.request(offer.request)
        assert request is not None, "the offer was judged to answer a request of ours"
        asked = unverified(Kind.REQUEST, request, FootageRequest)
        folder = TransferFolder.of(self._out, asked.case_number, transfer)
        if folder.has(names.OFFER) and folder.read(names.OFFER) != token:
            raise Refused("wrong-transfer", f"{folder.path} was begun with another offer of the same transfer")
        if folder.complete:
            self._outgoing.put_nowait((self._topic(transfer, "receipt"), folder.read(names.RECEIPT), 1))
            return
        if folder.ended:
            return
        if not self._has_room(offer, asked):
            return
        if len(self._pulls) >= MAX_PULLS:
            if transfer not in self._waiting and len(self._waiting) < MAX_WAITING_OFFERS:
                log.info("an offer waits: %d transfers are being received already", MAX_PULLS)
                self._waiting[transfer] = token
            return
        self._begin(folder, token, offer, request)

    def _has_room(self, offer: Offer, asked: FootageRequest) -> bool:
        """Whether its request may bring this one too; each reason against it is said once for a request."""
        try:
            self._quota.make_room(offer, self._pulls)
        except Refused as e:
            if (offer.request, str(e)) not in self._told_full:
                self._told_full.add((offer.request, str(e)))
                log.warning("Not every answer to request %s (case %s) is taken: %s.", asked.id, asked.case_number, e)
            return False
        return True

    def _withdraw_again(self, request_hash: str) -> None:
        """Who offers what was taken back has not heard of it: say it again, at most once a minute."""
        now_ns = time.monotonic_ns()
        taken_back = self._identity.withdrawn(request_hash)
        if taken_back is None or now_ns < self._withdrawn_until_ns.get(request_hash, 0):
            return
        self._withdrawn_until_ns[request_hash] = now_ns + WITHDRAW_AGAIN_NS
        request, withdrawal = taken_back
        for cell in unverified(Kind.REQUEST, request, FootageRequest).area.cells():
            self._outgoing.put_nowait((request_topic(cell), withdrawal, 1))

    def _asked(self, request_hash: str) -> bool:
        return self._identity.request(request_hash) is not None

    def _on_end(self, transfer: str, token: bytes) -> None:
        pull = self._pulls.get(transfer)
        if pull is None or (pull.puller.phase is Phase.DONE):
            return
        end = read_end(token, pull.offer)
        log.info("transfer %s ended: %s", transfer, end.reason)
        pull.folder.write(names.END, token)
        self._drop(transfer)
        pull.folder.remove(names.PARTIAL)
        self._report(pull, Stage.STOPPED)

    # -- pulls

    def _begin(self, folder: TransferFolder, token: bytes, offer: Offer, request: bytes) -> None:
        self._check_disk(folder, offer)
        self._quota.take(folder, offer)
        folder.make()
        folder.write(names.REQUEST, request)
        folder.write(names.REQUESTER, self._identity.statement)
        folder.write(names.OFFER, token)
        now_ns = time.monotonic_ns()
        puller = Puller(offer, seq=time.time_ns() // 1_000_000)
        partial = PartialBundle(folder, offer.size)
        pull = _Pull(folder, token, offer, puller, partial, parse_time(offer.expires), now_ns, now_ns)
        self._pulls[offer.transfer] = pull
        self._report(pull, Stage.RECEIVING)

    def _check_disk(self, folder: TransferFolder, offer: Offer) -> None:
        """Before anything of it is there: room for this transfer and for the rest of those begun."""
        try:
            self._out.mkdir(mode=0o700, parents=True, exist_ok=True)
            free = shutil.disk_usage(self._out).free
        except OSError as e:
            raise Unavailable(f"the folder {self._out} cannot be made: {e.strerror}") from e
        begun = sum(_ROOM_FACTOR * p.offer.size - p.puller.received_bytes for p in self._pulls.values())
        if free - begun < _ROOM_FACTOR * offer.size:
            raise Unavailable(
                f"{folder.path} needs up to {_ROOM_FACTOR * offer.size:,} bytes, the disk has {free:,} left and others "
                f"being received may need {begun:,} of it; make room"
            )

    def _take_up_folders(self) -> None:
        """Go on with what an earlier run began."""
        for path in sorted(self._out.glob(f"*/{names.OFFER}")) if self._out.is_dir() else []:
            folder = TransferFolder(path.parent)
            if folder.complete or folder.ended:
                folder.remove(names.PARTIAL)  # that run ended between its last two steps
            if not folder.has(names.PARTIAL):
                continue
            try:
                token = folder.read(names.OFFER)
                self._on_offer(read_offer(token).transfer, token)
            except (Refused, Corrupt, Unavailable) as e:
                log.warning("%s is not taken up again: %s", folder.path, e)

    def _advance(self, transfer: str, pull: _Pull, now_ns: int, tasks: asyncio.TaskGroup) -> None:
        if pull.task is not None:
            if not pull.task.done():
                return
            pull.task = None
            pull.last_news_ns = now_ns
        if pull.puller.phase is Phase.CHECKING:
            pull.task = tasks.create_task(self._look_through(transfer, pull))
        elif pull.puller.phase is Phase.DONE:
            pull.task = tasks.create_task(self._open(transfer, pull))
        elif time.time_ns() >= pull.expires_ns:
            self._fail(transfer, pull, Check("in time", names.OFFER, False, "the offer expired before all had come"))
        elif self._session.state is SessionState.CONNECTED:
            if now_ns - pull.last_news_ns > (HURRIED_IDLE_NS if self._waiting else IDLE_NS):
                self._set_aside(transfer, pull, "nothing comes any more")
                return
            if self._waiting and now_ns - pull.began_ns > TURN_NS:
                self._waiting[transfer] = pull.token
                self._set_aside(transfer, pull, "others wait, and it has had its turn")
                return
            for get in pull.puller.next_gets(now_ns):
                self._outgoing.put_nowait((self._topic(transfer, "get"), get, 0))

    async def _look_through(self, transfer: str, pull: _Pull) -> None:
        """Which blocks the disk holds already; a disk is believed only after hashing."""

        def held() -> list[int]:
            return list(pull.puller.leftovers(lambda _, offset, length: pull.partial.read(offset, length), ""))

        try:
            pull.puller.resume([] if pull.partial.fresh else await asyncio.to_thread(held))
        except Unavailable as e:
            self._fail(transfer, pull, Check("disk", names.PARTIAL, False, str(e)))
            return
        self._report(pull, Stage.RECEIVING)
        self._session.wake()

    async def _open(self, transfer: str, pull: _Pull) -> None:
        self._report(pull, Stage.OPENING)
        try:
            found = await asyncio.to_thread(open_bundle, pull.folder, self._identity, time.time_ns())
        except (Unavailable, Corrupt, Refused) as e:
            self._fail(transfer, pull, Check("disk", names.PARTIAL, False, str(e)))
            return
        if found.failed is not None:
            self._given_up.add(transfer)
            self._fail(transfer, pull, found.failed)
            return
        self._drop(transfer)
        self._outgoing.put_nowait((self._topic(transfer, "receipt"), pull.folder.read(names.RECEIPT), 1))
        self._report(pull, Stage.VERIFIED)

    def _fail(self, transfer: str, pull: _Pull, failed: Check) -> None:
        self._drop(transfer)
        self._report(pull, Stage.FAILED, failed)

    def _set_aside(self, transfer: str, pull: _Pull, why: str) -> None:
        """Not received for now. Of an offer with nothing behind it nothing stays."""
        log.info("transfer %s is set aside: %s", transfer, why)
        self._drop(transfer)
        if pull.folder.begun_bytes == 0:
            self._quota.remove(pull.offer.request, transfer)

    def _drop(self, transfer: str) -> None:
        pull = self._pulls.pop(transfer)
        if pull.task is not None and pull.task is not asyncio.current_task():
            pull.task.cancel()
        pull.partial.close()

    # -- what goes out

    async def _send(self) -> None:
        """One message after the other; what the broker does not take is asked for again anyway."""
        while True:
            topic, payload, qos = await self._outgoing.get()
            try:
                await self._session.publish(topic, payload, qos=qos)
            except Unavailable as e:
                log.info("%s", e)
            finally:
                self._outgoing.task_done()

    def _topic(self, transfer: str, what: str) -> str:
        return transfer_topic(self._identity.said.id, transfer, what)

    def _report(self, pull: _Pull, stage: Stage, failed: Check | None = None) -> None:
        received, total = pull.puller.received_bytes, pull.offer.size
        self._tell(Progress(pull.offer.transfer, pull.folder.path, stage, received, total, failed))
