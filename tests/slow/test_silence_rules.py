"""What a requester sees through the broker as it is shipped: the same nothing for every answer that is not a yes.

The requester uses all its account allows, in MQTT 5: every subscription it can think of, the codes of every
acknowledgement, properties, disconnections.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
import pytest

from agent.core.area import Circle, cell_of
from agent.core.timeline import Span
from agent.core.topics import request_topic
from agent.requester import key_file
from agent.requester.asking import Question, compose
from agent.requester.key_file import RequesterIdentity
from tests.slow.conftest import doorward_json
from tests.slow.doorbells import HOME, Neighbourhood
from tests.slow.shipped_broker import WORD, ShippedBroker, shipped_broker

pytestmark = pytest.mark.slow

MINUTE_NS = 60 * 10**9
LISTEN_S = 5.0
DOORBELL = "d-7f3a9c"


@dataclass
class Spy:
    """A requester's own eyes at the broker."""

    broker: ShippedBroker
    identity: RequesterIdentity
    wishes: tuple[str, ...] = ("#", "$SYS/#", "x/#", "x/+/+/get", "area/#", "$share/all/area/v1/7/+/request")
    seen: list[tuple[Any, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._acknowledged = threading.Semaphore(0)
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.tls_set(str(self.broker.ca))
        self._client.username_pw_set(self.identity.said.id, WORD)
        self._client.on_connect = lambda _c, _u, flags, code, _p: self._note(
            "connack", flags.session_present, str(code)
        )
        self._client.on_subscribe = lambda _c, _u, _m, codes, _p: self._note("suback", *map(str, codes))
        self._client.on_publish = lambda _c, _u, _m, code, _p: self._note("puback", str(code))
        self._client.on_message = lambda _c, _u, m: self.seen.append(("message", m.topic.rsplit("/")[-1], m.retain))
        self._client.on_disconnect = lambda _c, _u, _f, code, _p: self.seen.append(("disconnected", str(code)))

    def _note(self, *what: Any) -> None:
        self.seen.append(what)
        self._acknowledged.release()

    def _wait(self) -> None:
        assert self._acknowledged.acquire(timeout=10), (self.seen, "no acknowledgement")

    def __enter__(self) -> Self:
        self._client.connect("localhost", self.broker.port)
        self._client.loop_start()
        self._wait()
        mine = self.identity.said.id
        for wish in (*self.wishes, f"x/{mine}/#"):
            self._client.subscribe(wish, qos=1)
            self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def ask(self, place: tuple[float, float] = HOME, *, ago_min: int = 0, incident: str = "Package theft") -> str:
        """Publish a signed request to the doorbell's cell, wherever its area is; the request's id."""
        now = time.time_ns()
        span = Span(now - (ago_min + 30) * MINUTE_NS, now - ago_min * MINUTE_NS)
        question = Question(
            area=Circle((place[1], place[0]), 200.0), span=span, case_number="24-118", incident_type=incident,
            message="Did your camera see anybody?", contact="555-0100",
        )  # fmt: skip
        token, asked = compose(self.identity, question, now)
        self.identity.keep_request(token)
        self._client.publish(request_topic(cell_of(*HOME)), token, qos=1)
        self._wait()
        return asked.id

    def pry(self) -> None:
        """Write where it must not, and with a will and a retained message, and see what is said."""
        for topic in (f"x/{self.identity.said.id}/{'A' * 22}/offer", f"x/{'B' * 22}/{'A' * 22}/get", "area/v1/7/x/y"):
            self._client.publish(topic, b"x", qos=1)
            self._wait()


@pytest.fixture
def cast(tmp_path: Path) -> dict[str, RequesterIdentity]:
    """A requester for each thing that can become of a request."""
    parts = (
        "declined", "ignored", "taken back", "no clips", "not here", "blocked", "by rule", "paused", "doorbell off",
        "shared",
    )  # fmt: skip
    cast = {}
    for part in parts:
        path = tmp_path / f"{part.replace(' ', '-')}.json"
        doorward_json("requester", "init", "--agency", f"Agency {part}", "--identity", path)
        cast[part] = key_file.load(path)
    return cast


def street_of(tmp_path: Path, broker: ShippedBroker, scene: Path, pinned: list[str]) -> Neighbourhood:
    street = Neighbourhood(tmp_path, broker.url(DOORBELL), scene, undo_s=20.0)
    text = street.config.read_text().replace("[requesters]", f'ca = "{broker.ca}"\n[requesters]')
    names = ", ".join(f'"{name.replace(" ", "-")}.json.statement"' for name in pinned)
    street.config.write_text(text.replace('"police.json.statement"', names))
    return street


def test_whatever_is_not_a_yes_looks_the_same(tmp_path: Path, scene: Path, cast: dict[str, RequesterIdentity]) -> None:
    accounts = [("doorbell", DOORBELL), *(("requester", who.said.id) for who in cast.values())]
    with shipped_broker(tmp_path / "broker", accounts) as broker:
        street = street_of(tmp_path, broker, scene, list(cast))
        recorded = street.config.read_text()
        street.config.write_text(recorded.replace(f'replay = ["{street.footage}"]', "replay = []"))
        with street.running():
            street.pair()
        street.config.write_text(recorded)
        spies = {part: Spy(broker, who) for part, who in cast.items()}
        for spy in spies.values():
            spy.__enter__()
        with street.running():
            street.wait_for_clips(2)
            street.own("block", cast["blocked"].said.id)
            street.own("rules", "--incident", "Graffiti")
            asked = {part: spies[part].ask() for part in ("declined", "ignored", "taken back", "blocked", "shared")}
            spies["no clips"].ask(ago_min=600)
            spies["not here"].ask((HOME[0] + 0.01, HOME[1]))
            spies["by rule"].ask(incident="Graffiti")
            street.wait_for_request(asked["shared"])
            street.own("decline", asked["declined"])
            street.own("share", asked["taken back"])
            street.own("undo", asked["taken back"])
            street.own("pause")
            spies["paused"].ask()
            street.own("resume")
            time.sleep(LISTEN_S)
        spies["doorbell off"].ask()
        for spy in spies.values():
            spy.pry()
        time.sleep(1)
        for spy in spies.values():
            spy.__exit__(None, None, None)
        states = {row["id"]: row["state"] for row in rows(street)}
        seen = {part: spy.seen for part, spy in spies.items()}
        assert states[asked["declined"]] == "declined"
        assert states[asked["taken back"]] == states[asked["ignored"]] == "asked"
        for part, transcript in seen.items():
            assert transcript == seen["doorbell off"], part
        assert not any(what[0] == "message" for what in seen["ignored"])
        assert ("puback", "Success") in seen["ignored"]

        street.config.write_text(street.config.read_text().replace("undo_s = 20.0", "undo_s = 0.0"))
        with Spy(broker, cast["shared"]) as spy, street.running():
            assert street.own("share", asked["shared"])["state"] == "agreed"
            deadline = time.monotonic() + 20
            while ("message", "offer", False) not in spy.seen:
                assert time.monotonic() < deadline, "with a yes the same eyes see the offer: they are open"
                time.sleep(0.1)


def test_nothing_tells_whether_a_doorbell_listens(
    tmp_path: Path, scene: Path, cast: dict[str, RequesterIdentity]
) -> None:
    """MQTT 5 would say so, where nobody else has a subscription that fits: not even the one who asks."""
    here, gone = cast["ignored"], cast["doorbell off"]
    accounts = [("doorbell", DOORBELL), ("requester", here.said.id), ("requester", gone.said.id)]
    with shipped_broker(tmp_path / "broker", accounts) as broker:
        street = street_of(tmp_path, broker, scene, ["ignored", "doorbell off"])
        with street.running(), Spy(broker, here, ()) as listened_to:
            street.pair()
            request = listened_to.ask()
            street.wait_for_request(request)
            listened_to.pry()
        with Spy(broker, gone, ()) as unheard:
            unheard.ask()
            unheard.pry()
        assert listened_to.seen == unheard.seen


def rows(street: Neighbourhood) -> list[dict[str, Any]]:
    with street.running():
        found: list[dict[str, Any]] = street.own("requests")
        return found


def test_a_transfer_goes_by_certificates_and_nobody_else_sees_it(
    tmp_path: Path, scene: Path, cast: dict[str, RequesterIdentity]
) -> None:
    """Accounts by client certificate; the other requesters' subscriptions bring them nothing of this one's film."""
    accounts = [("doorbell", DOORBELL), *(("requester", who.said.id) for who in cast.values())]
    with shipped_broker(tmp_path / "broker", accounts, certificates=True) as broker:
        url = f"mqtts://localhost:{broker.port}"
        street = street_of(tmp_path, broker, scene, ["shared"])
        files = "\n".join(
            f'{key} = "{broker.directory / name}"'
            for key, name in (("certificate", f"{DOORBELL}.crt"), ("key", f"{DOORBELL}.key"))
        )
        text = street.config.read_text().replace("[requesters]", f"{files}\n[requesters]")
        text = text.replace(broker.url(DOORBELL), url).replace("undo_s = 20.0", "undo_s = 0.2")
        street.config.write_text(text.replace(f'replay = ["{street.footage}"]', "replay = []"))
        with street.running():
            street.pair()
        street.config.write_text(text)
        who = cast["shared"].said.id
        street.broker, street.requester = url, tmp_path / "shared.json"
        street.proof = (
            "--ca", str(broker.ca), "--cert", str(broker.directory / f"{who}.crt"),
            "--key", str(broker.directory / f"{who}.key"),
        )  # fmt: skip
        other = cast["ignored"]
        eavesdropper = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        heard: list[str] = []
        eavesdropper.on_message = lambda _c, _u, message: heard.append(message.topic)
        eavesdropper.tls_set(
            str(broker.ca),
            str(broker.directory / f"{other.said.id}.crt"),
            str(broker.directory / f"{other.said.id}.key"),
        )
        eavesdropper.connect("localhost", broker.port)
        eavesdropper.loop_start()
        for wish in ("#", "x/#", f"x/{who}/#", f"x/{who}/+/offer", f"x/{who}/+/block/+"):
            eavesdropper.subscribe(wish)
        with street.running():
            street.wait_for_clips(2)
            request = street.ask()
            street.wait_for_request(request)
            street.own("share", request)
            (folder,) = street.received()
            assert list(folder.glob("clip-*.mp4"))
        eavesdropper.disconnect()
        eavesdropper.loop_stop()
        assert heard == []
