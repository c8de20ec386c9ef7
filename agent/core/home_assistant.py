"""What a household's Home Assistant is told of the doorbell over MQTT, and the three things it may ask for.

Owns topics, discovery payload, state document and the reading of commands; never connects. There is no command that
says yes: the strongest is a no. Nothing that shows or describes a visitor is in any message. Source: the MQTT
integration of Home Assistant ("MQTT discovery", device discovery payload); docs/home-assistant.md.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from agent.core.encoding import to_json
from agent.core.errors import Refused

NAMED = "home-assistant"
"""How the log and an outcome name who asked."""

RECORDING_WORDS = ("waiting", "watching", "recording", "blind", "paused", "ended", "stopped")
AVAILABLE, UNAVAILABLE = b"online", b"offline"
RANG = to_json({"event_type": "ring"})
ON, OFF = "ON", "OFF"
_SUPPORT_URL = "https://www.home-assistant.io/integrations/mqtt/"


@dataclass(frozen=True, slots=True)
class Topics:
    """Where one doorbell is found at the household's broker."""

    discovery: str
    available: str
    state: str
    event: str
    pause: str
    decline: str

    @property
    def commands(self) -> tuple[str, str]:
        """Those the doorbell listens to."""
        return self.pause, self.decline


class HomeState(msgspec.Struct, frozen=True):
    """The state document. `waiting`: ids of requests the owner was asked about; `last_clip` RFC 3339."""

    recording: str
    motion: bool
    waiting: list[str]
    paused: bool
    trouble: bool
    clips: int
    bytes: int
    last_clip: str | None


@dataclass(frozen=True, slots=True)
class PauseRequests:
    """Turn requests away until told otherwise, or (False) hear them again."""

    paused: bool


@dataclass(frozen=True, slots=True)
class DeclineRequest:
    """Answer this one request with no."""

    request: str


Command = PauseRequests | DeclineRequest


def node_id(device_key: bytes) -> str:
    """The doorbell's name at the household's broker (16 hex digits): not the one requesters know it by."""
    return hashlib.sha256(b"doorward home assistant v1" + device_key).hexdigest()[:16]


def topics(node: str, prefix: str) -> Topics:
    """`prefix`: Home Assistant's discovery prefix."""
    base = f"doorward/{node}"
    return Topics(
        discovery=f"{prefix}/device/doorward_{node}/config",
        available=f"{base}/available",
        state=f"{base}/state",
        event=f"{base}/event",
        pause=f"{base}/pause/set",
        decline=f"{base}/decline/set",
    )


def declinable(state: HomeState) -> str | None:
    """The request the button declines: the one that waits. Of several nobody can say which is meant: None."""
    return state.waiting[0] if len(state.waiting) == 1 else None


def discovery(node: str, at: Topics, name: str, version: str, state: HomeState) -> bytes:
    """The retained device discovery payload: one device with all its parts.

    The button's press is the id of the request it declines, so that a press that comes late, twice or retained never
    declines another one; without exactly one request waiting the button is there, but cannot be pressed.
    """
    pressed = declinable(state)
    ring: dict[str, object] = {"p": "event", "name": None, "device_class": "doorbell", "event_types": ["ring"]}
    parts: dict[str, dict[str, object]] = {
        "ring": ring | {"state_topic": at.event},
        "motion": {"p": "binary_sensor", "name": "Motion", "device_class": "motion"} | _flag("motion"),
        "request": {"p": "binary_sensor", "name": "Request waiting", "icon": "mdi:account-question"} | _flag("waiting"),
        "trouble": {"p": "binary_sensor", "name": "Trouble", "device_class": "problem"}
        | {"entity_category": "diagnostic"}
        | _flag("trouble"),
        "recording": {"p": "sensor", "name": "Recording", "device_class": "enum", "options": list(RECORDING_WORDS)}
        | _value("recording"),
        "clips": {"p": "sensor", "name": "Clips", "state_class": "measurement", "entity_category": "diagnostic"}
        | _value("clips"),
        "bytes": {"p": "sensor", "name": "Clips on disk", "device_class": "data_size", "unit_of_measurement": "B"}
        | {"state_class": "measurement", "entity_category": "diagnostic"}
        | _value("bytes"),
        "last_clip": {"p": "sensor", "name": "Last clip", "device_class": "timestamp"} | _value("last_clip"),
        "pause": {"p": "switch", "name": "Pause requests", "icon": "mdi:account-cancel", "command_topic": at.pause}
        | _flag("paused"),
        "decline": {"p": "button", "name": "Decline request", "icon": "mdi:close-octagon", "command_topic": at.decline}
        | {"payload_press": pressed or "", "retain": False, "availability_mode": "all"}
        | {"availability": [{"topic": at.available}, _while_one_waits(at)]},
    }
    for key, part in parts.items():
        part["unique_id"] = f"doorward_{node}_{key}"
        if "availability" not in part:
            part["availability_topic"] = at.available
    return to_json(
        {
            "dev": {"ids": [f"doorward_{node}"], "name": name, "mf": "Doorward", "mdl": "Doorward", "sw": version},
            "o": {"name": "Doorward", "sw": version, "url": _SUPPORT_URL},
            "cmps": parts,
            "state_topic": at.state,
            "qos": 1,
        }
    )


def _value(name: str) -> dict[str, object]:
    return {"value_template": f"{{{{ value_json.{name} }}}}"}


def _flag(name: str) -> dict[str, object]:
    return {"value_template": f"{{{{ '{ON}' if value_json.{name} else '{OFF}' }}}}"}


def _while_one_waits(at: Topics) -> dict[str, object]:
    one = "value_json.waiting | length == 1"
    return {"topic": at.state, "value_template": f"{{{{ 'online' if {one} else 'offline' }}}}"}


def read_command(at: Topics, topic: str, payload: bytes) -> Command:
    """What a message to the doorbell asks for; Refused("malformed") for anything but a pause, its end, or a no."""
    if topic == at.pause and payload in (ON.encode(), OFF.encode()):
        return PauseRequests(payload == ON.encode())
    if topic == at.decline and 0 < len(payload) <= 64 and payload.isascii():
        return DeclineRequest(payload.decode())
    raise Refused("malformed", "a message from the household's broker is none of those the doorbell takes")
