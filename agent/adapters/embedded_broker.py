"""An MQTT broker inside this process, for the demo and for tests: loopback only, anonymous, nothing kept.

Owns starting and stopping amqtt (the optional extra `demo`). It is not meant for a home: anyone on the machine may
connect.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from types import TracebackType
from typing import TYPE_CHECKING, Self

from agent.core.errors import BadInput, Unavailable

if TYPE_CHECKING:
    from amqtt.broker import Broker

_HOST = "127.0.0.1"
_PATIENCE_S = 0.5


class EmbeddedBroker:
    """`async with EmbeddedBroker(port) as broker`: it listens on loopback until left. Port 0 takes a free one."""

    def __init__(self, port: int = 0) -> None:
        if not 0 <= port <= 65_535:
            raise BadInput(f"{port} is not a port; ports go from 1 to 65535")
        self.port = port
        self._broker: Broker | None = None

    @property
    def url(self) -> str:
        """Where it can be reached."""
        return f"mqtt://{_HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        """Start; Unavailable when amqtt is not installed or the port is taken."""
        try:
            from amqtt.broker import Broker
            from amqtt.errors import BrokerError
        except ImportError as e:
            raise Unavailable(
                "the embedded broker is not installed; install it with: pip install 'doorward[demo]', "
                "or name a broker of your own with --broker"
            ) from e
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)
        logging.getLogger("transitions").setLevel(logging.ERROR)
        self.port = _claim(self.port)
        self._broker = Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"{_HOST}:{self.port}"}},
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        try:
            await self._broker.start()
        except BrokerError as e:
            raise Unavailable(f"the embedded broker cannot listen on port {self.port}: {e}") from e
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._broker is not None
        stopping = asyncio.create_task(self._broker.shutdown())
        while not (await asyncio.wait([stopping], timeout=_PATIENCE_S))[0]:
            _cancel_readers()
        stopping.result()


def _cancel_readers() -> None:
    """Once more: up to Python 3.11 `asyncio.wait_for` may swallow the cancellation that amqtt's shutdown waits for."""
    for task in asyncio.all_tasks():
        if getattr(task.get_coro(), "__qualname__", "") == "ProtocolHandler._reader_loop":
            task.cancel()


def _claim(port: int) -> int:
    """The port to listen on, after a look whether it is free: amqtt's own message would be a traceback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except PermissionError as e:
            raise Unavailable(f"port {port} may not be opened by this user; choose one above 1023") from e
        except OSError as e:
            raise Unavailable(f"port {port} is busy: another program listens there; stop it or choose another") from e
        return int(probe.getsockname()[1])
