"""Both ends as they are, shells, database and disk, over a simulated broker: whatever happens, it ends, and rightly.

The doorbell's BrokerTalk, Intake and Sending on a real ledger and ring; the requester's Receiver on a real folder. Only
the broker and the time are simulated (tests/simulated.py). Messages are lost, doubled and overtake each other; at any
moment doorbell, requester or broker restart, the owner stops, or the requester takes its request back.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import broker_talk
from agent.adapters.broker import BrokerAddress
from agent.broker_talk import BrokerTalk
from agent.core.area import cell_of
from agent.core.consent import Event, State
from agent.core.encoding import new_id
from agent.core.errors import Refused
from agent.core.fmp4 import Fragmenter, init_segment, render_fragment
from agent.core.frame import Track
from agent.core.release import build_decision, seal_releases, share_clip, sign_decision
from agent.core.sealing import ClipKeys, header_hash, unwrap_clip_key
from agent.core.timeline import Span, until
from agent.core.topics import read_transfer_topic, request_topic
from agent.core.withdrawal import sign_withdrawal
from agent.disclosure.bulletin import Bulletin
from agent.disclosure.intake import Intake
from agent.disclosure.sending import Sending
from agent.disclosure.trusted import Trusted
from agent.requester import receiving
from agent.requester.folder import TransferFolder
from agent.requester.key_file import RequesterIdentity, create
from agent.requester.opening import verify_folder
from agent.requester.receiving import Receiver
from agent.store.clips import clip_facts
from agent.store.early import Early
from agent.store.ledger import Ledger
from agent.store.recording import Fragment
from tests.answered import SYNTHETIC, synthetic_packets
from tests.household import HOME, NOW, SECOND, HandSet, Household
from tests.simulated import BEGIN_NS, SimulatedBroker, SimulatedLoop, SimulatedTime

pytestmark = pytest.mark.slow

REQUESTS = request_topic(cell_of(*HOME))
UNDO_S = 2
ENDED = (State.DELIVERED, State.STOPPED, State.WITHDRAWN)
AFTERWARDS_S = 300.0
LONG_S = 600.0


def record_film(home: Household) -> int:
    """A clip of twelve seconds whose fragments make a film; its number."""
    clip = home.begin_clip(NOW - 60 * SECOND)
    clip.add_init(Track.VIDEO, init_segment(SYNTHETIC))
    cutter = Fragmenter()
    packets = synthetic_packets(12, 25_000)
    runs = [run for packet in packets for run in cutter.push(packet)] + cutter.flush()
    for n, run in enumerate(runs):
        content = render_fragment(run, SYNTHETIC, runs[0].origin, n + 1)
        clip.add(Track.VIDEO, Fragment(content, run.key, run.start_ns, run.duration_ns))
    clip.close([(SECOND, 2 * SECOND)], [], [])
    return clip.row.sequence


class Play:
    """One request that was agreed to, and everybody who has to do with it."""

    def __init__(self, root: Path, broker: SimulatedBroker) -> None:
        self.broker = broker
        self.clock = SimulatedTime()
        self.identity: RequesterIdentity = create(
            root / "police", "Springfield Police", secrets.token_bytes(64), NOW - SECOND
        )
        self.home = replace(Household.at(root / "home"), requester=self.identity.keys)
        self.time = HandSet(self.clock.time_ns)
        self.out = root / "out"
        self.request = self.agree(record_film(self.home))
        self.sending: Sending | None = None
        self.parts: dict[str, asyncio.Task[None]] = {}

    def agree(self, sequence: int) -> str:
        home = self.home
        row, asked = home.admit(Span(NOW - 900 * SECOND, NOW), NOW)
        self.identity.keep_request(row.statement)
        self.hash = row.hash
        file = home.clips.ring.read(sequence)
        placed = home.clips.index.by_sequence(sequence)
        assert placed is not None
        keys = ClipKeys(unwrap_clip_key(file.header, file.wraps, home.owner.opens), header_hash(file.header))
        part = share_clip(clip_facts(file, placed.begins()), asked.span, sound=False)
        assert part is not None
        decision = build_decision(asked, home.device_id, [part], now_ns=NOW, undo_ns=UNDO_S * SECOND)
        token = sign_decision(decision, home.owner.signs)
        home.ledger.share(
            row.id, token, seal_releases(token, decision, [keys], home.requester.opens_public), owner=home.owner.kid,
            transfer=new_id(secrets.token_bytes(16)), now_ns=NOW, undo_until=until(self.time, NOW + UNDO_S * SECOND),
            clips=[sequence],
        )  # fmt: skip
        return row.id

    @property
    def state(self) -> State:
        return self.home.ledger.request(self.request).state

    def overhear(self, topic: str, payload: bytes) -> None:
        """Nothing leaves before the undo window is over, to anybody else, or after an end; what an end says is why."""
        read = read_transfer_topic(topic)
        if read is None or read.what in ("get", "receipt"):
            return
        assert read.requester == self.identity.said.id
        assert self.clock.monotonic_ns() >= UNDO_S * SECOND
        assert (self.state is State.SENDING) is (read.what in ("offer", "block")), (read.what, self.state)

    # -- the ends

    async def doorbell(self) -> None:
        ledger, bulletin = Ledger(self.home.db), Bulletin()
        talk = BrokerTalk(bulletin)
        sending = Sending(ledger, self.home.clips, self.home.device, talk.publish, talk.listen, bulletin, self.time)
        self.sending = sending
        trusted = Trusted(ledger, [self.identity.statement], None, self.time.now)
        intake = Intake(
            ledger, Early(self.home.db), self.home.clips.index, HOME, trusted, bulletin, self.time,
            lambda *_: 0, sending.look_again, 10**9,
        )  # fmt: skip
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(talk.run(BrokerAddress("simulated", 1883), REQUESTS, intake, sending))
            tasks.create_task(sending.run())

    async def requester(self) -> None:
        async with self.broker.session() as session:
            await Receiver(self.identity, session, self.out, lambda _: None).run(asyncio.Event())  # type: ignore[arg-type]

    async def begin(self, who: str) -> None:
        """Start it, or kill it and start it again."""
        if who in self.parts:
            self.parts[who].cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.parts[who]
        self.parts[who] = asyncio.create_task(getattr(self, who)())

    # -- what happens

    async def happen(self, what: str) -> None:
        if what in ("doorbell", "requester"):
            await self.begin(what)
        elif what == "broker":
            self.broker.restart()
        elif what == "stop":
            assert self.sending is not None
            with contextlib.suppress(Refused):  # over already
                sent = self.sending.sent_bytes(self.request) or 0
                self.home.ledger.end_sending(self.request, Event.STOP, sent, self.time.now())
                self.sending.look_again()
        else:
            withdrawal = sign_withdrawal(self.hash, self.identity.said.id, self.identity.keys.signs, self.time.now())
            self.identity.keep_withdrawal(self.hash, withdrawal)
            self.broker.pass_on(REQUESTS, withdrawal, 1)

    async def until_ended(self) -> None:
        """And a while longer, for whoever has not heard of it."""
        loop = asyncio.get_running_loop()
        while self.state not in ENDED or (self.state is State.DELIVERED and self.evidence() is None):
            assert loop.time() < LONG_S, f"after {LONG_S} s it is {self.state}"
            self.nobody_fell()
            await asyncio.sleep(0.5)
        await asyncio.sleep(AFTERWARDS_S)
        self.nobody_fell()

    def nobody_fell(self) -> None:
        """Both ends are at work; what ended one of them is raised."""
        for task in self.parts.values():
            if task.done():
                task.result()
                raise AssertionError("an end ended by itself")

    def evidence(self) -> TransferFolder | None:
        """The requester's folder, once it is complete."""
        folders = [TransferFolder(path) for path in self.out.iterdir()] if self.out.is_dir() else []
        return next((folder for folder in folders if folder.complete), None)

    def judge(self) -> None:
        """Delivered means that all is there; nothing is half there."""
        evidence = self.evidence()
        assert self.state in ENDED
        assert evidence is not None or self.state is not State.DELIVERED
        if evidence is not None:
            assert verify_folder(evidence).verified
        else:
            assert not list(self.out.glob("*/*.mp4"))
        entries = [entry.what for entry in self.home.ledger.entries()]
        assert entries.count("receipt") == (self.state is State.DELIVERED)


async def play(root: Path, broker: SimulatedBroker, happenings: list[tuple[str, float]]) -> None:
    scene = Play(root, broker)
    broker.seen = scene.overhear
    for who in ("doorbell", "requester"):
        await scene.begin(who)
    await asyncio.sleep(UNDO_S)
    for what, wait_s in happenings:
        await asyncio.sleep(wait_s)
        await scene.happen(what)
    try:
        await scene.until_ended()
    finally:
        for task in scene.parts.values():
            task.cancel()
        await asyncio.wait(scene.parts.values())
    scene.judge()
    scene.home.db.close()


HAPPENINGS = st.tuples(
    st.sampled_from(["doorbell", "doorbell", "requester", "requester", "broker", "broker", "stop", "withdrawal"]),
    st.sampled_from([0.0, 0.01, 0.1, 0.3, 1.0, 12.0]),
)


@given(
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.05, 0.3]),
    double=st.sampled_from([0.0, 0.3]),
    delay_s=st.sampled_from([0.002, 0.03, 0.2]),
    happenings=st.lists(HAPPENINGS, max_size=8),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_it_ends_rightly(
    monkeypatch: pytest.MonkeyPatch, seed: int, loss: float, double: float, delay_s: float,
    happenings: list[tuple[str, float]],
) -> None:  # fmt: skip
    broker = SimulatedBroker(random.Random(seed), loss, double, delay_s)
    monkeypatch.setattr(broker_talk, "BrokerSession", lambda _address: broker.session())
    monkeypatch.setattr(receiving, "time", SimulatedTime())
    assert BEGIN_NS == NOW
    memory = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder,
        asyncio.Runner(loop_factory=SimulatedLoop) as runner,
    ):
        runner.run(play(Path(folder), broker, happenings))
