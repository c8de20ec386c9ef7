"""The doorbell at the household's own broker, for Home Assistant: tells how things stand, takes a pause or a no.

Owns that session; never touches the requesters' broker, and hands nothing on but what core.home_assistant reads.
A broker that is away is waited for; a ring meanwhile is not told later. Source: docs/home-assistant.md.
"""

from __future__ import annotations

import asyncio
import logging

from agent.adapters.broker import BrokerAddress, BrokerSession, Inbound, Will
from agent.broker_talk import broker_address
from agent.config import Config
from agent.core import home_assistant as said
from agent.core.encoding import to_json
from agent.core.errors import BadInput, NotThere, Refused, Unavailable
from agent.core.home_assistant import HomeState
from agent.core.labels import RING
from agent.core.owner_api import Changed
from agent.disclosure.bulletin import Bulletin
from agent.disclosure.home_panel import HomePanel

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 10.0  # a pause that ends by itself tells nobody
_PARTING_S = 2.0
_COMMAND_LIMIT = 1024


def household_address(config: Config) -> BrokerAddress | None:
    """The household's broker, None where there is none. BadInput names what of it cannot be used."""
    try:
        address = broker_address(config.home_assistant)
    except BadInput as e:
        raise BadInput(f"home_assistant: {e}") from e
    asked = broker_address(config.broker)
    if address is not None and asked is not None and (address.host, address.port) == (asked.host, asked.port):
        raise BadInput(
            "home_assistant.url names the broker requesters use, where nobody may learn whether somebody is at home; "
            "name the household's own broker, or leave it empty"
        )
    return address


class HomeTalk:
    """One session for the doorbell's life. `node`: the doorbell's name there."""

    def __init__(
        self, address: BrokerAddress, prefix: str, node: str, name: str, version: str, panel: HomePanel,
        bulletin: Bulletin,
    ) -> None:  # fmt: skip
        self._topics = said.topics(node, prefix)
        self._session = BrokerSession(
            address,
            max_message_bytes=_COMMAND_LIMIT,
            will=Will(self._topics.available, said.UNAVAILABLE),
        )
        self._node = node
        self._name = name
        self._version = version
        self._panel = panel
        self._bulletin = bulletin
        self._told: dict[str, bytes] = {}
        self._connections = 0

    async def run(self) -> None:
        """Until cancelled."""
        with self._bulletin.listen() as news:
            async with self._session, asyncio.TaskGroup() as tasks:
                await self._session.subscribe(*self._topics.commands)
                tasks.create_task(self._listen())
                try:
                    while True:
                        await self._tell(await _next(news))
                finally:
                    await self._part()

    async def _listen(self) -> None:
        """Take commands; a new connection is told everything anew."""
        while True:
            for message in await self._session.receive():
                self._take(message)
            if self._session.connections != self._connections:
                self._connections = self._session.connections
                self._told.clear()
                self._bulletin.tell("status")

    def _take(self, message: Inbound) -> None:
        if message.retained:
            log.warning("a command the household's broker had kept was ignored: it may be of any age")
            return
        try:
            self._panel.carry_out(said.read_command(self._topics, message.topic, message.payload))
        except (Refused, NotThere) as e:
            log.warning("a command from the household's broker was ignored: %s", e)
        except Unavailable as e:
            log.error("a command from the household's broker could not be carried out: %s", e)

    async def _tell(self, changed: Changed | None) -> None:
        try:
            if changed is not None and changed.what == "visit" and changed.label == RING:
                await self._session.publish(self._topics.event, said.RANG)
            await self._tell_state(self._panel.look())
        except Unavailable as e:
            log.debug("Home Assistant is not told: %s", e)

    async def _tell_state(self, state: HomeState) -> None:
        for topic, payload in (
            (self._topics.discovery, said.discovery(self._node, self._topics, self._name, self._version, state)),
            (self._topics.state, to_json(state)),
            (self._topics.available, said.AVAILABLE),
        ):
            if self._told.get(topic) != payload:
                await self._session.publish(topic, payload, retain=True)
                self._told[topic] = payload

    async def _part(self) -> None:
        """A clean end sends no will: say that the doorbell is gone."""
        try:
            async with asyncio.timeout(_PARTING_S):
                await self._session.publish(self._topics.available, said.UNAVAILABLE, retain=True)
        except (Unavailable, TimeoutError) as e:
            log.debug("Home Assistant is not told of the end: %s", e)


async def _next(news: asyncio.Queue[Changed]) -> Changed | None:
    """What is new; None when it is time to look anyway."""
    try:
        async with asyncio.timeout(_LOOK_EVERY_S):
            return await news.get()
    except TimeoutError:
        return None
