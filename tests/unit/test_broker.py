"""The MQTT session against a real broker in this process: it connects, heals, bounds what it keeps, stops cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.adapters import broker as broker_module
from agent.adapters.broker import BrokerAddress, BrokerSession, SessionState
from agent.adapters.embedded_broker import EmbeddedBroker
from agent.core.errors import BadInput, Unavailable
from agent.store.home_certificate import HomeCertificate


@pytest.fixture
async def embedded() -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedBroker() as running:
        yield running


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the session has no event for this, and needs none
            await asyncio.sleep(0.01)


async def collect(session: BrokerSession, count: int) -> list[bytes]:
    found: list[bytes] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            found += [m.payload for m in await session.receive(1)]
    return found


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://example.org", ("example.org", 1883, None, None)),
        ("mqtt://user:p%40ss@example.org:99", ("example.org", 99, "user", "p@ss")),
        ("mqtt://[::1]:1884", ("::1", 1884, None, None)),
        ("mqtts://example.org", ("example.org", 8883, None, None)),
    ],
)
def test_an_address_is_read(url: str, expected: tuple[str, int, str | None, str | None]) -> None:
    address = BrokerAddress.parse(url)
    assert (address.host, address.port, address.username, address.password) == expected
    assert (address.tls is not None) == url.startswith("mqtts")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "http://example.org",
        "mqtt://",
        "mqtt://h:99999",
        "mqtt://h/topic",
        "mqtt://a..b",
        f"mqtt://{'a' * 64}",
    ],
)
def test_what_is_no_address_is_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(BadInput, match="broker's address"):
        BrokerAddress.parse(url)


def test_certificates_need_encryption_and_must_be_there() -> None:
    with pytest.raises(BadInput, match="mqtts"):
        BrokerAddress.parse("mqtt://h", ca_file=Path("ca.pem"))
    with pytest.raises(BadInput, match="cannot be used"):
        BrokerAddress.parse("mqtts://h", ca_file=Path("no such file"))


def test_a_password_is_in_no_message() -> None:
    address = BrokerAddress.parse("mqtt://user:secret@h")
    assert "secret" not in f"{address} {address!r}"
    assert str(address) == "mqtt://h:1883"


async def test_messages_go_both_ways_in_order(embedded: EmbeddedBroker) -> None:
    address = BrokerAddress.parse(embedded.url)
    async with BrokerSession(address) as one, BrokerSession(address) as two:
        await two.subscribe("a/+/c")
        await one.connected(5)
        await two.connected(5)
        for i in range(50):
            await one.publish(f"a/{i}/c", b"%d" % i, qos=i % 2)
        assert sorted(await collect(two, 50), key=int) == [b"%d" % i for i in range(50)]
        await two.unsubscribe("a/+/c")
        await one.publish("a/x/c", b"unheard")
        assert await two.receive(0.2) == []
    assert one.state is two.state is SessionState.OFF


@pytest.mark.parametrize("pause_s", [0.0005, 0])
async def test_what_is_subscribed_at_any_moment_of_connecting_is_heard(
    embedded: EmbeddedBroker, pause_s: float
) -> None:
    """Filters added one by one while the connection comes up: none is forgotten, and it does come up."""
    async with BrokerSession(BrokerAddress.parse(embedded.url)) as session:
        await session.subscribe("t/0")
        count = 1
        while session.state is not SessionState.CONNECTED:
            await asyncio.sleep(pause_s)
            await session.subscribe(f"t/{count}")
            count += 1
        for n in range(count):
            await session.publish(f"t/{n}", b"%d" % n)
        assert sorted(await collect(session, count), key=int) == [b"%d" % n for n in range(count)]


async def test_a_session_ends_at_any_moment_of_connecting(embedded: EmbeddedBroker) -> None:
    """A cancellation that comes with the broker's answer is lost in Python 3.11; the session would then never end."""
    for moment in range(60):
        async with asyncio.timeout(8):
            async with BrokerSession(BrokerAddress.parse(embedded.url)) as session:
                await session.subscribe("a")
                while session.state is not SessionState.CONNECTED and moment:
                    moment -= 1
                    await asyncio.sleep(0)
        assert session.state is SessionState.OFF


async def test_after_the_broker_came_back_everything_is_as_before() -> None:
    async with EmbeddedBroker() as first:
        port = first.port
        session = BrokerSession(BrokerAddress.parse(first.url))
        await session.__aenter__()
        await session.subscribe("t")
        await session.connected(5)
        assert await session.receive(5) == []  # the connection itself is news
    try:
        await until(lambda: session.state is SessionState.CONNECTING)
        with pytest.raises(Unavailable, match=f"no connection to the MQTT broker at mqtt://127.0.0.1:{port}"):
            await session.publish("t", b"lost")
        async with EmbeddedBroker(port):
            await session.connected(10)
            assert session.connections == 2
            assert await session.receive(5) == []
            await session.publish("t", b"again")
            assert await collect(session, 1) == [b"again"]
    finally:
        await session.__aexit__(None, None, None)


async def test_too_large_and_too_many_messages_are_dropped_and_counted(
    embedded: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "MAX_WAITING_MESSAGES", 3)
    async with BrokerSession(BrokerAddress.parse(embedded.url), max_message_bytes=10) as session:
        await session.subscribe("t")
        await session.connected(5)
        await session.publish("t", b"x" * 11)
        for _ in range(5):
            await session.publish("t", b"fits")
        await until(lambda: session.dropped == 3)
        assert await collect(session, 3) == [b"fits"] * 3


async def test_a_broker_that_is_not_there_is_one_sentence() -> None:
    with socket.socket() as taken:  # bound but not listening: nothing answers, and nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        async with BrokerSession(BrokerAddress.parse(f"mqtt://127.0.0.1:{port}")) as session:
            with pytest.raises(Unavailable) as unavailable:
                await session.connected(0.3)
            assert session.state is SessionState.CONNECTING
    text = str(unavailable.value)
    assert f"mqtt://127.0.0.1:{port}" in text
    assert "Errno" not in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it ended the connection; perhaps it wants mqtts"),
        (b"", "it ended the connection; perhaps it wants mqtts"),
        (b"\x20\x02\x00\x01", r"takes no MQTT 3\.1\.1"),  # this version is not spoken here
        (b"\x20\x03\x00\x84\x00", r"takes no MQTT 3\.1\.1"),  # the same in the words of MQTT 5
        (b"\x20\x02\x00\x02", "without a client id"),
        (b"\x20\x02\x00\x05", r"\(Not authorized\)"),
    ],
)
async def test_a_broker_that_takes_no_such_connection_is_told_at_once_and_in_one_sentence(
    answer: bytes, says: str
) -> None:
    asked = 0

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.read(1000)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server, BrokerSession(BrokerAddress.parse(mqtt_url(server))) as session:
        with pytest.raises(Unavailable, match=says) as unavailable:
            await session.connected(0.7)
        assert "\n" not in str(unavailable.value)
        assert session.complaint == str(unavailable.value)
        assert 2 <= asked <= 6, "it tries again, ever more slowly"


async def test_a_broker_with_an_authority_that_was_not_named_is_told_with_what_to_do(tmp_path: Path) -> None:
    own = HomeCertificate(tmp_path, "Broker", ["127.0.0.1"])
    own.renew(datetime.now(UTC))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own.chain, own.key)
    async with await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0, ssl=context) as server:
        async with BrokerSession(BrokerAddress.parse(mqtt_url(server).replace("mqtt:", "mqtts:"))) as session:
            with pytest.raises(Unavailable, match=r"not trusted here: [^_\[]*\); name the file .*--ca$"):
                await session.connected(2.0)


async def test_a_broker_that_dies_while_we_connect_is_tried_again_at_once(embedded: EmbeddedBroker) -> None:
    """Killed between taking the connection and its answer: not a matter of the ten seconds an answer may take."""
    connections = 0

    async def dying_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        data = await reader.read(1000)
        if connections == 1:
            writer.transport.abort()
            return
        address = BrokerAddress.parse(embedded.url)
        up_reader, up_writer = await asyncio.open_connection(address.host, address.port)
        up_writer.write(data)
        writer.write(await up_reader.read(4))
        await asyncio.sleep(1)
        up_writer.close()
        writer.close()

    server = await asyncio.start_server(dying_once, "127.0.0.1", 0)
    async with server, BrokerSession(BrokerAddress.parse(mqtt_url(server))) as session:
        await session.connected(3)
    assert connections == 2


async def test_a_giant_packet_breaks_the_connection_before_it_takes_memory() -> None:
    """A hostile broker begins a message of 200 MB, and sends 8 MB of it as fast as they are taken."""
    begun = []

    async def hostile(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"\x20\x02\x00\x00")  # connected
        await asyncio.sleep(0.05)
        tracemalloc.reset_peak()
        begun.append(tracemalloc.get_traced_memory()[0])
        writer.write(b"\x30" + bytes([0x80, 0x84, 0xAF, 0x5F]) + b"\x00\x01t")  # 200,000,000 bytes follow
        with contextlib.suppress(OSError):
            for _ in range(128):
                writer.write(bytes(65_536))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(hostile, "127.0.0.1", 0)
    tracemalloc.start()
    try:
        async with server, BrokerSession(BrokerAddress.parse(mqtt_url(server))) as session:
            await session.connected(5)
            await until(lambda: session.connections >= 2)
        assert tracemalloc.get_traced_memory()[1] - begun[0] < 3_000_000
    finally:
        tracemalloc.stop()


def mqtt_url(server: asyncio.Server) -> str:
    return f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_busy_port_is_one_sentence(embedded: EmbeddedBroker) -> None:
    with pytest.raises(Unavailable, match=f"port {embedded.port} is busy"):
        await EmbeddedBroker(embedded.port).__aenter__()
    with pytest.raises(BadInput, match="is not a port"):
        EmbeddedBroker(70_000)


async def test_without_amqtt_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "amqtt.broker", None)
    with pytest.raises(Unavailable, match=r"pip install 'doorward\[demo\]'"):
        await EmbeddedBroker().__aenter__()
