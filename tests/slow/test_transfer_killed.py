"""SIGKILL of doorbell, requester and broker at every step of a transfer: whole and byte-exact, or a named state.

And nothing reaches anybody else: not one message but to who asked, and a second requester, trusted like the first and
listening to everything at the broker, opens nothing. The table of outcomes is in docs/design/faults.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.core import statements
from agent.core.bundle import read_offer
from agent.core.errors import Corrupt
from agent.core.release import Decision, open_release
from agent.core.statements import Kind
from agent.core.topics import read_transfer_topic
from agent.requester import folder as names
from agent.requester.key_file import RequesterIdentity, create
from agent.requester.opening import verify_folder
from agent.store.database import connect
from agent.store.ledger import Ledger
from tests.slow.conftest import doorward_json, needed
from tests.slow.doorbells import Neighbourhood
from tests.slow.stage import VICTIMS, Outcome, Scene, Stage, films, recorded
from tests.slow.steps import DOORBELL_STEPS, REQUESTER_STEPS, STOP_STEPS

pytestmark = pytest.mark.slow

STAGES = 4
ASKERS = 4
ALL_S = 150
SCENES = [Scene(step, victim) for step in DOORBELL_STEPS + REQUESTER_STEPS for victim in VICTIMS] + [
    Scene(step, victim, stop=True) for step in STOP_STEPS for victim in VICTIMS
]


@pytest.fixture(scope="module")
def opening(tmp_path_factory: pytest.TempPathFactory, scene: Path) -> Neighbourhood:
    """A paired doorbell that has recorded two visits."""
    needed("mosquitto")
    return recorded(tmp_path_factory.mktemp("opening"), scene)


def new_requester(path: Path) -> RequesterIdentity:
    return create(path, "Springfield Police", os.urandom(64), time.time_ns())


@contextlib.contextmanager
def listening(stage: Stage, identity: RequesterIdentity) -> Iterator[Path]:
    """Somebody receives with `identity` at the stage's broker meanwhile; where what it gets would be."""
    out = stage.root / "somebody-else"
    command = [sys.executable, "-m", "agent", "requester", "receive", "--identity", str(identity.path)]
    process = subprocess.Popen(
        [*command, "--broker", stage.wire.url, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield out
        assert process.poll() is None, "the other requester ended by itself"
    finally:
        process.kill()
        process.wait()


async def performed(stage: Stage, scenes: list[Scene]) -> None:
    """A transfer in which nobody is killed, then the scenes, one after the other."""
    async with stage.set_up():
        with listening(stage, stage.requesters[-1]) as out:
            for number, scene in enumerate([None, *scenes]):
                await stage.perform(scene, number)
            assert not out.exists(), "another requester received something"


def judge(outcome: Outcome, whole: list[str]) -> None:
    """Whole, or stopped with nothing left of it, and the doorbell knows which."""
    folder = outcome.folder
    if outcome.scene is not None and outcome.scene.stop:
        assert outcome.state == "stopped", outcome
        assert folder.files() == [names.END, names.OFFER, names.REQUEST, names.REQUESTER], outcome
        return
    assert outcome.state == "delivered", outcome
    found = verify_folder(folder)
    assert found.verified, (outcome, found.failed)
    assert films(folder) == whole, outcome


def nobody_else_has_anything(stage: Stage) -> None:
    """Every message of a transfer is for who asked, and another requester's key opens no release among them."""
    listener = stage.requesters[-1]
    said = stage.wire.messages
    bundles: dict[str, dict[int, int]] = {}  # transfer → block → the first message that was it
    offers: dict[str, bytes] = {}
    for number, (topic, payload) in enumerate(said):
        read = read_transfer_topic(topic)
        if read is None:
            assert topic.startswith("area/v1/7/"), topic
            continue
        if read.what == "offer":
            offers.setdefault(read.transfer, payload)
            assert offers[read.transfer] == payload, "a transfer has one offer"
        offer = read_offer(offers[read.transfer])
        assert read.requester == offer.requester != listener.said.id
        if read.what == "block":
            there = bundles.setdefault(read.transfer, {})
            first = there.setdefault(read.block, number)
            assert first == number or said.payload(first) == payload, "a block is always the same bytes"
    assert len(bundles) == len(stage.outcomes)
    for transfer, blocks in bundles.items():
        offer = read_offer(offers[transfer])
        if len(blocks) < len(offer.pages) + offer.blocks:
            continue  # stopped
        content = b"".join(said.payload(blocks[n]) for n in range(len(offer.pages), len(offer.pages) + offer.blocks))
        parts = {name: content[at : at + length] for name, length in offer.parts for at, _ in [offer.place(name)]}
        decision = statements.unverified(Kind.DECISION, parts["decision.jws"], Decision)
        assert decision.requester == offer.requester
        for k, clip in enumerate(decision.clips):
            with pytest.raises(Corrupt):
                open_release(parts["decision.jws"], clip, parts[f"clips/{k}/release"], listener.keys.opens)


def entered_once(stage: Stage) -> None:
    """The chain has one receipt for each transfer that was delivered, one stop for each that was stopped."""
    with contextlib.closing(connect(stage.state / "doorward.db", read_only=True)) as db:
        entries = [entry.what for entry in Ledger(db).entries()]
    for what, state in (("receipt", "delivered"), ("stopped-sharing", "stopped")):
        assert entries.count(what) == sum(outcome.state == state for outcome in stage.outcomes)


async def test_killed_at_every_step(tmp_path: Path, opening: Neighbourhood) -> None:
    stages = []
    for number in range(STAGES):
        askers = [new_requester(tmp_path / f"asker-{number}-{n}") for n in range(ASKERS + 1)]
        stages.append((Stage(tmp_path / f"stage{number}", opening, askers), SCENES[number::STAGES]))
    async with asyncio.timeout(ALL_S), asyncio.TaskGroup() as group:
        for stage, scenes in stages:
            group.create_task(performed(stage, scenes))
    outcomes = [outcome for stage, _ in stages for outcome in stage.outcomes]
    assert {outcome.scene for outcome in outcomes} == {None, *SCENES}
    whole = films(outcomes[0].folder)
    assert len(whole) == 2
    for outcome in outcomes:
        judge(outcome, whole)
    for stage, _ in stages:
        nobody_else_has_anything(stage)
        entered_once(stage)
        config = ("--config", stage.root / "doorward.toml", "--state", stage.state)
        checked = doorward_json(*config, "check")
        assert (checked["ok"], checked["findings"]) == (True, [])
        assert doorward_json(*config, "audit", "verify")["intact"] is True
