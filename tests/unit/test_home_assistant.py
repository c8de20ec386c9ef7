"""What Home Assistant is told is what its MQTT integration documents, and nothing it says can be a yes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.broker import BrokerAddress
from agent.config import Broker, Config, HomeAssistant
from agent.core.consent import State
from agent.core.encoding import from_json, to_json
from agent.core.errors import BadInput, Refused
from agent.core.home_assistant import (
    RECORDING_WORDS,
    DeclineRequest,
    HomeState,
    PauseRequests,
    discovery,
    node_id,
    read_command,
    topics,
)
from agent.core.owner_api import Trouble
from agent.core.settings import QuietHours, Settings
from agent.core.timeline import Span, TimeBase, Trust
from agent.disclosure.bulletin import Bulletin
from agent.disclosure.home_panel import HomePanel
from agent.disclosure.preferences import Preferences
from agent.disclosure.trusted import Trusted
from agent.home_talk import household_address
from tests.household import NOW, SECOND, HandSet, Household

NODE = node_id(bytes(32))
AT = topics(NODE, "homeassistant")
QUIET = HomeState("watching", False, [], False, False, 0, 0, None)

# What the MQTT integration's pages document for each platform, as far as it concerns us: (required, optional).
COMMON = {"p", "name", "unique_id", "availability_topic", "availability", "availability_mode", "icon"} | {
    "entity_category",
    "device_class",
    "state_topic",
    "value_template",
}
DOCUMENTED: dict[str, tuple[set[str], set[str]]] = {
    "event": ({"event_types", "state_topic"}, set()),
    "binary_sensor": (set(), set()),
    "sensor": (set(), {"state_class", "unit_of_measurement", "options"}),
    "switch": ({"command_topic"}, set()),
    "button": ({"command_topic"}, {"payload_press", "retain"}),
}
CLASSES = {
    "event": {"doorbell"},
    "binary_sensor": {"motion", "problem"},
    "sensor": {"enum", "timestamp", "data_size"},
}


def parts(state: HomeState) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(discovery(NODE, AT, "Front door", "1.0", state))["cmps"]
    return found


def test_the_discovery_payload_is_as_home_assistant_documents_it() -> None:
    said = json.loads(discovery(NODE, AT, "Front door", "1.0", QUIET))
    assert set(said) == {"dev", "o", "cmps", "state_topic", "qos"}
    assert said["o"]["name"]  # required of every device discovery payload
    assert said["dev"]["ids"] == [f"doorward_{NODE}"]
    assert AT.discovery == f"homeassistant/device/doorward_{NODE}/config"
    assert sorted({part["p"] for part in said["cmps"].values()}) == sorted(DOCUMENTED)
    assert len({part["unique_id"] for part in said["cmps"].values()}) == len(said["cmps"])
    for name, part in said["cmps"].items():
        required, more = DOCUMENTED[part["p"]]
        assert required <= set(part) <= COMMON | required | more, name
        assert part.get("device_class") in CLASSES.get(part["p"], set()) | {None}
        assert ("availability_topic" in part) != ("availability" in part), "they exclude each other"
    assert said["cmps"]["recording"]["options"] == list(RECORDING_WORDS)


def test_what_a_template_reads_is_in_the_state_document() -> None:
    document = json.loads(to_json(QUIET))
    for name, part in parts(QUIET).items():
        if "value_template" in part:
            asked = part["value_template"].split("value_json.")[1].split()[0].rstrip("}")
            assert asked in document, name


def test_the_button_means_the_one_request_that_waits() -> None:
    for waiting, press in (([], ""), (["AAAA"], "AAAA"), (["AAAA", "BBBB"], "")):
        assert parts(msgspec.structs.replace(QUIET, waiting=waiting))["decline"]["payload_press"] == press


@given(st.sampled_from([AT.pause, AT.decline, AT.state, AT.event, AT.available, "x"]), st.binary(max_size=80))
def test_any_message_is_a_pause_its_end_a_no_or_refused(topic: str, payload: bytes) -> None:
    try:
        command = read_command(AT, topic, payload)
    except Refused:
        return
    match command:
        case PauseRequests(paused):
            assert topic == AT.pause
            assert payload == (b"ON" if paused else b"OFF")
        case DeclineRequest(request):
            assert topic == AT.decline
            assert request.encode() == payload


class _Activity:
    recording = "watching"
    troubles: list[Trouble] = []  # noqa: RUF012
    broker = "connected"
    detector = "off"

    def sent_bytes(self, request: str) -> int | None:
        return None

    def look_again(self) -> None: ...


class Panel:
    """A panel over a household with one clip."""

    def __init__(self, root: Path) -> None:
        self.home = Household.at(root)
        self.home.record_clip(NOW - 60 * SECOND)
        self.time = HandSet(lambda: NOW)
        self.bulletin = Bulletin()
        trusted = Trusted(self.home.ledger, [self.home.requester_statement], None, self.time.now)
        preferences = Preferences(self.home.ledger, trusted, self.bulletin, self.time.now, lambda *_: 0)
        self.activity = _Activity()
        self.panel = HomePanel(
            self.home.ledger, self.home.clips.index, preferences, self.activity, self.bulletin, self.time
        )

    def ask(self, *, prompted: bool = True) -> str:
        row, _ = self.home.admit(Span(NOW - 900 * SECOND, NOW))
        if prompted:
            self.home.ledger.prompted(row.id, NOW)
        return row.id


@pytest.fixture
def door(tmp_path: Path) -> Panel:
    return Panel(tmp_path)


def test_a_pause_works_though_the_zone_of_the_quiet_hours_is_unknown_here(door: Panel) -> None:
    """As after the card moved to a system without time zones."""

    def minute_of_day(_utc_ns: int, zone: str) -> int:
        raise BadInput(f"there is no time zone '{zone}'")

    ledger = door.home.ledger
    ledger.put_settings(Settings(quiet=QuietHours("22:00", "07:00", "Mars/Olympus")), NOW, {})
    trusted = Trusted(ledger, [], None, door.time.now)
    preferences = Preferences(ledger, trusted, door.bulletin, door.time.now, minute_of_day)
    panel = HomePanel(ledger, door.home.clips.index, preferences, door.activity, door.bulletin, door.time)
    panel.carry_out(PauseRequests(True))
    assert panel.look().paused


def test_how_things_stand(door: Panel) -> None:
    door.ask(prompted=False)
    seen = door.panel.look()
    assert (seen.waiting, seen.motion, seen.clips, seen.paused) == (
        [],
        False,
        1,
        False,
    )  # quiet hours
    assert seen.last_clip is not None
    request = door.ask()
    door.activity.recording = "recording"
    assert (door.panel.look().waiting, door.panel.look().motion) == ([request], True)
    assert from_json(to_json(seen), HomeState, "it") == seen


def test_a_clip_of_uncertain_time_has_none(door: Panel) -> None:
    door.home.record_clip(NOW, base=TimeBase(0, NOW, Trust.PROVISIONAL, "A" * 22))
    assert door.panel.look().last_clip is None


def test_a_no_is_final_unsigned_and_named(door: Panel) -> None:
    request = door.ask()
    door.panel.carry_out(DeclineRequest(request))
    row = door.home.ledger.request(request)
    assert (row.state, row.rule, row.decision) == (State.DECLINED, "home-assistant", None)
    (entry,) = [e for e in door.home.ledger.entries() if e.what == "declined-unsigned"]
    assert json.loads(entry.details) == {"request": request, "by": "home-assistant"}
    with pytest.raises(Refused, match="not the one"):
        door.panel.carry_out(DeclineRequest(request))


def test_of_two_requests_none_can_be_declined_and_a_late_press_hits_no_other(door: Panel) -> None:
    first = door.ask()
    second = door.ask()
    for request in (first, second, "", "PRESS"):
        with pytest.raises(Refused):
            door.panel.carry_out(DeclineRequest(request))
    door.home.ledger.decline_unsigned(first, "home-assistant", NOW)
    with pytest.raises(Refused):
        door.panel.carry_out(DeclineRequest(first))
    assert door.home.ledger.request(second).state is State.ASKED


def test_the_switch_is_the_owners_pause(door: Panel) -> None:
    for paused in (True, True, False):
        door.panel.carry_out(PauseRequests(paused))
        assert door.panel.look().paused is paused
    changes = [json.loads(e.details) for e in door.home.ledger.entries() if e.what == "settings-changed"]
    assert [(c["owner"], c["change"]) for c in changes] == [("home-assistant", "pause"), ("home-assistant", "resume")]


def test_the_household_is_told_nothing_at_the_requesters_broker() -> None:
    assert household_address(Config()) is None
    home = HomeAssistant(url="mqtt://home:1883")
    assert household_address(Config(home_assistant=home)) == BrokerAddress.parse("mqtt://home")
    with pytest.raises(BadInput, match="household's own broker"):
        household_address(Config(broker=Broker(url="mqtt://me:word@home"), home_assistant=home))
    with pytest.raises(BadInput, match=r"home_assistant: .*mqtt://host:1883"):
        household_address(Config(home_assistant=HomeAssistant(url="http://home")))
