"""The chain as separate processes over Mosquitto: pair, ask, show, share a part, hold, undo, decline, export."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.clapper import apart, make_clapper
from tests.slow.conftest import doorward, doorward_json, is_run_of, needed, packet_hashes
from tests.slow.doorbells import Neighbourhood, until

pytestmark = pytest.mark.slow


@pytest.fixture
def street(tmp_path: Path, mosquitto: str, scene: Path) -> Neighbourhood:
    return Neighbourhood(tmp_path, mosquitto, scene)


def test_a_part_of_one_clip_is_shared_and_nothing_else(street: Neighbourhood, scene: Path) -> None:
    street.pair_before_recording()
    with street.running():
        clips = street.wait_for_clips(2)
        request = street.ask()
        row = street.wait_for_request(request)
        assert row["state"] == "asked"
        shown = street.own("show", request)
        assert shown["request"]["message"] == "Did your camera see anybody?"
        clip = shown["clips"][0]
        begin = datetime.fromisoformat(clip["start"][:19] + "+00:00")
        start, end = (f"{begin + timedelta(seconds=s):%Y-%m-%dT%H:%M:%SZ}" for s in (3, 6))
        assert street.own("share", request, "--clip", f"{clip['id']}@{start}..{end}")["state"] == "agreed"
        (folder,) = street.received()
        films = sorted(folder.glob("clip-*.mp4"))
        assert len(films) == 1
        assert is_run_of(packet_hashes(films[0]), packet_hashes(scene))
        assert 3 * 15 <= len(packet_hashes(films[0])) <= 6 * 15
        until(lambda: street.own("requests")[0]["state"], lambda state: state == "delivered")
        assert [(row["id"], row["labels"]) for row in street.own("clips")][-1] == (clip["id"], [])
        assert [row["labels"] for row in street.command("clips")] == [None] * len(clips), "sealed, at the doorbell"
        poster = street.root / "poster.jpg"
        street.own("poster", clip["id"], "-o", poster)
        assert poster.read_bytes()[:3] == b"\xff\xd8\xff"
        whole = street.root / "whole.mp4"
        street.own("export", clip["id"], "-o", whole)
        assert is_run_of(packet_hashes(films[0]), packet_hashes(whole))
    entries = [entry["what"] for entry in street.command("audit")]
    for what in ("owners-changed", "request-received", "prompted", "decided", "offered", "sent", "receipt"):
        assert what in entries
    checked = street.command("check")
    assert (checked["ok"], checked["findings"]) == (True, [])
    assert checked["clips"] >= len(clips)


@pytest.mark.parametrize("sound", [False, True])
def test_sound_leaves_with_a_yes_for_sound_only(tmp_path: Path, mosquitto: str, sound: bool) -> None:
    street = Neighbourhood(tmp_path, mosquitto, make_clapper(tmp_path / "clapper.mp4", 24))
    street.config.write_text(street.config.read_text() + "[audio]\nrecord = true\n")
    street.pair_before_recording()
    with street.running():
        (clip,) = street.wait_for_clips(1)
        request = street.ask()
        street.wait_for_request(request)
        assert street.own("share", request, *(["--sound"] if sound else []))["state"] == "agreed"
        (folder,) = street.received()
        (film,) = folder.glob("clip-*.mp4")
        whole, silent = tmp_path / "whole.mp4", tmp_path / "silent.mp4"
        street.own("export", clip["id"], "-o", whole)
        street.own("export", clip["id"], "-o", silent, "--no-sound")
    assert doorward_json("requester", "verify", folder)["verified"] is True
    assert (folder / "clips/0/audio.records").exists() is sound
    assert set(json.loads((folder / "clips/0/keys.json").read_text())) == ({"video", "audio"} if sound else {"video"})
    assert film.read_bytes() == (whole if sound else silent).read_bytes(), "what was asked for is the whole clip"
    assert max(map(abs, apart(whole))) < 0.05
    command = [needed("ffprobe"), "-v", "error", "-show_entries", "stream=codec_type", "-of", "csv=p=0", str(film)]
    kinds = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert kinds == (["video", "audio"] if sound else ["video"])
    assert street.command("check")["ok"] is True


def test_hold_undo_and_decline_send_nothing(street: Neighbourhood) -> None:
    street.pair_before_recording()
    street.config.write_text(street.config.read_text().replace("undo_s = 0.5", "undo_s = 4.0"))
    with street.running():
        street.wait_for_clips()
        request = street.ask()
        street.wait_for_request(request)
        assert street.own("share", request)["state"] == "agreed"
        assert street.own("hold", request)["state"] == "held"
        assert street.received(5) == [], "held longer than the undo window"
        assert street.own("undo", request)["state"] == "asked"
        assert street.own("decline", request)["state"] == "declined"
        refused = doorward("owner", "share", request, "--identity", street.owner)
        assert refused.returncode == 1
        assert "not possible any more" in refused.stderr
        assert street.received(3) == []
    assert street.command("check")["ok"] is True


def test_a_killed_doorbell_finishes_the_transfer_after_its_restart(street: Neighbourhood) -> None:
    street.pair_before_recording()
    with street.running() as process:
        street.wait_for_clips(2)
        request = street.ask()
        street.wait_for_request(request)
        street.own("share", request)
        until(lambda: street.own("requests")[0]["state"], lambda state: state == "sending")
        process.kill()
        process.wait()
    assert street.command("check")["ok"] is True
    street.config.write_text(street.config.read_text().replace(f'replay = ["{street.footage}"]', "replay = []"))
    with street.running():
        (folder,) = street.received()
        until(lambda: street.own("requests")[0]["state"], lambda state: state == "delivered")
    assert doorward_json("requester", "verify", folder)["verified"] is True


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"--area": "42.3611,-71.0571,5000"}, "square miles"),
        ({"--area": "somewhere"}, "somewhere"),
        ({"--from": "2026-01-01T00:00:00"}, "not a time"),
        ({"--to": "2020-01-01T00:00:00Z"}, "ends before it begins"),
        ({"--from": "2026-01-01T00:00:00Z", "--to": "2026-01-01T00:05:00Z"}, "15 minutes"),
        ({"--to": "2199-01-01T00:00:00Z", "--from": "2198-12-31T23:00:00Z"}, "future"),
        ({"--broker": "mqtt://127.0.0.1:9"}, "no connection"),
        ({"--identity": "nobody.json"}, "nobody.json"),
        ({"--message": ""}, "message must not be empty"),
    ],
)
def test_a_request_that_cannot_be_is_refused_in_one_sentence(
    tmp_path: Path, changes: dict[str, str], says: str
) -> None:
    identity = tmp_path / "police.json"
    doorward_json("requester", "init", "--agency", "Police", "--identity", identity)
    asked = {
        "--identity": str(identity), "--broker": "mqtt://127.0.0.1:9", "--area": "42.3611,-71.0571,400",
        "--from": "2026-01-01T00:00:00Z", "--to": "2026-01-01T01:00:00Z", "--case": "1", "--incident": "Theft",
        "--message": "Please.", "--contact": "555",
    } | changes  # fmt: skip
    done = doorward("requester", "ask", *(word for pair in asked.items() for word in pair))
    assert done.returncode in (2, 3), done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_owner_without_a_doorbell_is_told_so(tmp_path: Path) -> None:
    identity = tmp_path / "owner.json"
    made = doorward_json("owner", "init", "--identity", identity, "--no-passphrase")
    assert len(made["recovery_code"]) == 34
    again = doorward("owner", "init", "--identity", identity, "--no-passphrase")
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
    unpaired = doorward("owner", "requests", "--identity", identity)
    assert (unpaired.returncode, "not paired" in unpaired.stderr) == (2, True)
    mistyped = doorward("owner", "pair", "ABCD-EFGH", "--identity", identity, "--device", "http://127.0.0.1:9")
    assert (mistyped.returncode, "pairing code" in mistyped.stderr) == (2, True)
    link = "http://127.0.0.1:9/pair#1.AAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA."
    absent = doorward("owner", "pair", link, "--identity", identity)
    assert (absent.returncode, "does not answer" in absent.stderr) == (3, True)
    nothing = doorward("--state", tmp_path / "none", "clips")
    assert (nothing.returncode, "holds no doorbell yet" in nothing.stderr) == (3, True)
    assert json.loads(identity.read_text())["protection"] is None
