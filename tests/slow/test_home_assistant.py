"""A doorbell at the household's own broker, beside the requesters' one, both real; whatever is said there, no yes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest

from agent.adapters.broker import BrokerAddress
from agent.core.home_assistant import topics
from agent.home_talk import HomeTalk
from tests.slow.conftest import free_port, needed, wait_for_port
from tests.slow.doorbells import Neighbourhood, until
from tests.slow.tap import Tap
from tests.unit.test_home_assistant import Panel

pytestmark = pytest.mark.slow

WORDS = (b"share", b"approve", b"yes", b"PRESS", b"ON,share", b'{"answer":"share"}', b"A" * 22, b"\0\xff" * 400)


class House:
    """The household's broker, which can go and come back, and what Home Assistant would see there."""

    def __init__(self, root: Path) -> None:
        self.port = free_port()
        self.config = root / "household.conf"
        self.config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
        self.messages: list[tuple[str, bytes]] = []
        self._subscribed = threading.Event()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """The broker and one subscriber to everything."""
        quiet = subprocess.DEVNULL
        broker = subprocess.Popen([needed("mosquitto"), "-c", str(self.config)], stdout=quiet, stderr=quiet)
        self.messages.clear()
        self._subscribed.clear()
        try:
            wait_for_port(self.port, broker)
            self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
            self.client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
            self.client.on_subscribe = lambda *_: self._subscribed.set()
            self.client.on_message = lambda _c, _u, m: self.messages.append((m.topic, bytes(m.payload)))
            self.client.connect("127.0.0.1", self.port)
            self.client.loop_start()
            assert self._subscribed.wait(10)
            yield
            self.client.disconnect()
            self.client.loop_stop()
        finally:
            broker.terminate()
            broker.wait(10)

    def last(self, end: str) -> bytes | None:
        """The newest message of the topic that ends so."""
        said = (payload for topic, payload in reversed(self.messages) if topic.endswith(end))
        return next((payload for payload in said if payload not in WORDS), None)

    def topic(self, end: str) -> str:
        return next(topic for topic, _ in reversed(self.messages) if topic.endswith(end))

    def state(self) -> dict[str, Any]:
        return json.loads(self.last("/state") or b"{}")

    def entity(self, name: str) -> dict[str, Any]:
        """What discovery said of one part of the device."""
        found: dict[str, Any] = json.loads(self.last("/config") or b"{}")["cmps"][name]
        return found

    def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(5)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
def street(tmp_path: Path, mosquitto: str, scene: Path, house: House) -> Neighbourhood:
    street = Neighbourhood(tmp_path, mosquitto, scene)
    street.config.write_text(street.config.read_text() + f'[home_assistant]\nurl = "{house.url}"\n')
    return street


def everything(house: House, request: str) -> Iterator[tuple[str, bytes]]:
    """Every topic there is or might be, with every word that might mean yes, or hit another request."""
    base = house.topic("/state").removesuffix("/state")
    ends = ("pause/set", "decline/set", "share/set", "approve/set", "state", "event", "available", "press/set", "")
    for end in ends:
        for word in WORDS:
            yield f"{base}/{end}".rstrip("/"), word
    for topic in (f"x/{request}/get", f"area/v1/7/{request}/request", "homeassistant/status", house.topic("/config")):
        yield topic, b"share"


def test_home_assistant_finds_it_sees_a_request_and_can_only_say_no(
    street: Neighbourhood, house: House, mosquitto: str
) -> None:
    with house.running(), street.running():
        street.pair()
        street.wait_for_clips(1)
        until(lambda: house.state().get("clips", 0), bool)
        assert house.last("/available") == b"online"
        with Tap(mosquitto) as tap:
            request = street.ask()
            until(lambda: house.state()["waiting"], lambda waiting: waiting == [request])
            until(lambda: house.entity("decline")["payload_press"], lambda press: press == request)
            for topic, word in everything(house, request):
                house.say(topic, word)
            time.sleep(2)
            assert street.wait_for_request(request)["state"] == "asked"
            button = house.entity("decline")
            house.say(button["command_topic"], button["payload_press"].encode())
            row = until(lambda: street.wait_for_request(request), lambda row: row["state"] != "asked")
            assert (row["state"], row["declined_by"], row["sent_bytes"]) == ("declined", "home-assistant", 0)
            until(lambda: house.state()["waiting"], lambda waiting: waiting == [])
            assert street.receive(2).returncode == 0
        assert all(topic.startswith("area/") for topic, _, _ in tap.messages)
        noted = [entry["what"] for entry in street.command("audit")]
        assert "declined-unsigned" in noted
        assert not {"decided", "offered", "sent"} & set(noted)
        secret = [street.requester.name, "Springfield", "24-118", "42.36"]
        assert not [m for m in house.messages if any(word.encode() in m[1] for word in secret)]


def test_the_switch_pauses_and_a_kept_command_does_not(street: Neighbourhood, house: House) -> None:
    with house.running():
        with street.running():
            street.pair()
            street.wait_for_clips(1)
            until(lambda: house.state().get("clips", 0), bool)
            switch = house.entity("pause")["command_topic"]
            house.say(switch, b"ON", retain=True)
            until(lambda: house.state()["paused"], bool)
            street.own("resume")
            until(lambda: house.state()["paused"], lambda paused: not paused)
        until(lambda: house.last("/available"), lambda said: said == b"offline")
        with street.running() as doorbell:
            until(lambda: house.last("/available"), lambda said: said == b"online")
            time.sleep(1)  # the broker has handed over the command it kept
            assert house.state()["paused"] is False
            doorbell.kill()
            until(lambda: house.last("/available"), lambda said: said == b"offline")


async def test_a_ring_is_told_once_and_a_broker_that_was_away_is_told_anew(tmp_path: Path, house: House) -> None:
    door = Panel(tmp_path)
    at = topics("node", "homeassistant")
    bulletin = door.bulletin
    talk = HomeTalk(BrokerAddress.parse(house.url), "homeassistant", "node", "Door", "1", door.panel, bulletin)
    task = asyncio.create_task(talk.run())

    async def seen(topic: str, payload: bytes) -> None:
        async with asyncio.timeout(15):
            while (topic, payload) not in house.messages:  # noqa: ASYNC110 - they come in paho's thread
                await asyncio.sleep(0.05)

    try:
        with house.running():
            await seen(at.available, b"online")
            bulletin.tell_visit("", "person")
            bulletin.tell_visit("", "ring")
            await seen(at.event, b'{"event_type":"ring"}')
            await asyncio.sleep(0.3)
            assert [t for t, _ in house.messages].count(at.event) == 1
        bulletin.tell_visit("", "ring")
        request = door.ask()
        with house.running():
            await seen(at.available, b"online")
            assert house.state()["waiting"] == [request]
            assert at.event not in [t for t, _ in house.messages]
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
