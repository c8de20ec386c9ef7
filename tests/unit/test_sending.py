"""The doorbell's half of a transfer: nothing before the undo window is over, nothing after a stop, restarts go on."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.core import bundle, statements
from agent.core.boot_clock import BootClock, ClockStretch, sign_clock
from agent.core.bundle import Receipt
from agent.core.consent import Event, State
from agent.core.encoding import b64u, format_time, from_b64u, to_json
from agent.core.release import build_decision, seal_releases, share_clip, sign_decision
from agent.core.sealing import ClipKeys, header_hash, unwrap_clip_key
from agent.core.statements import Kind
from agent.core.timeline import KNOWN_WITHIN_NS, Span, TimeBase, Trust, until
from agent.core.transfer import Get
from agent.core.uplink import Uplink
from agent.disclosure import sending as sending_module
from agent.disclosure.bulletin import Bulletin
from agent.disclosure.sending import Sending
from agent.store.clips import clip_facts
from tests.household import NOW, SECOND, HandSet, Household

UNDO = 30 * SECOND


class Line:
    """A doorbell's sender on a wire that remembers, with a clock the test moves. `up`: whether the broker is there."""

    def __init__(self, home: Household, time: HandSet | None = None, uplink: Uplink | None = None) -> None:
        self.home = home
        self.now = NOW
        self.up = True
        self.tries = 0
        self.time = time or HandSet(lambda: self.now)
        self.sent: list[tuple[str, bytes]] = []
        self.topics: list[str] = []
        self.sending = Sending(
            home.ledger, home.clips, home.device, self._publish, self._subscribe, Bulletin(), self.time, uplink
        )

    async def _publish(self, topic: str, payload: bytes, _qos: int) -> bool:
        self.tries += 1
        if self.up:
            self.sent.append((topic, payload))
        await asyncio.sleep(0)
        return self.up

    async def _subscribe(self, topics: list[str]) -> None:
        self.topics = topics

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.sending.run())
        try:
            yield task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self.sending.close()

    def blocks(self) -> list[tuple[str, bytes]]:
        return [(topic, payload) for topic, payload in self.sent if "/block/" in topic]

    def offers(self) -> list[bytes]:
        return [payload for topic, payload in self.sent if topic.endswith("/offer")]


async def settled(line: Line) -> None:
    """Let the sender's loop come round: many short waits, so that a busy machine gets as many turns as an idle one."""
    line.sending.look_again()
    for _ in range(10):
        await asyncio.sleep(0.02)


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(Household.at(tmp_path))


def agree(line: Line, size: int = 40_000, base: TimeBase | None = None) -> str:
    """A yes to a clip of ten seconds, undo window running; the request's id."""
    home = line.home
    clip = home.record_clip(NOW - 60 * SECOND, size=size, base=base)
    placed = home.clips.index.by_id(clip.id)
    assert placed is not None
    row, asked = home.admit(Span(NOW - 900 * SECOND, NOW))
    file = home.clips.ring.read(clip.sequence)
    keys = ClipKeys(unwrap_clip_key(file.header, file.wraps, home.owner.opens), header_hash(file.header))
    part = share_clip(clip_facts(file, placed.begins()), asked.span, sound=False)
    assert part is not None
    decision = build_decision(asked, home.device_id, [part], now_ns=NOW, undo_ns=UNDO)
    token = sign_decision(decision, home.owner.signs)
    releases = seal_releases(token, decision, [keys], home.requester.opens_public)
    home.ledger.share(
        row.id,
        token,
        releases,
        owner=home.owner.kid,
        transfer=b64u(b"t" * 16),
        now_ns=NOW,
        undo_until=until(line.time, NOW + UNDO),
        clips=[clip.sequence],
    )
    return row.id


async def test_nothing_more_leaves_once_the_requester_took_it_back(line: Line) -> None:
    request = agree(line)
    line.now += UNDO
    async with line.running():
        await settled(line)
        await line.sending.on_get(TRANSFER, get((0, 1), seq=1))
        await settled(line)
        sent = len(line.blocks())
        assert sent > 0
        line.home.ledger.withdraw(request, b"a withdrawal", line.now)
        line.sending.look_again()
        await line.sending.on_get(TRANSFER, get((0, 1), seq=2))
        await settled(line)
        assert len(line.blocks()) == sent
        topic, end = line.sent[-1]
        assert topic.endswith("/end")
        assert statements.unverified(Kind.END, end, bundle.End).reason == "withdrawn"
    transfer = line.home.ledger.transfer(request)
    assert transfer is not None
    assert transfer.sent_bytes == sum(len(payload) for _, payload in line.blocks())


def get(*ranges: tuple[int, int], seq: int) -> bytes:
    return to_json(Get(seq=seq, ranges=list(ranges)))


TRANSFER = b64u(b"t" * 16)


async def test_nothing_is_said_before_the_undo_window_is_over(line: Line) -> None:
    request = agree(line)
    async with line.running():
        await settled(line)
        await line.sending.on_get(TRANSFER, get((0, 3), seq=1))
        line.now += UNDO - 1
        await settled(line)
        assert line.sent == []
        assert line.topics == []
        line.now += 1
        await settled(line)
        (offer,) = line.offers()
        assert bundle.read_offer(offer).transfer == TRANSFER
        assert line.home.ledger.request(request).state is State.SENDING


async def test_a_clock_that_is_set_does_not_cut_the_undo_window_short(line: Line) -> None:
    request = agree(line)
    async with line.running():
        await settled(line)
        line.time.stepped_ns = 3600 * SECOND
        await settled(line)
        assert line.sent == []
        line.now += UNDO // 2
        await settled(line)
        assert line.sent == []
        assert line.home.ledger.undo(request, line.now).state is State.ASKED


async def test_the_undo_window_goes_on_in_a_new_process(line: Line) -> None:
    agree(line)
    line.now += UNDO - 1
    line.time.stepped_ns = 9 * 3600 * SECOND
    again = Line(line.home)
    again.now, again.time.stepped_ns = line.now, line.time.stepped_ns
    async with again.running():
        await settled(again)
        assert again.sent == []
        again.now += 1
        for _ in range(50):  # its bytes are read in a thread, which a busy machine may keep waiting
            await settled(again)
            if again.offers():
                break
        assert len(again.offers()) == 1


async def test_after_a_reboot_the_undo_window_is_rather_too_long(line: Line) -> None:
    agree(line)
    line.time.boot = "the boot after"
    line.now += UNDO + 2 * KNOWN_WITHIN_NS - 1
    async with line.running():
        await settled(line)
        assert line.sent == []
        line.now += 1
        await settled(line)
        assert len(line.offers()) == 1


async def test_without_the_time_nothing_leaves_and_nothing_expires(line: Line) -> None:
    request = agree(line)
    line.now += UNDO
    async with line.running():
        await settled(line)
        await line.sending.on_get(TRANSFER, get((0, 1), seq=1))
        await settled(line)
        sent = len(line.blocks())
        assert sent > 0
    line.time.is_known = False
    line.time.stepped_ns = 30 * 86400 * SECOND
    again = Line(line.home, line.time)
    async with again.running():
        await settled(again)
        await again.sending.on_get(TRANSFER, get((0, 1), seq=2))
        await settled(again)
        assert again.sent == []
        assert again.home.ledger.request(request).state is State.SENDING
        again.time.is_known = True
        await settled(again)
        assert again.blocks() == []
        assert again.home.ledger.request(request).state is State.LAPSED


async def test_a_held_or_undone_yes_says_nothing_ever(line: Line) -> None:
    request = agree(line)
    async with line.running():
        line.home.ledger.move(request, Event.HOLD, line.now, "held")
        line.now += 10 * UNDO
        await settled(line)
        assert line.sent == []
        line.home.ledger.undo(request, line.now)
        line.now += 10 * UNDO
        await settled(line)
        assert line.sent == []


async def test_every_block_comes_from_the_ring_and_the_receipt_ends_it(line: Line) -> None:
    request = agree(line)
    home = line.home
    line.now += UNDO
    async with line.running():
        await settled(line)
        offer = line.offers()[0]
        read = bundle.read_offer(offer)
        total = len(read.pages) + read.blocks
        assert total > 5
        await line.sending.on_get(TRANSFER, get((0, total - 1), seq=1))
        await settled(line)
        assert [topic.rsplit("/", 1)[1] for topic, _ in line.blocks()] == [str(n) for n in range(total)]
        content = b"".join(payload for _, payload in line.blocks()[len(read.pages) :])
        assert len(content) == read.size
        at, length = read.place("decision.jws")
        assert content[at : at + length] == home.ledger.request(request).decision
        await line.sending.on_receipt(TRANSFER, b"not a receipt")
        forged = Receipt(TRANSFER, read.request, read.decision, b64u(bytes(32)), read.size, format_time(line.now))
        await line.sending.on_receipt(TRANSFER, statements.sign(Kind.RECEIPT, forged, home.requester.signs))
        digest = b64u(statements.digest(offer))
        receipt = Receipt(TRANSFER, read.request, read.decision, digest, read.size, format_time(line.now))
        await line.sending.on_receipt(TRANSFER, statements.sign(Kind.RECEIPT, receipt, home.owner.signs))
        assert home.ledger.request(request).state is State.SENDING, "only the requester signs for it"
        await line.sending.on_receipt(TRANSFER, statements.sign(Kind.RECEIPT, receipt, home.requester.signs))
        assert home.ledger.request(request).state is State.DELIVERED
        line.sent.clear()
        await line.sending.on_get(TRANSFER, get((0, 1), seq=2))
        await settled(line)
        assert line.sent == []
    assert not any(row.held for row in home.clips.index.all())


async def test_no_block_leaves_after_a_stop(line: Line) -> None:
    request = agree(line)
    line.now += UNDO
    async with line.running():
        await settled(line)
        read = bundle.read_offer(line.offers()[0])
        total = len(read.pages) + read.blocks
        await line.sending.on_get(TRANSFER, get((0, total - 1), seq=1))
        while len(line.blocks()) < 2:  # noqa: ASYNC110 - the sender gives way after each block
            await asyncio.sleep(0)
        before = len(line.blocks())
        line.home.ledger.end_sending(request, Event.STOP, line.sending.sent_bytes(request) or 0, line.now)
        line.sending.look_again()
        await settled(line)
        assert before <= len(line.blocks()) <= before + 1, "at most the block that was on its way"
        assert len(line.blocks()) < total
        line.sent.clear()
        await line.sending.on_get(TRANSFER, get((0, 1), seq=2))
        ((topic, end),) = line.sent
        assert topic.endswith("/end")
        assert bundle.read_end(end, read).reason == "stopped"


async def test_a_restart_offers_again_and_serves_the_same_bytes(line: Line) -> None:
    agree(line)
    line.now += UNDO
    async with line.running():
        await settled(line)
    first = line.offers()[0]
    again = Line(line.home)
    again.now = line.now
    async with again.running():
        await settled(again)
        assert again.offers()[0] == first, "byte for byte the offer that was committed"
        read = bundle.read_offer(first)
        await again.sending.on_get(TRANSFER, get((0, len(read.pages) + read.blocks - 1), seq=9))
        await settled(again)
        assert len(again.blocks()) == len(read.pages) + read.blocks


def clock_of(home: Household, until_s: int) -> tuple[BootClock, bytes]:
    """A boot's statement, set by a time server 100 s after its clip of `agree` was recorded."""
    stretch = ClockStretch(130_000_000, until_s * 1_000_000, format_time(NOW + 40 * SECOND), 1_000_000, True)
    clock = BootClock(home.device_id, b64u(b"b" * 16), 1, "", "", until_s * 1_000_000, [stretch])
    return clock, sign_clock(clock, home.device)


async def test_a_clip_of_1970_goes_with_what_its_clock_was_worth_when_it_was_offered(line: Line) -> None:
    home = line.home
    clock, token = clock_of(home, 140)
    home.clips.index.put_boots([(clock, token)])
    agree(line, base=TimeBase(30 * SECOND, 30 * SECOND, Trust.PROVISIONAL, clock.boot))
    line.now += UNDO
    async with line.running():
        await settled(line)
    offered = bundle.read_offer(line.offers()[0])
    assert dict(offered.parts)["clips/0/clock.jws"] == len(token)
    home.clips.index.put_boots([clock_of(home, 5_000_000)])  # the boot went on, its statement was written anew
    again = Line(home)
    again.now = line.now
    async with again.running():
        await settled(again)
        await again.sending.on_get(TRANSFER, get((0, len(offered.pages)), seq=1))
        await settled(again)
    page, first = (payload for _, payload in again.blocks())
    assert hashlib.sha256(page).digest() == from_b64u(offered.pages[0], 32)
    assert hashlib.sha256(first).digest() == page[:32]
    at, length = offered.place("clips/0/clock.jws")
    assert first[at : at + length] == token


async def test_a_clip_of_known_time_goes_without(line: Line) -> None:
    agree(line)
    line.now += UNDO
    async with line.running():
        await settled(line)
    assert "clips/0/clock.jws" not in dict(bundle.read_offer(line.offers()[0]).parts)


async def test_a_stopped_transfers_requester_is_told_by_the_next_process_too(line: Line) -> None:
    request = agree(line)
    line.now += UNDO
    async with line.running():
        await settled(line)
        line.home.ledger.end_sending(request, Event.STOP, 0, line.now)
    again = Line(line.home)
    again.now = line.now
    async with again.running():
        await settled(again)
        assert again.topics == [f"x/{line.home.ledger.request(request).requester}/{TRANSFER}/get"]
        await again.sending.on_get(TRANSFER, get((0, 1), seq=3))
        ((_, end),) = again.sent
        assert bundle.read_end(end, bundle.read_offer(line.offers()[0])).reason == "stopped"
    much_later = Line(line.home)
    much_later.now = line.now + 8 * 86400 * SECOND
    async with much_later.running():
        await settled(much_later)
        assert much_later.topics == []


async def test_a_broker_that_is_away_is_waited_for(line: Line) -> None:
    request = agree(line)
    line.now += UNDO
    line.up = False
    async with line.running():
        await settled(line)
        assert line.home.ledger.request(request).state is State.SENDING
        tried = line.tries
        await asyncio.sleep(1.3)
        assert line.tries == tried, "it waits, it does not try"
        line.up = True
        line.sending.on_connected()
        async with asyncio.timeout(5):
            while not line.offers():  # noqa: ASYNC110 - what comes is looked at, not told
                await asyncio.sleep(0.05)
        assert len(line.offers()) == 1


async def test_a_requester_that_falls_silent_hears_the_offer_again(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when its receipt was lost."""
    monkeypatch.setattr(sending_module, "QUIET_S", 1.0)
    agree(line)
    line.now += UNDO
    async with line.running():
        await settled(line)
        await line.sending.on_get(TRANSFER, get((0, 1), seq=1))
        await settled(line)
        assert len(line.offers()) == 1
        for _ in range(200):
            if len(line.offers()) == 2:
                break
            await asyncio.sleep(0.1)
        assert len(line.offers()) == 2


async def test_a_cap_spreads_the_blocks_and_lets_a_stop_through(tmp_path: Path) -> None:
    line = Line(Household.at(tmp_path), uplink=Uplink(65_536))
    request = agree(line)
    line.now += UNDO
    async with line.running():
        await settled(line)
        await line.sending.on_get(TRANSFER, get((1, 5), seq=1))
        for second in range(3):
            await settled(line)
            assert [int(topic.rsplit("/", 1)[1]) for topic, _ in line.blocks()] == list(range(1, 2 + second))
            line.now += SECOND - 1
            await settled(line)
            assert len(line.blocks()) == 1 + second, "a nanosecond early"
            line.now += 1
        line.home.ledger.end_sending(request, Event.STOP, 0, line.now)
        await settled(line)
        assert len(line.blocks()) == 3


async def test_a_transfer_never_fetched_lapses_and_lets_its_clips_go(line: Line) -> None:
    request = agree(line)
    line.now += UNDO
    async with line.running():
        await settled(line)
        line.now += 8 * 86400 * SECOND
        await settled(line)
        assert line.home.ledger.request(request).state is State.LAPSED
        assert not any(row.held for row in line.home.clips.index.all())


async def test_an_unanswered_request_expires_in_silence(line: Line) -> None:
    home = line.home
    home.record_clip(NOW - 60 * SECOND)
    row, _ = home.admit(Span(NOW - 900 * SECOND, NOW))
    async with line.running():
        line.now = row.expires_ns
        await settled(line)
        assert home.ledger.request(row.id).state is State.EXPIRED
    assert line.sent == []
    assert not any(clip.held for clip in home.clips.index.all())


async def test_a_clip_that_is_gone_stops_the_transfer_not_the_doorbell(line: Line) -> None:
    request = agree(line)
    line.home.clips.forget([next(line.home.clips.index.all()).sequence])
    line.now += UNDO
    async with line.running():
        await settled(line)
        assert line.home.ledger.request(request).state is State.STOPPED
        assert line.sent == []


class Slow:
    """Holds the sender up while it reads a transfer's bytes, as a card does, until `go`."""

    def __init__(self, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reading, self.go = threading.Event(), threading.Event()
        read_out = line.sending._read_out

        def slowly(*arguments: Any) -> Any:
            self.reading.set()
            assert self.go.wait(10)
            return read_out(*arguments)

        monkeypatch.setattr(line.sending, "_read_out", slowly)

    async def begun(self) -> None:
        assert await asyncio.to_thread(self.reading.wait, 10)


async def test_a_stop_while_a_new_process_reads_its_bytes_keeps_everything_in(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = agree(line)
    line.now += UNDO
    async with line.running():
        await settled(line)
    again = Line(line.home)
    again.now = line.now
    slow = Slow(again, monkeypatch)
    async with again.running():
        await slow.begun()
        again.home.ledger.end_sending(request, Event.STOP, 0, again.now)
        again.sending.look_again()
        slow.go.set()
        await settled(again)
        await again.sending.on_get(TRANSFER, get((0, 1), seq=1))
        await settled(again)
        assert again.offers() == again.blocks() == []


async def test_an_undo_window_begun_anew_while_its_bytes_are_read_is_waited_for(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = agree(line)
    slow = Slow(line, monkeypatch)
    line.now += UNDO
    async with line.running():
        await slow.begun()
        line.home.ledger.move(request, Event.HOLD, line.now, "held")
        line.home.ledger.resume(request, line.now, until(line.time, line.now + UNDO))
        slow.go.set()
        await settled(line)
        assert line.sent == []
        line.now += UNDO
        await settled(line)
        assert len(line.offers()) == 1


async def test_a_yes_taken_back_while_its_clip_turns_out_damaged_is_only_taken_back(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = agree(line)
    slow = Slow(line, monkeypatch)
    line.now += UNDO
    async with line.running():
        await slow.begun()
        damage(line.home)
        line.home.ledger.undo(request, line.now)
        slow.go.set()
        await settled(line)
        assert line.home.ledger.request(request).state is State.ASKED


def damage(home: Household) -> None:
    """Cut its only clip short, as a failing card does."""
    path = home.clips.ring.path(next(home.clips.index.all()).sequence)
    with path.open("r+b") as file:
        file.truncate(1000)


async def test_a_clip_damaged_while_it_is_sent_stops_its_transfer_alone(line: Line) -> None:
    request = agree(line)
    line.now += UNDO
    async with line.running() as task:
        await settled(line)
        damage(line.home)
        await line.sending.on_get(TRANSFER, get((1, 3), seq=1))
        await settled(line)
        assert not task.done()
        assert line.home.ledger.request(request).state is State.STOPPED


async def test_no_block_leaves_after_a_stop_though_the_disk_takes_nothing_more(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = agree(line)
    line.now += UNDO
    async with line.running():
        await settled(line)
        await line.sending.on_get(TRANSFER, get((0, 3), seq=1))
        line.home.ledger.end_sending(request, Event.STOP, 0, line.now)
        line.home.db.execute("PRAGMA query_only = 1")  # the disk fills up between two commits
        line.sending.look_again()
        for _ in range(10):
            await asyncio.sleep(0.02)
        assert line.blocks() == []


async def test_what_an_owner_agreed_to_is_not_offered_once_the_decision_has_expired(line: Line) -> None:
    """As when the doorbell was off meanwhile."""
    request = agree(line)
    line.now += 8 * 86400 * SECOND
    async with line.running():
        await settled(line)
        assert line.sent == []
        assert line.home.ledger.request(request).state is State.LAPSED
    assert not any(clip.held for clip in line.home.clips.index.all())


async def test_a_yes_to_more_than_a_bundle_holds_is_stopped_and_the_doorbell_goes_on(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "MAX_BUNDLE_BYTES", 100_000)
    request = agree(line)
    line.now += UNDO
    async with line.running() as task:
        await settled(line)
        assert not task.done()
        assert line.home.ledger.request(request).state is State.STOPPED
        assert line.sent == []
