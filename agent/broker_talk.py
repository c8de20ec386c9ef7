"""The doorbell's side of the broker: what it listens to, who hears what comes in, and how blocks go out.

Owns the session and its topics; decides nothing. A broker that is away is waited for, without end.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from agent.adapters.broker import BrokerAddress, BrokerSession, Inbound, SessionState
from agent.config import Broker, MqttBroker
from agent.core.errors import Unavailable
from agent.core.topics import read_transfer_topic
from agent.core.uplink import Uplink
from agent.disclosure.bulletin import Bulletin
from agent.disclosure.intake import Intake
from agent.disclosure.sending import Sending

log = logging.getLogger(__name__)


def broker_address(broker: MqttBroker) -> BrokerAddress | None:
    """The broker of the configuration, None where there is none. BadInput names what of it cannot be used."""
    if not broker.url:
        return None
    ca, certificate, key = (Path(file) if file else None for file in (broker.ca, broker.certificate, broker.key))
    return BrokerAddress.parse(broker.url, ca_file=ca, cert_file=certificate, key_file=key)


def uplink(broker: Broker) -> Uplink | None:
    """The limit the configuration sets to sending, if any."""
    return Uplink(broker.upload_kbit_s * 1000 / 8) if broker.upload_kbit_s else None


class BrokerTalk:
    """One session for the doorbell's life. `state` is off until `run`."""

    def __init__(self, bulletin: Bulletin) -> None:
        self._bulletin = bulletin
        self._session: BrokerSession | None = None
        self._listening: list[str] = []

    @property
    def state(self) -> str:
        """connected, connecting or off."""
        return self._session.state.value if self._session else "off"

    async def run(self, address: BrokerAddress, requests: str, intake: Intake, sending: Sending) -> None:
        """Until cancelled: hand on what comes on the topic `requests` and on those of transfers."""
        async with BrokerSession(address) as session:
            self._session = session
            await session.subscribe(requests, *self._listening)
            state, connections, told = session.state, 0, ""
            while True:
                messages = await session.receive(timeout_s=5)
                if session.connections != connections:
                    connections, told = session.connections, ""
                    sending.on_connected()
                for message in messages:
                    try:
                        if message.topic == requests:
                            intake.on_request(message.payload)
                        else:
                            await _hand_on(message, sending)
                    except Unavailable as e:
                        # Unanswered, as by a doorbell that is off: a requester asks again, or takes silence for a no.
                        log.error("a message was let go by: %s", e)
                if session.state is SessionState.CONNECTING and session.complaint != told:
                    told = session.complaint
                    log.warning("%s", told)
                if session.state is not state:
                    state = session.state
                    self._bulletin.tell("status")

    async def publish(self, topic: str, payload: bytes, qos: int) -> bool:
        """Whether it was sent."""
        if self._session is None:
            return False
        try:
            await self._session.publish(topic, payload, qos=qos)
        except Unavailable as e:
            log.info("not sent: %s", e)
            return False
        return True

    async def listen(self, topics: list[str]) -> None:
        """Listen to exactly these topics beside that of requests."""
        old, self._listening = self._listening, topics
        if self._session is None:
            return  # `run` begins with them
        gone = [topic for topic in old if topic not in topics]
        # Each by itself: the session remembers what is wanted also where the connection breaks while it says so.
        for say in (partial(self._session.unsubscribe, *gone), partial(self._session.subscribe, *topics)):
            try:
                await say()
            except Unavailable as e:
                log.info("listening begins when the broker is back: %s", e)


async def _hand_on(message: Inbound, sending: Sending) -> None:
    topic = read_transfer_topic(message.topic)
    if topic is not None and topic.what == "get":
        await sending.on_get(topic.transfer, message.payload)
    elif topic is not None and topic.what == "receipt":
        await sending.on_receipt(topic.transfer, message.payload)
