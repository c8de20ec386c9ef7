"""One MQTT session that heals itself: connect, subscribe, receive, publish, connect again.

Owns the connection and nothing of what is said over it. It speaks MQTT 3.1.1 with a clean session, without a client
id, and unless told otherwise without a last will or retained messages, so that the requesters' broker has nothing of
this home's to show to others; at the household's own both are of use (agent/home_talk.py). Neither a PUBACK nor a
broker's session proves anything: whoever needs an answer asks again, and what arrives while the inbox is full is
dropped. Source: MQTT 3.1.1 (OASIS); docs/spec/transfer.md.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import random
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode

from agent.core.errors import BadInput, Unavailable

log = logging.getLogger(__name__)
_wire_log = logging.getLogger(f"{__name__}.wire")
_wire_log.setLevel(logging.CRITICAL)  # paho calls a broken connection an error; here it is an everyday thing, told once

FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 30.0
KEEPALIVE_S = 20
ANSWER_S = 10.0
MAX_WAITING_MESSAGES = 4_096
MAX_WAITING_BYTES = 64 * 1024 * 1024
MAX_MESSAGE_BYTES = 128 * 1024
MAX_PACKET_BYTES = 1024 * 1024  # MQTT allows 256 MiB, and paho takes a packet whole before anybody may refuse it

_CANCEL_AGAIN_S = 1.0
_SUBSCRIBE_ROUNDS = 8  # in which filters that come while the connection does are gathered
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_SUBSCRIPTION_REFUSED = 0x80
_UNTOLD = "no answer"
_UNTRUSTED = "its certificate is not trusted here"


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is and how to prove who we are. `tls` is None for plain TCP."""

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    @classmethod
    def parse(
        cls, url: str, *, ca_file: Path | None = None, cert_file: Path | None = None, key_file: Path | None = None
    ) -> BrokerAddress:
        """Read `mqtt://user:pass@host:port` or `mqtts://…`; BadInput when it is neither or a file is unusable.

        `ca_file` replaces the system's authorities; `cert_file` and `key_file` (PEM) are shown to the broker.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
            (parts.hostname or "").encode("idna")  # as looking it up does, where nobody would hear of it
        except ValueError as e:
            raise BadInput(f"the broker's address cannot be read: {e}; write it like mqtt://host:1883") from e
        if parts.scheme not in _PORTS or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise BadInput("the broker's address must look like mqtt://host:1883 or mqtts://user:password@host:8883")
        tls = None
        if parts.scheme == "mqtts":
            tls = _tls(ca_file, cert_file, key_file)
        elif ca_file or cert_file or key_file:
            raise BadInput("certificates are for an encrypted connection; write the broker's address with mqtts://")
        return cls(
            host=parts.hostname,
            port=port or _PORTS[parts.scheme],
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            tls=tls,
        )

    def __str__(self) -> str:
        """The address without user name and password, for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


class SessionState(Enum):
    """What the status page shows."""

    OFF = "off"
    CONNECTING = "connecting"
    CONNECTED = "connected"


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message as it came."""

    topic: str
    payload: bytes
    retained: bool = False  # kept by the broker from before we subscribed


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker tells, retained, once this session is lost without a word."""

    topic: str
    payload: bytes


class _Inbox(asyncio.Queue[aiomqtt.Message]):
    """Takes what aiomqtt delivers, whole batches at a time, within limits of count, bytes and size of one message.

    aiomqtt starts a task for every message it hands out one by one; a transfer is thousands of messages.
    """

    def __init__(self, max_message_bytes: int) -> None:
        super().__init__()
        self._max_message_bytes = max_message_bytes
        self._waiting: deque[Inbound] = deque()
        self._bytes = 0
        self.arrived = asyncio.Event()
        self.dropped = 0

    def put_nowait(self, message: aiomqtt.Message) -> None:
        payload = message.payload if isinstance(message.payload, bytes) else b""
        full = len(self._waiting) >= MAX_WAITING_MESSAGES or self._bytes + len(payload) > MAX_WAITING_BYTES
        if full or len(payload) > self._max_message_bytes:
            self.dropped += 1
            return
        self._waiting.append(Inbound(str(message.topic), payload, bool(message.retain)))
        self._bytes += len(payload)
        self.arrived.set()

    def take(self) -> list[Inbound]:
        batch = list(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        self.arrived.clear()
        return batch


class BrokerSession:
    """A connection that is kept up from `__aenter__` to `__aexit__`; entering does not wait for the broker."""

    def __init__(
        self, address: BrokerAddress, *, max_message_bytes: int = MAX_MESSAGE_BYTES, will: Will | None = None
    ) -> None:
        self._address = address
        self._will = None if will is None else aiomqtt.Will(will.topic, will.payload, qos=1, retain=True)
        self._inbox = _Inbox(max_message_bytes)
        self._filters: dict[str, int] = {}
        self._client: aiomqtt.Client | None = None
        self._waiting: set[asyncio.Timeout] = set()
        self._connected = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._trouble = _UNTOLD
        self.state = SessionState.OFF
        self.connections = 0

    @property
    def address(self) -> BrokerAddress:
        """The broker this session is with."""
        return self._address

    @property
    def dropped(self) -> int:
        """Messages thrown away because they were too large or nobody took them in time."""
        return self._inbox.dropped

    @property
    def complaint(self) -> str:
        """Why there is no connection, as far as it is known, in one sentence."""
        remedy = "check that it runs and that the address is right"
        if self._trouble.startswith(_UNTRUSTED):
            remedy = "name the file of the authority behind it, as 'ca' in the settings or with --ca"
        return f"no connection to the MQTT broker at {self._address} ({self._trouble}); {remedy}"

    async def __aenter__(self) -> Self:
        self.state = SessionState.CONNECTING
        self._task = asyncio.create_task(self._keep_connected())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        # More than once: Python 3.11's wait_for, which aiomqtt uses, loses a cancellation that comes with an answer.
        while not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_CANCEL_AGAIN_S)
        self.state = SessionState.OFF
        if not self._task.cancelled():
            self._task.result()

    async def connected(self, timeout_s: float) -> None:
        """Wait for the connection; Unavailable, in one sentence, when there is none after `timeout_s`."""
        try:
            await asyncio.wait_for(self._connected.wait(), timeout_s)
        except TimeoutError as e:
            raise Unavailable(self.complaint) from e

    async def subscribe(self, *filters: str, qos: int = 1) -> None:
        """Subscribe now, if connected, and after every reconnect."""
        new = [f for f in filters if f not in self._filters]
        self._filters.update(dict.fromkeys(new, qos))
        if self._client is not None and new:
            async with self._while_connected("subscribing"):
                await self._subscribe_all(self._client, new)

    async def unsubscribe(self, *filters: str) -> None:
        """Forget these subscriptions, and tell the broker if it is there. Unavailable when the connection breaks."""
        known = [f for f in filters if self._filters.pop(f, None) is not None]
        if self._client is not None and known:
            async with self._while_connected("unsubscribing"):
                await self._client.unsubscribe(known, timeout=math.inf)

    async def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Send one message; waits until it is on its way (QoS 0) or the broker has it (QoS 1). Unavailable if not."""
        if self._client is None:
            raise Unavailable(self.complaint)
        async with self._while_connected("sending"):
            await self._client.publish(topic, payload, qos=qos, retain=retain, timeout=math.inf)

    async def receive(self, timeout_s: float | None = None) -> list[Inbound]:
        """All messages that wait; none after `timeout_s`, after `wake`, or when the session has connected anew."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._inbox.arrived.wait()
        except TimeoutError:
            return []
        return self._inbox.take()

    def wake(self) -> None:
        """Make `receive` return now, with what there is."""
        self._inbox.arrived.set()

    @asynccontextmanager
    async def _while_connected(self, doing: str) -> AsyncIterator[None]:
        """Give up with Unavailable when the broker does not answer in time, or at once when the connection breaks.

        aiomqtt alone would wait for an answer on a connection that is gone.
        """
        try:
            async with asyncio.timeout(ANSWER_S) as limit:
                self._waiting.add(limit)
                try:
                    yield
                finally:
                    self._waiting.discard(limit)
        except (aiomqtt.MqttError, TimeoutError) as e:
            raise Unavailable(f"the connection to the broker at {self._address} broke while {doing}") from e

    async def _keep_connected(self) -> None:
        backoff_s = FIRST_BACKOFF_S
        while True:
            before = self.connections
            try:
                await self._one_connection()
            except aiomqtt.MqttError as e:
                if (trouble := _plain(e)) != self._trouble:
                    log.info("broker at %s: %s", self._address, trouble)
                    self._trouble = trouble
            finally:
                self._client = None
                self._connected.clear()
                self.state = SessionState.CONNECTING
                for limit in self._waiting:
                    limit.reschedule(asyncio.get_running_loop().time())
                self._waiting.clear()
            if self.connections != before:
                backoff_s = FIRST_BACKOFF_S
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load, guards nothing
            backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)

    async def _one_connection(self) -> None:
        """Connect, subscribe, and stay until the connection breaks (MqttError) or the task is cancelled."""
        client = aiomqtt.Client(
            self._address.host,
            self._address.port,
            username=self._address.username,
            password=self._address.password,
            tls_context=self._address.tls,
            will=self._will,
            keepalive=KEEPALIVE_S,
            timeout=ANSWER_S,
            logger=_wire_log,
            queue_type=lambda maxsize: self._inbox,  # type: ignore[arg-type]  # noqa: ARG005 - aiomqtt names it
            max_queued_incoming_messages=0,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],  # small messages must not wait for ACKs
        )
        client.pending_calls_threshold = MAX_WAITING_MESSAGES
        _refuse_giants(client._client)
        _notice_refusal(client)
        async with client:
            subscribed: set[str] = set()
            for rounds_left in reversed(range(_SUBSCRIBE_ROUNDS)):
                new = [f for f in self._filters if f not in subscribed]  # more may be wanted while we wait
                if not new or not rounds_left:
                    self._client = client  # who wants still more asks the broker for it: this would never end otherwise
                if not new:
                    break
                await self._subscribe_all(client, new)
                subscribed.update(new)
            self._trouble = _UNTOLD
            self.connections += 1
            self.state = SessionState.CONNECTED
            self._connected.set()
            self._inbox.arrived.set()
            async for _ in client.messages:  # the inbox takes them all: this only ends when the connection does
                pass

    async def _subscribe_all(self, client: aiomqtt.Client, filters: list[str]) -> None:
        granted = await client.subscribe([(f, self._filters[f]) for f in filters])
        for name, code in zip(filters, granted, strict=True):
            if code == _SUBSCRIPTION_REFUSED:
                raise aiomqtt.MqttError(f"the broker does not let us subscribe to {name}")


def _refuse_giants(client: paho.Client) -> None:
    """Break the connection when a packet of more than `MAX_PACKET_BYTES` begins, before memory is taken for it.

    A message above `MAX_MESSAGE_BYTES` is only dropped, so that nobody but a broker without limits can do this to us.
    paho has no setting for it; it asks its socket for the rest of a packet at once, whose length a sender claims.
    """
    read = client._sock_recv

    def bounded(count: int) -> bytes:
        if count > MAX_PACKET_BYTES:
            raise OSError(errno.EMSGSIZE, f"the broker sends a packet of {count} bytes")
        return read(count)

    client._sock_recv = bounded  # type: ignore[assignment]


def _notice_refusal(client: aiomqtt.Client) -> None:
    """Fail at once, and say why, when the connection ends before MQTT has begun on it.

    aiomqtt waits its full time for an answer then, and paho keeps to itself that the broker did not take our version.
    """
    inner, loop, answered = client._client, asyncio.get_running_loop(), False
    handle_connack, on_disconnect = inner._handle_connack, inner.on_disconnect
    assert on_disconnect is not None

    def answer() -> MQTTErrorCode:
        nonlocal answered
        answered = True
        return handle_connack()

    def fail() -> None:
        if client._connected.done():
            return
        why = (
            "it takes no MQTT 3.1.1 connection without a client id"
            if answered
            else "it ended the connection; perhaps it wants mqtts:// or mqtt://"
        )
        client._connected.set_exception(aiomqtt.MqttError(why))
        client._connected.exception()  # it may be that nobody waits any more

    def ended(*details: Any) -> None:
        loop.call_soon_threadsafe(fail)  # while connecting paho runs in a thread
        on_disconnect(*details)

    inner._handle_connack = answer  # type: ignore[method-assign]
    inner.on_disconnect = ended


def _tls(ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        if key_file and not cert_file:
            raise BadInput("the broker's key file is set without a certificate; name both")
        if cert_file:
            context.load_cert_chain(str(cert_file), str(key_file) if key_file else None)
    except (OSError, ssl.SSLError) as e:
        named = ", ".join(str(file) for file in (ca_file, cert_file, key_file) if file)
        why = _undecorated(str(e)) if isinstance(e, ssl.SSLError) else e.strerror
        raise BadInput(f"the broker's certificate files cannot be used ({named}): {why}") from e
    return context


def _undecorated(text: str) -> str:
    return text.split("] ", 1)[-1].split(" (_ssl.c:")[0]


def _plain(error: aiomqtt.MqttError) -> str:
    """What went wrong without the libraries' decorations."""
    text = str(error)
    if text.startswith(("[Errno", "[code:", "[SSL")) and "] " in text:
        text = _undecorated(text).replace("certificate verify failed", _UNTRUSTED)
    return text.strip().rstrip(".") or "no answer"
