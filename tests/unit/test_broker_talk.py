"""The doorbell at its broker: what it listens to outlives a connection that breaks at any moment."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from agent.adapters.broker import BrokerAddress, BrokerSession
from agent.adapters.embedded_broker import EmbeddedBroker
from agent.broker_talk import BrokerTalk
from agent.core.encoding import b64u
from agent.core.topics import transfer_topic
from agent.disclosure.bulletin import Bulletin

_UNSUBSCRIBE = 0xA2
OLD, NEW = b64u(b"o" * 16), b64u(b"n" * 16)
ME = b64u(b"r" * 16)


class Deaf:
    """Between a doorbell and its broker: passes everything on, but breaks the connection at an UNSUBSCRIBE."""

    def __init__(self, broker: int) -> None:
        self._broker = broker
        self.broken = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._broker)
        back = asyncio.create_task(_pass_on(inner_reader, writer))
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                if data[0] == _UNSUBSCRIBE:
                    self.broken += 1
                    break
                inner_writer.write(data)
        back.cancel()
        inner_writer.close()
        writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)


class Heard:
    """What a doorbell's sender hears."""

    def __init__(self) -> None:
        self.gets: list[str] = []
        self.connected = asyncio.Event()

    def on_connected(self) -> None:
        self.connected.set()

    async def on_get(self, transfer: str, _payload: bytes) -> None:
        self.gets.append(transfer)


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedBroker() as embedded:
        yield embedded


async def test_new_topics_are_heard_though_the_connection_broke_while_old_ones_were_dropped(
    broker: EmbeddedBroker,
) -> None:
    deaf, heard = Deaf(BrokerAddress.parse(broker.url).port), Heard()
    server = await asyncio.start_server(deaf.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    talk = BrokerTalk(Bulletin())
    await talk.listen([transfer_topic(ME, OLD, "get")])
    address = BrokerAddress.parse(f"mqtt://127.0.0.1:{port}")
    task = asyncio.create_task(talk.run(address, "requests", cast(Any, None), cast(Any, heard)))
    try:
        async with asyncio.timeout(10), BrokerSession(BrokerAddress.parse(broker.url)) as requester:
            await requester.connected(5)
            await heard.connected.wait()
            heard.connected.clear()
            await talk.listen([transfer_topic(ME, NEW, "get")])
            assert deaf.broken == 1
            await heard.connected.wait()
            await requester.publish(transfer_topic(ME, NEW, "get"), b"")
            while not heard.gets:  # noqa: ASYNC110 - what comes is looked at, not told
                await asyncio.sleep(0.02)
            assert heard.gets == [NEW]
    finally:
        task.cancel()
        await asyncio.wait([task])
        server.close()
