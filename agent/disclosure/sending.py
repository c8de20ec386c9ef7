"""Serves agreed transfers: offers them when the undo window is over, answers gets from the ring, takes the receipt.

Keeps no state of who has what. A transfer that is stopped is dropped in the same breath as the stop is committed: no
block leaves after it. Source: docs/spec/transfer.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core import bundle, identity, statements
from agent.core.bundle import Bundle, End, Part, Stretch
from agent.core.consent import Event, State
from agent.core.encoding import b64u, format_time, from_b64u, parse_time
from agent.core.errors import BadInput, Corrupt, DoorwardError, NotThere, Refused, Unavailable
from agent.core.frame import Track
from agent.core.release import Decision, read_decision
from agent.core.statements import Kind
from agent.core.timeline import DoorbellTime, left_ns
from agent.core.transfer import Server
from agent.core.uplink import Uplink
from agent.disclosure.bulletin import Bulletin
from agent.store.clips import ClipStore
from agent.store.ledger import Ledger, RequestRow, TransferRow
from agent.store.ring import ClipReader, Ring
from agent.store.state import device_id

log = logging.getLogger(__name__)

FIRST_OFFER_WAIT_S = 2.0
LAST_OFFER_WAIT_S = 60.0
QUIET_S = 10.0  # a requester that asks no more for so long may have lost the last of it, or its receipt was lost
_NOTE_EVERY_BYTES = 4 * 1024 * 1024
_DISK_WAIT_S = 15.0
_IDLE_S = 1.0

Publish = Callable[[str, bytes, int], Awaitable[bool]]
Topics = Callable[[list[str]], Awaitable[None]]


@dataclass(slots=True)
class _Live:
    """One transfer that is being sent. `next_offer_s` on the loop's clock."""

    request: RequestRow
    transfer: TransferRow
    offer: bytes
    server: Server
    next_offer_s: float
    wait_s: float = FIRST_OFFER_WAIT_S
    sent_bytes: int = 0
    noted_bytes: int = 0

    @property
    def prefix(self) -> str:
        """`x/R/T`."""
        return f"x/{self.request.requester}/{self.transfer.id}"


class Sending:
    """All transfers of one doorbell. `publish(topic, payload, qos)` is False while the broker is away.

    `subscribe(topics)` replaces what was listened to for transfers before. `uplink` limits the blocks of all transfers
    together; None: as fast as they go.
    """

    def __init__(
        self,
        ledger: Ledger,
        clips: ClipStore,
        device: Ed25519PrivateKey,
        publish: Publish,
        subscribe: Topics,
        bulletin: Bulletin,
        time: DoorbellTime,
        uplink: Uplink | None = None,
    ) -> None:
        self._ledger = ledger
        self._clips = clips
        self._device = device
        self._publish = publish
        self._subscribe = subscribe
        self._bulletin = bulletin
        self._time = time
        self._uplink = uplink
        self._live: dict[str, _Live] = {}
        self._wake = asyncio.Event()

    def look_again(self) -> None:
        """Drop at once what is not to be sent any more; begin soon what may be."""
        ended = [v for v in self._live.values() if self._ledger.request(v.request.id).state is not State.SENDING]
        for live in ended:
            self._drop(live)
        self._wake.set()
        self._note_ended(ended)

    def on_connected(self) -> None:
        """The broker is there, or there again: what was on its way is lost, so everything is offered anew."""
        now_s = asyncio.get_running_loop().time()
        for live in self._live.values():
            live.next_offer_s, live.wait_s = now_s, FIRST_OFFER_WAIT_S
        self._wake.set()

    def sent_bytes(self, request: str) -> int | None:
        """Bytes of blocks handed over for a live transfer."""
        return next((live.sent_bytes for live in self._live.values() if live.request.id == request), None)

    async def run(self) -> None:
        """Until cancelled. Transfers a former process began go on where the requester wants them to."""
        for row in self._ledger.in_state(State.SENDING):
            await self._revive(row)
        await self._listen()
        while True:
            self._wake.clear()
            try:
                pause_s = await self._work()
            except Unavailable as e:
                log.error("nothing can be sent now: %s", e)
                pause_s = _DISK_WAIT_S
            try:
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _work(self) -> float:
        """What is due now; how long until something else is, in seconds."""
        if not self._time.known():  # something that has expired could be sent
            return _IDLE_S
        self._expire()
        await self._begin_due()
        await self._offer_due()
        await self._send_waiting()
        return self._pause_s()

    def close(self) -> None:
        """Note what was sent: the process is about to end."""
        ended = list(self._live.values())
        for live in ended:
            self._drop(live)
        self._note_ended(ended)

    def _note_ended(self, ended: list[_Live]) -> None:
        """Keep how much of them was sent. A disk that takes it not must not undo that they ended."""
        for live in ended:
            try:
                self._note(live)
            except Unavailable as e:
                log.error("how much of a transfer was sent could not be kept: %s", e)

    # -- from the wire

    async def on_get(self, transfer: str, payload: bytes) -> None:
        """A requester asks for blocks. What is no get is ignored: only its own transfer could be hurt by it."""
        live = self._live.get(transfer)
        if live is None:
            await self._tell_ended(transfer)
            return
        try:
            live.server.on_get(payload)
        except Refused as e:
            log.warning("a get for transfer %s was ignored: %s", transfer, e)
            return
        live.next_offer_s, live.wait_s = asyncio.get_running_loop().time() + QUIET_S, QUIET_S
        self._wake.set()

    async def on_receipt(self, transfer: str, payload: bytes) -> None:
        """The requester signed that it has everything."""
        live = self._live.get(transfer)
        if live is None:
            return
        try:
            requester = identity.read_requester_statement(live.request.requester_statement)
            bundle.read_receipt(payload, live.offer, identity.public_key(from_b64u(requester.signs, 32)))
        except (Refused, Corrupt) as e:
            log.warning("a receipt for transfer %s was ignored: %s", transfer, e)
            return
        self._ledger.delivered(live.request.id, live.transfer, payload, live.sent_bytes, self._time.now())
        self._drop(live)
        self._bulletin.tell("requests", live.request.id)
        await self._listen()

    # -- what time brings

    def _pause_s(self) -> float:
        now_s = asyncio.get_running_loop().time()
        undo = [self._window_left_s(row) for row in self._ledger.in_state(State.AGREED)]
        waits = [_IDLE_S, *undo, *(v.next_offer_s - now_s for v in self._live.values())]
        if any(live.server.waiting for live in self._live.values()):
            waits.append(self._uplink_wait_s())
        return max(0.0, min(waits))

    def _expire(self) -> None:
        now = self._time.now()
        for row in self._ledger.in_state(State.ASKED, State.HELD):
            limit = row.expires_ns if row.state is State.ASKED else self._decision_ends(row)
            if now >= limit:
                self._ledger.move(row.id, Event.EXPIRE, now, "expired")
                self._bulletin.tell("requests", row.id)
        for row in self._ledger.in_state(State.AGREED):
            if now >= self._decision_ends(row):
                self._ledger.end_sending(row.id, Event.EXPIRE, 0, now)
                self._bulletin.tell("requests", row.id)
        for live in list(self._live.values()):
            if now >= self._decision_ends(live.request):
                self._ledger.end_sending(live.request.id, Event.EXPIRE, live.sent_bytes, now)
                self._drop(live)
                self._bulletin.tell("requests", live.request.id)

    def _decision_ends(self, row: RequestRow) -> int:
        assert row.decision is not None, "only an agreed request has a decision to end"
        return parse_time(statements.unverified(Kind.DECISION, row.decision, Decision).expires)

    async def _begin_due(self) -> None:
        for row in self._ledger.in_state(State.AGREED):
            if self._window_left_s(row) <= 0:
                await self._begin(row)

    def _window_left_s(self, row: RequestRow) -> float:
        return left_ns(row.undo_until, self._time) / 1e9

    async def _begin(self, row: RequestRow) -> None:
        transfer = self._ledger.transfer(row.id)
        assert transfer is not None, "an agreed request has its transfer"
        try:
            clocks = self._clocks(transfer)
            content, pages = await self._lay_out(transfer, clocks)
            owner = self._deciding_key(transfer.decision)
        except (BadInput, Corrupt, Refused, Unavailable) as e:
            if self._still_stands(row, transfer):
                self._give_up(row, 0, e)
            return
        now = self._time.now()
        if not self._still_stands(row, transfer) or now >= self._decision_ends(row):
            return
        offer = bundle.offer(
            content,
            pages,
            transfer=transfer.id,
            request=row.hash,
            requester=row.requester,
            decision=b64u(statements.digest(transfer.decision)),
            owner=owner,
            issued_ns=now,
            expires_ns=self._decision_ends(row),
            key=self._device,
        )
        row = self._ledger.begin_sending(row.id, transfer.id, offer, clocks, content.size, now)
        await self._take_up(row, transfer, offer, Server(content, pages))

    def _still_stands(self, row: RequestRow, transfer: TransferRow) -> bool:
        """Whether nobody changed their mind while the bytes were read; a card takes its time for them."""
        now, still = self._ledger.request(row.id), self._ledger.transfer(row.id)
        same_window = (now.undo_until_ns, now.undo_boot_ns) == (row.undo_until_ns, row.undo_boot_ns)
        return now.state is row.state and same_window and still is not None and still.id == transfer.id

    def _give_up(self, row: RequestRow, sent_bytes: int, error: DoorwardError) -> None:
        log.error("request %s cannot be sent and is stopped: %s", row.id, error)
        self._ledger.end_sending(row.id, Event.STOP, sent_bytes, self._time.now())
        self._bulletin.tell("requests", row.id)

    def _deciding_key(self, decision: bytes) -> bytes:
        """The raw key of the owner who decided, if that phone is still an owner's."""
        current = self._ledger.owners()
        assert current is not None, "nobody can have decided without an owner set"
        deciders = identity.read_owner_set(current, device_id(self._device)).deciders()
        read_decision(decision, deciders)
        return statements.raw_public(deciders[statements.signer(Kind.DECISION, decision)])

    async def _revive(self, row: RequestRow) -> None:
        transfer = self._ledger.transfer(row.id)
        assert transfer is not None, "a request being sent has its transfer"
        assert transfer.offer is not None, "a request being sent has its offer"
        try:
            content, pages = await self._lay_out(transfer, transfer.clocks)
        except (BadInput, Corrupt, Unavailable) as e:
            if self._still_stands(row, transfer):
                self._give_up(row, transfer.sent_bytes, e)
            return
        if self._still_stands(row, transfer):
            await self._take_up(row, transfer, transfer.offer, Server(content, pages))

    def _clocks(self, transfer: TransferRow) -> dict[int, str]:
        """What is known now of the clocks of those shared clips that were recorded before theirs was set."""
        decision = statements.unverified(Kind.DECISION, transfer.decision, Decision)
        found = {}
        for k, shared in enumerate(decision.clips):
            row = self._clips.index.by_id(shared.clip)
            statement = self._clips.index.clock_statement(row.boot) if row is not None and row.boot else None
            if statement is not None:
                found[k] = statement.decode()
        return found

    async def _lay_out(self, transfer: TransferRow, clocks: dict[int, str]) -> tuple[Bundle, tuple[bytes, ...]]:
        """The bundle and its digest pages; every shared byte is read once, in a thread."""
        decision = statements.unverified(Kind.DECISION, transfer.decision, Decision)
        paths = []
        for shared in decision.clips:
            row = self._clips.index.by_id(shared.clip)
            if row is None:
                raise NotThere(f"there is no clip '{shared.clip}' here any more")
            paths.append(row.sequence)
        return await asyncio.to_thread(self._read_out, transfer, decision, paths, clocks)

    def _read_out(
        self, transfer: TransferRow, decision: Decision, sequences: list[int], clocks: dict[int, str]
    ) -> tuple[Bundle, tuple[bytes, ...]]:
        parts = [Part("decision.jws", (transfer.decision,))]
        for k, (shared, release) in enumerate(zip(decision.clips, transfer.releases, strict=True)):
            file = self._clips.ring.layout(sequences[k])
            if file.manifest is None:
                raise Corrupt(f"{file.path} has no manifest")
            parts.append(Part(f"clips/{k}/header.json", (file.header,)))
            parts.append(Part(f"clips/{k}/manifest.jws", (file.manifest,)))
            if k in clocks:
                parts.append(Part(f"clips/{k}/clock.jws", (clocks[k].encode(),)))
            parts.append(Part(f"clips/{k}/release", (release,)))
            for span in shared.tracks:
                records = file.track(Track[span.track.upper()])
                stretches = tuple(
                    Stretch(str(sequences[k]), records[i].offset, records[i].length) for i in span.indexes
                )
                parts.append(Part(f"clips/{k}/{span.track}.records", stretches))
        content = Bundle(parts)
        with Readers(self._clips.ring) as readers:
            return content, content.pages(readers.read)

    async def _take_up(self, row: RequestRow, transfer: TransferRow, offer: bytes, server: Server) -> None:
        now_s = asyncio.get_running_loop().time()
        self._live[transfer.id] = _Live(row, transfer, offer, server, now_s, sent_bytes=transfer.sent_bytes)
        await self._listen()
        self._bulletin.tell("requests", row.id)

    async def _offer_due(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for live in list(self._live.values()):
            if live.next_offer_s > now_s:
                continue
            # Set before the await: a broker that comes back meanwhile makes it sooner.
            live.next_offer_s = now_s + live.wait_s
            live.wait_s = min(2 * live.wait_s, LAST_OFFER_WAIT_S)
            if not await self._publish(f"{live.prefix}/offer", live.offer, 1):
                return  # the broker is away; `on_connected` says when it is back

    # -- blocks

    async def _send_waiting(self) -> None:
        """One block of each transfer in turn, until nothing is asked for, the uplink is used up or a second is over."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + _IDLE_S
        with Readers(self._clips.ring) as readers:
            while waiting := [live for live in self._live.values() if live.server.waiting]:
                for live in waiting:
                    if self._uplink_wait_s() > 0 or loop.time() >= until_s:
                        return
                    await self._send_next(live, readers)

    def _uplink_wait_s(self) -> float:
        return self._uplink.wait_ns(self._time.boot_ns()) / 1e9 if self._uplink else 0.0

    async def _send_next(self, live: _Live, readers: Readers) -> None:
        n = live.server.next_block()
        if n is None or live.transfer.id not in self._live:
            return  # stopped since: nothing more leaves
        try:
            payload = live.server.payload(n, readers.read)
        except (Corrupt, Unavailable) as e:
            self._drop(live)
            self._give_up(live.request, live.sent_bytes, e)
            return
        if not await self._publish(f"{live.prefix}/block/{n}", payload, 0):
            live.server.forget()  # the broker is away; the requester asks again when it is back
            return
        if self._uplink:
            self._uplink.sent(len(payload), self._time.boot_ns())
        live.sent_bytes += len(payload)
        if live.sent_bytes - live.noted_bytes >= _NOTE_EVERY_BYTES:
            self._note(live)
            self._bulletin.tell("requests", live.request.id)

    def _note(self, live: _Live) -> None:
        live.noted_bytes = live.sent_bytes
        self._ledger.note_sent(live.transfer.id, live.sent_bytes)

    def _drop(self, live: _Live) -> None:
        self._live.pop(live.transfer.id, None)
        live.server.forget()

    async def _listen(self) -> None:
        """To what is being sent, and to whoever still asks for what has ended: they are told so."""
        topics = [f"{live.prefix}/{what}" for live in self._live.values() for what in ("get", "receipt")]
        now = self._time.now()
        for row in self._ledger.in_state(State.STOPPED, State.WITHDRAWN):
            transfer = self._ledger.transfer(row.id)
            if transfer is not None and transfer.offer is not None and now < self._decision_ends(row):
                topics.append(f"x/{row.requester}/{transfer.id}/get")
        await self._subscribe(topics)

    async def _tell_ended(self, transfer: str) -> None:
        """Say why a transfer that was offered goes no further; of any other nothing is said."""
        found = self._ledger.ended_transfer(transfer)
        if found is None:
            return
        request, reason = found
        said = End(transfer, request.hash, reason, format_time(self._time.now()))
        end = statements.sign(Kind.END, said, self._device)
        await self._publish(f"x/{request.requester}/{transfer}/end", end, 1)


class Readers:
    """Clip files opened once while blocks are read from them."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._open: dict[str, ClipReader] = {}

    def read(self, source: str, offset: int, length: int) -> bytes:
        """`length` bytes at `offset` of the clip with the sequence number `source`."""
        reader = self._open.get(source)
        if reader is None:
            reader = self._open[source] = ClipReader(self._ring.path(int(source)))
        return reader.read(offset, length)

    def __enter__(self) -> Readers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reader in self._open.values():
            reader.close()
        self._open.clear()
