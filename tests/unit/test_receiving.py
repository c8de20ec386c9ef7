"""The requester's shell over a real broker: several transfers at once, cut and taken up, ended, forged, doubled."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.adapters.broker import BrokerAddress, BrokerSession
from agent.adapters.embedded_broker import EmbeddedBroker
from agent.core import statements
from agent.core.bundle import End, Offer, read_receipt
from agent.core.encoding import b64u, new_id
from agent.core.statements import Kind
from agent.requester import quota as quota_module
from agent.requester import receiving as receiving_module
from agent.requester.folder import TransferFolder
from agent.requester.key_file import RequesterIdentity
from agent.requester.opening import verify_folder
from agent.requester.receiving import Progress, Receiver, Stage
from tests.answered import Answered, answer
from tests.home import serving


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedBroker() as running:
        yield running


class Reception:
    """A receiver at work, and what it told."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.news: list[Progress] = []
        self._arrived = asyncio.Event()

    def take(self, news: Progress) -> None:
        self.news.append(news)
        self._arrived.set()

    async def until(self, condition: Callable[[Progress], bool]) -> Progress:
        async with asyncio.timeout(20):
            while True:
                for news in self.news:
                    if condition(news):
                        return news
                self._arrived.clear()
                await self._arrived.wait()

    async def stage(self, stage: Stage, transfer: str | None = None) -> Progress:
        return await self.until(lambda n: n.stage is stage and transfer in (None, n.transfer))


@contextlib.asynccontextmanager
async def receiving(url: str, identity: RequesterIdentity, out: Path) -> AsyncIterator[Reception]:
    reception = Reception()
    async with BrokerSession(BrokerAddress.parse(url)) as session:
        task = asyncio.create_task(Receiver(identity, session, out, reception.take).run(reception.stop))
        try:
            yield reception
        finally:
            reception.stop.set()
            await asyncio.wait_for(task, 10)


async def test_two_transfers_at_once_arrive_verified_and_receipted(broker: EmbeddedBroker, tmp_path: Path) -> None:
    first = answer(tmp_path, clips=2, packet_bytes=20_000)
    second = answer(tmp_path, identity=first.identity, seconds=20, packet_bytes=30_000)
    async with (
        receiving(broker.url, first.identity, tmp_path / "out") as reception,
        serving(broker.url, first) as one,
        serving(broker.url, second) as two,
    ):
        for home in (one, two):
            done = await reception.stage(Stage.VERIFIED, home.answered.transfer)
            assert done.received_bytes == done.total_bytes == home.answered.bundle.size
            assert verify_folder(TransferFolder(done.folder)).verified
            await asyncio.wait_for(home.receipt_came.wait(), 5)
            keys = {first.identity.said.id: first.identity.keys.signs.public_key()}
            read_receipt(home.receipts[0], home.answered.offer_token, keys)
            assert sorted(home.sent) == list(range(home.answered.bundle.blocks + 1))


async def test_an_offer_that_comes_while_enough_is_received_is_taken_up_later(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving_module, "MAX_PULLS", 1)
    first = answer(tmp_path)
    more = [answer(tmp_path, identity=first.identity) for _ in range(2)]
    async with contextlib.AsyncExitStack() as stack:
        reception = await stack.enter_async_context(receiving(broker.url, first.identity, tmp_path / "out"))
        for answered in (first, *more):
            home = await stack.enter_async_context(serving(broker.url, answered))
            await asyncio.sleep(0)
            home.offer_every_s = 3600  # said once, as far as this test goes
        for answered in (first, *more):
            await reception.stage(Stage.VERIFIED, answered.transfer)


async def test_what_a_former_run_received_is_not_sent_again(broker: EmbeddedBroker, tmp_path: Path) -> None:
    answered = answer(tmp_path, seconds=20, packet_bytes=60_000)
    async with serving(broker.url, answered, pause_s=0.005) as home:
        async with receiving(broker.url, answered.identity, tmp_path / "out") as reception:
            cut = await reception.until(lambda n: n.received_bytes > answered.bundle.size / 2)
            assert cut.stage is Stage.RECEIVING
        had = max(n.received_bytes for n in reception.news)
        async with receiving(broker.url, answered.identity, tmp_path / "out") as reception:
            done = await reception.stage(Stage.VERIFIED)
        assert verify_folder(TransferFolder(done.folder)).verified
        assert len(home.sent) - len(set(home.sent)) <= 30  # the page, and what was under way: few, they took long
        assert next(n.received_bytes for n in reception.news if n.received_bytes) >= had


async def test_a_broker_that_restarts_costs_only_what_was_under_way(tmp_path: Path) -> None:
    answered = answer(tmp_path, seconds=20, packet_bytes=60_000)
    async with contextlib.AsyncExitStack() as stack:
        broker = await EmbeddedBroker().__aenter__()
        home = await stack.enter_async_context(serving(broker.url, answered, pause_s=0.005))
        reception = await stack.enter_async_context(receiving(broker.url, answered.identity, tmp_path / "out"))
        await reception.until(lambda n: n.received_bytes > answered.bundle.size / 3)
        await broker.__aexit__(None, None, None)
        async with EmbeddedBroker(broker.port):
            done = await reception.stage(Stage.VERIFIED)
            assert verify_folder(TransferFolder(done.folder)).verified
            await asyncio.wait_for(home.receipt_came.wait(), 10)
            await stack.aclose()


async def test_a_folder_taken_away_meanwhile_fails_its_transfer_alone(broker: EmbeddedBroker, tmp_path: Path) -> None:
    answered = answer(tmp_path, seconds=20, packet_bytes=60_000)
    async with (
        serving(broker.url, answered, pause_s=0.02),
        receiving(broker.url, answered.identity, tmp_path / "out") as reception,
    ):
        shutil.rmtree((await reception.until(lambda n: n.received_bytes > 0)).folder)
        failed = await reception.stage(Stage.FAILED)
        assert failed.failed is not None
        done = await reception.stage(Stage.VERIFIED)  # it is offered again
    assert verify_folder(TransferFolder(done.folder)).verified


async def test_an_end_stops_and_takes_the_partial_bundle_away(broker: EmbeddedBroker, tmp_path: Path) -> None:
    answered = answer(tmp_path, seconds=20, packet_bytes=60_000)
    end = End(answered.transfer, answered.offer.request, "stopped", answered.offer.issued)
    async with (
        serving(broker.url, answered, pause_s=0.02) as home,
        receiving(broker.url, answered.identity, tmp_path / "out") as reception,
    ):
        news = await reception.until(lambda n: n.received_bytes > 0)
        forged = statements.sign(Kind.END, end, Ed25519PrivateKey.generate())
        await home.session.publish(home.topic("end"), forged)
        before = len(reception.news)
        await reception.until(lambda n: n.received_bytes > news.received_bytes + 3 * 65_536)
        assert all(n.stage is Stage.RECEIVING for n in reception.news[before:])
        await home.session.publish(home.topic("end"), statements.sign(Kind.END, end, answered.device))
        stopped = await reception.stage(Stage.STOPPED)
    folder = TransferFolder(stopped.folder)
    assert folder.files() == ["end.jws", "offer.jws", "request.jws", "requester.jws"]
    async with receiving(broker.url, answered.identity, tmp_path / "out") as reception:
        await asyncio.sleep(0.3)
    assert reception.news == []


async def test_a_receipt_that_was_lost_is_sent_again_when_the_offer_comes_again(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    answered = answer(tmp_path)
    async with receiving(broker.url, answered.identity, tmp_path / "out") as reception:
        async with serving(broker.url, answered) as home:
            await asyncio.wait_for(home.receipt_came.wait(), 10)
        async with serving(broker.url, answered) as later:  # the doorbell forgot: its disk was restored, say
            await asyncio.wait_for(later.receipt_came.wait(), 10)
            assert later.sent == []
        assert later.receipts[0] == home.receipts[0]
        assert [n.stage for n in reception.news].count(Stage.VERIFIED) == 1


async def test_offers_that_are_not_for_a_request_of_ours_leave_no_trace(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Bad ones first, a good one last: when that is taken up, the others have been looked at."""
    answered = answer(tmp_path)
    good = {f: getattr(answered.offer, f) for f in Offer.__struct_fields__}
    other = Ed25519PrivateKey.generate()
    bad = [b"", b"x" * 90_000, answered.offer_token[:-10] + b"AAAAAAAAAA"]
    for changes in ({"request": good["decision"]}, {"requester": "A" * 22}, {"transfer": "A" * 22}, {"size": 1}):
        bad.append(statements.sign(Kind.OFFER, Offer(**good | changes), answered.device))
    bad.append(statements.sign(Kind.OFFER, Offer(**good), other))
    bad.append(statements.sign(Kind.OFFER, Offer(**good | {"expires": "2026-01-01T00:00:00Z"}), answered.device))
    async with (
        BrokerSession(BrokerAddress.parse(broker.url)) as stranger,
        receiving(broker.url, answered.identity, tmp_path / "out") as reception,
    ):
        await stranger.connected(5)
        await asyncio.sleep(0.2)
        for n, token in enumerate([*bad, answered.offer_token]):
            transfer = answered.transfer if token == answered.offer_token else b64u(bytes([n] * 16))
            await stranger.publish(f"x/{answered.identity.said.id}/{transfer}/offer", token)
        assert (await reception.stage(Stage.RECEIVING)).transfer == answered.transfer
    assert {n.transfer for n in reception.news} == {answered.transfer}
    assert len(list((tmp_path / "out").iterdir())) == 1


def strangers_offer(answered: Answered) -> tuple[str, bytes]:
    """An answer to the same request by a doorbell nobody has, with no film behind it: (transfer, offer)."""
    good = {f: getattr(answered.offer, f) for f in Offer.__struct_fields__}
    key, transfer = Ed25519PrivateKey.generate(), new_id(secrets.token_bytes(16))
    made_up = Offer(**good | {"transfer": transfer, "device": b64u(statements.raw_public(key))})
    return transfer, statements.sign(Kind.OFFER, made_up, key)


async def test_a_flood_of_empty_offers_leaves_few_folders_and_lets_an_honest_one_through(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever heard the request has made keys by the hundred; an owner's answer comes after them all."""
    monkeypatch.setattr(receiving_module, "HURRIED_IDLE_NS", 50_000_000)
    monkeypatch.setattr(quota_module, "MAX_TRANSFERS", 20)
    answered = answer(tmp_path)
    out = tmp_path / "out"
    async with (
        BrokerSession(BrokerAddress.parse(broker.url)) as stranger,
        receiving(broker.url, answered.identity, out) as reception,
    ):
        await stranger.connected(5)
        await asyncio.sleep(0.2)
        for _ in range(100):
            transfer, token = strangers_offer(answered)
            await stranger.publish(f"x/{answered.identity.said.id}/{transfer}/offer", token)
        async with serving(broker.url, answered):
            await reception.stage(Stage.VERIFIED, answered.transfer)
        assert len(list(out.iterdir())) <= 20
    assert len({n.transfer for n in reception.news}) > 20  # the others were looked at


async def test_an_offer_behind_which_something_trickles_takes_turns_with_the_others(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving_module, "MAX_PULLS", 1)
    monkeypatch.setattr(receiving_module, "TURN_NS", 300_000_000)
    slow = answer(tmp_path, seconds=20, packet_bytes=60_000)
    quick = answer(tmp_path, identity=slow.identity)
    async with (
        receiving(broker.url, slow.identity, tmp_path / "out") as reception,
        serving(broker.url, slow, pause_s=0.1) as trickling,
    ):
        await reception.stage(Stage.RECEIVING, slow.transfer)
        async with serving(broker.url, quick):
            await reception.stage(Stage.VERIFIED, quick.transfer)
        assert not any(n.stage is Stage.VERIFIED for n in reception.news if n.transfer == slow.transfer)
        trickling.pause_s = 0
        await reception.stage(Stage.VERIFIED, slow.transfer)


async def test_who_has_answered_often_enough_is_refused_and_the_requester_told_once(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(quota_module, "MAX_TRANSFERS", 1)
    answered = answer(tmp_path)
    async with (
        BrokerSession(BrokerAddress.parse(broker.url)) as stranger,
        receiving(broker.url, answered.identity, tmp_path / "out") as reception,
    ):
        async with serving(broker.url, answered):
            await reception.stage(Stage.VERIFIED, answered.transfer)
        await stranger.connected(5)
        for _ in range(5):
            transfer, token = strangers_offer(answered)
            await stranger.publish(f"x/{answered.identity.said.id}/{transfer}/offer", token)
        await asyncio.sleep(0.3)
    assert {n.transfer for n in reception.news} == {answered.transfer}
    assert len(list((tmp_path / "out").iterdir())) == 1
    said = [r.getMessage() for r in caplog.records if "Not every answer" in r.getMessage()]
    assert len(said) == 1
    assert "as many as are kept for one request; remove the folders that are of no use, or ask again" in said[0]


async def test_an_offer_the_disk_has_no_room_for_leaves_no_folder(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = answer(tmp_path)
    monkeypatch.setattr(receiving_module, "_ROOM_FACTOR", 10**12)
    async with (
        receiving(broker.url, answered.identity, tmp_path / "out"),
        serving(broker.url, answered),
    ):
        await asyncio.sleep(0.5)
        assert list((tmp_path / "out").iterdir()) == []


async def test_a_bundle_that_does_not_verify_fails_with_the_file_and_without_a_receipt(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """A doorbell that signs for the wrong records: every block is right, what they say is not."""
    answered = answer(tmp_path)
    other = answer(tmp_path, identity=answered.identity)
    good = {f: getattr(answered.offer, f) for f in Offer.__struct_fields__}
    theirs = {f: getattr(other.offer, f) for f in ("pages", "parts", "size")}
    token = statements.sign(Kind.OFFER, Offer(**good | theirs), answered.device)
    lying = Answered(**vars(answered) | {"bundle": other.bundle, "pages": other.pages, "offer_token": token})
    async with (
        serving(broker.url, lying) as home,
        receiving(broker.url, answered.identity, tmp_path / "out") as reception,
    ):
        failed = await reception.stage(Stage.FAILED)
        await asyncio.sleep(0.5)
        assert home.receipts == []
    assert failed.failed is not None
    assert not TransferFolder(failed.folder).has("receipt.jws")
    assert TransferFolder(failed.folder).has("report.html")
