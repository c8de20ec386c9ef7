"""The doorbell's half of a transfer for tests: the product's `Server` on a real session, with ways to misbehave."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from agent.adapters.broker import BrokerAddress, BrokerSession
from agent.core.encoding import parse_time
from agent.core.errors import Refused, Unavailable
from agent.core.topics import block_topic, read_transfer_topic, transfer_topic
from agent.core.transfer import Server
from tests.answered import Answered, no_file


@dataclass
class Home:
    """Offers one answer again and again and serves what is asked, until cancelled."""

    answered: Answered
    session: BrokerSession
    offer_every_s: float = 0.2
    pause_s: float = 0.0  # after each block: time to cut something
    sent: list[int] = field(default_factory=list)
    receipts: list[bytes] = field(default_factory=list)
    receipt_came: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def requester(self) -> str:
        return self.answered.identity.said.id

    def topic(self, what: str) -> str:
        return transfer_topic(self.requester, self.answered.transfer, what)

    async def run(self) -> None:
        server = Server(self.answered.bundle, self.answered.pages)
        await self.session.subscribe(self.topic("get"), self.topic("receipt"))
        next_offer = 0.0
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(Unavailable):
                if not self.receipts and loop.time() >= next_offer:
                    next_offer = loop.time() + self.offer_every_s
                    await self.session.publish(self.topic("offer"), self.answered.offer_token)
                while (n := server.next_block()) is not None:
                    self.sent.append(n)
                    payload = server.payload(n, no_file)
                    topic = block_topic(self.requester, self.answered.transfer, n)
                    await self.session.publish(topic, payload, qos=0)
                    if self.pause_s:
                        await asyncio.sleep(self.pause_s)
            for message in await self.session.receive(0.1):
                topic_read = read_transfer_topic(message.topic)
                assert topic_read is not None
                if topic_read.what == "receipt":
                    self.receipts.append(message.payload)
                    self.receipt_came.set()
                else:
                    with contextlib.suppress(Refused):
                        server.on_get(message.payload)


@contextlib.asynccontextmanager
async def serving(url: str, answered: Answered, *, pause_s: float = 0.0) -> AsyncIterator[Home]:
    """A home that serves `answered` while the block runs."""
    async with BrokerSession(BrokerAddress.parse(url)) as session:
        home = Home(answered, session, pause_s=pause_s)
        task = asyncio.create_task(home.run())
        try:
            yield home
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()


def opened_at(answered: Answered) -> int:
    """Some moment after the offer, UTC ns."""
    return parse_time(answered.offer.issued) + 5_000_000_000
