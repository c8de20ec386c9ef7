"""Time that jumps to whatever is due next, and a broker within it that loses, doubles, delays and dies.

The product's own shells run on both, unchanged: hours of offers, timers and restarts pass in a second, the same for the
same random source.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from agent.adapters.broker import Inbound, SessionState
from agent.core.errors import Unavailable

T = TypeVar("T")

_TURNS_LIMIT = 20_000
BEGIN_NS = 1_790_000_000 * 10**9


class _Jump(selectors.SelectSelector):
    """Waits for nothing: where nobody has anything to say, the time to wait has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.passed_s = 0.0
        self._turns = 0  # since time last passed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing would ever happen again"
            self._turns = 0 if timeout > 0 else self._turns + 1
            assert self._turns < _TURNS_LIMIT, "somebody turns in circles and waits for nothing"
            self.passed_s += max(0.0, timeout)
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop in simulated time. What would run in a thread runs at once."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.passed_s

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as e:  # noqa: BLE001 - it is the awaiting task's, whatever it is
            done.set_exception(e)
        return done


class SimulatedTime:
    """What stands for the module `time` in a shell."""

    def monotonic_ns(self) -> int:
        return round(asyncio.get_running_loop().time() * 1e9)

    def time_ns(self) -> int:
        return BEGIN_NS + self.monotonic_ns()


class SimulatedBroker:
    """Passes messages on. `seen(topic, payload)` is told of each as it is published."""

    def __init__(self, chance: random.Random, loss: float, double: float, delay_s: float) -> None:
        self.chance, self.loss, self.double, self.delay_s = chance, loss, double, delay_s
        self.sessions: list[SimulatedSession] = []
        self.seen: Callable[[str, bytes], None] = lambda _topic, _payload: None

    def session(self) -> SimulatedSession:
        """A client's session that is not entered yet."""
        return SimulatedSession(self)

    def pass_on(self, topic: str, payload: bytes, qos: int) -> None:
        """At QoS 0 a message may be lost, at QoS 1 it may come twice; each comes when it comes."""
        self.seen(topic, payload)
        for session in self.sessions:
            if session.state is SessionState.CONNECTED and session.wants(topic):
                if qos == 0 and self.chance.random() < self.loss:
                    continue
                for _ in range(2 if self.chance.random() < self.double else 1):
                    session.deliver_in(self.chance.uniform(0.001, self.delay_s), Inbound(topic, payload))

    def restart(self) -> None:
        """Everything that is on its way is lost; the clients come back one after the other."""
        for session in self.sessions:
            session.lose(self.chance.uniform(0.05, 0.5))


class SimulatedSession:
    """What a shell sees of `adapters.broker.BrokerSession`."""

    def __init__(self, broker: SimulatedBroker) -> None:
        self._broker = broker
        self._filters: set[str] = set()
        self._inbox: list[Inbound] = []
        self._arrived = asyncio.Event()
        self.state = SessionState.OFF
        self.connections = 0
        self.complaint = "the simulated broker is away"

    async def __aenter__(self) -> Self:
        self._broker.sessions.append(self)
        self.lose(0.02)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.state = SessionState.OFF
        self._broker.sessions.remove(self)

    def lose(self, back_in_s: float) -> None:
        """The connection is gone; it is there again after so long."""
        self.state = SessionState.CONNECTING
        asyncio.get_running_loop().call_later(back_in_s, self._connect)

    def _connect(self) -> None:
        if self.state is SessionState.CONNECTING:
            self.state = SessionState.CONNECTED
            self.connections += 1
            self._arrived.set()

    def deliver_in(self, seconds: float, message: Inbound) -> None:
        """Unless the connection breaks before."""
        asyncio.get_running_loop().call_later(seconds, self._take, self.connections, message)

    def _take(self, connection: int, message: Inbound) -> None:
        if self.state is SessionState.CONNECTED and connection == self.connections:
            self._inbox.append(message)
            self._arrived.set()

    def wants(self, topic: str) -> bool:
        """Whether a subscription matches."""
        parts = topic.split("/")
        return any(
            len(parts) == len(wanted) and all(w in ("+", p) for w, p in zip(wanted, parts, strict=True))
            for wanted in (name.split("/") for name in self._filters)
        )

    async def subscribe(self, *filters: str, qos: int = 1) -> None:
        self._filters.update(filters)

    async def unsubscribe(self, *filters: str) -> None:
        self._filters.difference_update(filters)

    async def publish(self, topic: str, payload: bytes, *, qos: int = 1) -> None:
        if self.state is not SessionState.CONNECTED:
            raise Unavailable("the simulated broker is away")
        connection = self.connections
        self._broker.pass_on(topic, payload, qos)
        await asyncio.sleep(0.002 if qos else 0.0002)
        if connection != self.connections:
            raise Unavailable("the simulated broker died over it")

    async def receive(self, timeout_s: float | None = None) -> list[Inbound]:
        try:
            async with asyncio.timeout(timeout_s):
                await self._arrived.wait()
        except TimeoutError:
            return []
        self._arrived.clear()
        taken, self._inbox = self._inbox, []
        return taken

    def wake(self) -> None:
        self._arrived.set()
