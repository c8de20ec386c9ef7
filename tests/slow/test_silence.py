"""Without a yes nothing leaves; and whatever is not a yes looks the same at every topic of the broker."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.slow.conftest import doorward_json
from tests.slow.doorbells import Neighbourhood, until
from tests.slow.tap import Tap

pytestmark = pytest.mark.slow

LISTEN_S = 6.0


def heard_after(street: Neighbourhood, broker: str, what: str) -> list[tuple[str, int]]:
    """(topic, bytes) of everything on the broker from just before the request until `LISTEN_S` after the answer."""
    with Tap(broker) as tap:
        away = {"not here": "10.0,10.0,400"}.get(what)
        request = street.ask(area=away, case=what)
        if what == "declined":
            street.wait_for_request(request)
            assert street.own("decline", request)["state"] == "declined"
        elif what == "ignored":
            street.wait_for_request(request)
        elif what == "taken back":
            street.wait_for_request(request)
            street.own("share", request)
            assert street.own("undo", request)["state"] == "asked"
        elif what == "withdrawn":
            street.wait_for_request(request)
            doorward_json(
                "requester", "withdraw", request, "--identity", street.requester, "--broker", street.broker
            )  # fmt: skip
        time.sleep(LISTEN_S)
    return [(topic, len(payload)) for topic, payload, _ in tap.messages]


def heard_under_settings(street: Neighbourhood, broker: str) -> dict[str, list[tuple[str, int]]]:
    """The same while the owner has set something that keeps a request from being asked."""
    (police,) = street.own("settings")["requesters"]
    settings = {
        "blocked": (["block", police["id"]], ["unblock", police["id"]]),
        "paused": (["pause"], ["resume"]),
        "by a rule": (["rules", "--incident", "theft"], ["rules", "--clear"]),
        "quiet": (["quiet", "00:00", "23:59", "--zone", "Etc/UTC"], ["quiet", "--off"]),
    }
    heard = {}
    for what, (begin, end) in settings.items():
        street.own(*begin)
        heard[what] = heard_after(street, broker, what)
        street.own(*end)
    return heard


@pytest.fixture
def street(tmp_path: Path, mosquitto: str, scene: Path) -> Neighbourhood:
    return Neighbourhood(tmp_path, mosquitto, scene, undo_s=20.0)


def test_nothing_leaves_without_a_yes(street: Neighbourhood, mosquitto: str) -> None:
    config = street.config.read_text()
    street.config.write_text(config.replace(f'replay = ["{street.footage}"]', "replay = []"))
    with street.running():
        street.pair()
        empty = heard_after(street, mosquitto, "no clips")
    street.config.write_text(config)
    with street.running():
        street.wait_for_clips(2)
        heard = {
            what: heard_after(street, mosquitto, what) for what in ("declined", "ignored", "taken back", "not here")
        }
        states = {row["case_number"]: row["state"] for row in street.own("requests")}
        heard |= heard_under_settings(street, mosquitto)
        heard["withdrawn"] = heard_after(street, mosquitto, "withdrawn")
        set_by_owner = {row["case_number"]: row["state"] for row in street.own("requests")}
        refused = [e["details"]["reason"] for e in street.command("audit") if e["what"] == "request-refused"]
    alone = heard_after(street, mosquitto, "no doorbell")
    assert states == {"declined": "declined", "ignored": "asked", "taken back": "asked"}
    assert {case: set_by_owner.get(case) for case in ("blocked", "paused", "by a rule", "quiet", "withdrawn")} == {
        "blocked": None,
        "paused": None,
        "by a rule": "declined",
        "quiet": "asked",
        "withdrawn": "withdrawn",
    }
    assert {"blocked", "paused"} <= set(refused)
    here = {topic for topic, _ in alone}
    assert all(topic.startswith("area/v1/7/") for topic in here)
    for what, messages in {**heard, "no clips": empty}.items():
        assert all(topic.startswith("area/v1/7/") and topic.endswith("/request") for topic, _ in messages), what
        if what != "not here":
            assert {topic for topic, _ in messages} == here, what
            assert len(messages) == len(alone) * (2 if what == "withdrawn" else 1), what


def test_a_stranger_is_not_heard(street: Neighbourhood, mosquitto: str) -> None:
    """A requester nobody pinned, and junk on every topic the doorbell listens to: no prompt, no answer, no crash."""
    with street.running():
        street.pair()
        street.wait_for_clips(1)
        pinned = street.requester
        street.requester = street.root / "stranger.json"
        doorward_json("requester", "init", "--agency", "Nobody", "--identity", street.requester)
        with Tap(mosquitto) as tap:
            street.ask()
            topic = until(lambda: tap.messages, bool)[0][0]
            for junk in (b"", b"\x00" * 70_000, b"a.b.c", b"{}" * 2000, b"eyJhbGciOiJub25lIn0.e30."):
                tap._client.publish(topic, junk, qos=1).wait_for_publish(5)
            time.sleep(2)
            junk_free = [name for name, _, _ in tap.messages if name != topic and not name.startswith("area/")]
        assert junk_free == []
        assert street.own("requests") == []
        street.requester = pinned
        street.wait_for_request(street.ask())
        refusals = [e["details"]["reason"] for e in street.command("audit") if e["what"] == "request-refused"]
    assert {"unknown-requester", "too-large", "bad-signature"} <= set(refusals)
