"""Several owners as separate processes: invite, join, remove; recover at the doorbell and from its card."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.slow.conftest import doorward, doorward_json, is_run_of, packet_hashes
from tests.slow.doorbells import Neighbourhood

pytestmark = pytest.mark.slow


@pytest.fixture
def street(tmp_path: Path, mosquitto: str, scene: Path) -> Neighbourhood:
    return Neighbourhood(tmp_path, mosquitto, scene)


def invited(street: Neighbourhood, identity: Path) -> Any:
    """Invite in one process, join in another; what `join` told."""
    command = [sys.executable, "-m", "agent", "--json", "owner", "invite", "--yes", "--identity", str(street.owner)]
    host = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert host.stderr is not None
        said = ""
        while (found := re.search(r"http://\S+/pair#2\.\S+", said)) is None:
            line = host.stderr.readline()
            assert line, said
            said += line
        joined = doorward_json("owner", "join", found.group(), "--identity", identity)
        out, _ = host.communicate(timeout=20)
        assert host.returncode == 0
        assert json.loads(out)["name"] == "This computer"
        return joined
    finally:
        host.kill()


def code_of(street: Neighbourhood, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """A second identity whose recovery code is known goes where DOORWARD_RECOVERY_CODE is read from."""
    street.owner = root / "known.json"
    made = doorward_json("owner", "init", "--identity", street.owner, "--no-passphrase")
    monkeypatch.setenv("DOORWARD_RECOVERY_CODE", made["recovery_code"])


def test_a_second_owner_decides_as_the_first_does(street: Neighbourhood, tmp_path: Path) -> None:
    second = tmp_path / "second.json"
    doorward_json("owner", "init", "--identity", second, "--no-passphrase")
    config = street.config.read_text()
    street.config.write_text(config.replace(f'replay = ["{street.footage}"]', "replay = []"))
    with street.running():
        street.pair()
        assert invited(street, second)["url"] == street.url
        assert [o["name"] for o in street.own("people")["owners"]] == ["This computer"] * 2
    street.config.write_text(config)
    with street.running():
        street.wait_for_clips(2)
        request = street.ask()
        street.wait_for_request(request)
        assert doorward_json("owner", "share", request, "--identity", second)["state"] == "agreed"
        again = doorward("owner", "share", request, "--identity", street.owner)
        assert again.returncode == 1
        assert "not possible any more" in again.stderr
        (folder,) = street.received()
        assert packet_hashes(next(iter(sorted(folder.glob("clip-*.mp4")))))
        key = doorward_json("owner", "people", "--identity", second)["owners"][1]["owner"]
        street.own("remove", key[:8])
        refused = doorward("owner", "requests", "--identity", second)
        assert refused.returncode == 1
    assert street.command("check")["ok"] is True


def test_the_recovery_code_alone_opens_everything(
    street: Neighbourhood, tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_of(street, monkeypatch, tmp_path)
    street.pair_before_recording()
    street.owner.unlink()  # the computer is gone; the code on paper is left
    with street.running():
        clip = street.wait_for_clips(2)[0]["id"]
        back = tmp_path / "back.json"
        arguments = ("--device", street.url, "--identity", back, "--alone", "--no-passphrase")
        assert doorward_json("owner", "recover", *arguments)["url"] == street.url
        film = tmp_path / "film.mp4"
        doorward_json("owner", "export", clip, "--identity", back, "-o", film)
        assert is_run_of(packet_hashes(film), packet_hashes(scene))
        assert len(doorward_json("owner", "people", "--identity", back)["owners"]) == 1
    films = tmp_path / "films"
    told = doorward_json("owner", "recover", "--card", street.state, "--out", films)
    clips = street.command("clips")
    assert {c["clip"] for c in told["clips"]} == {c["id"] for c in clips}
    for rescued in told["clips"]:
        assert rescued["problem"] is None
        assert is_run_of(packet_hashes(films / rescued["file"]), packet_hashes(scene))
    monkeypatch.setenv("DOORWARD_RECOVERY_CODE", "0000-0000-0000-0000-0000-0000-0000")
    mistyped = doorward("owner", "recover", "--card", street.state, "--out", films)
    assert mistyped.returncode == 2
    assert "mistyped" in mistyped.stderr
