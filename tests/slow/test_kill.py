"""kill -9 while recording: what was acknowledged is there, the checker passes, the next start goes on."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.core import identity
from agent.core.sealing import ClipKeys, header_hash, open_record, unwrap_clip_key
from agent.store.ring import ClipReader, Ring
from tests.slow.conftest import doorward_json

pytestmark = pytest.mark.slow


def open_everything(state: Path, code: str) -> int:
    """Open every record of every clip with the recovery code; how many there were."""
    keys = identity.recovery_keys(identity.read_recovery_code(code))
    ring, opened = Ring(state / "ring"), 0
    for sequence in ring.sequences():
        clip = ring.read(sequence)
        secrets = ClipKeys(unwrap_clip_key(clip.header, clip.wraps, keys.opens), header_hash(clip.header))
        with ClipReader(clip.path) as reader:
            for record in clip.records:
                secret = secrets.record_secret(record.header.track, record.header.index)
                open_record(secret, reader.read(record.offset, record.length))
                opened += 1
    return opened


def test_kill_9_in_the_middle_of_recording(tmp_path: Path, scene: Path) -> None:
    state = tmp_path / "state"
    seed = random.randrange(2**32)
    moments = random.Random(seed)
    code = doorward_json("--state", state, "replay", scene)["recovery_code"]
    records = open_everything(state, code)
    for round_number in range(6):
        process = subprocess.Popen(
            [sys.executable, "-m", "agent", "--state", str(state), "replay", str(scene)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        lock = state / "lock"
        deadline = time.monotonic() + 20
        while str(process.pid) not in lock.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(moments.uniform(0.3, 3.0))
        process.kill()
        process.wait()
        checked = doorward_json("--state", state, "check")
        assert checked["ok"] is True, f"seed {seed}, round {round_number}: {checked}"
        now = open_everything(state, code)
        assert now >= records, f"seed {seed}: records were lost"
        records = now
    after = doorward_json("--state", state, "replay", scene)
    assert len(after["clips"]) >= 2
    assert "recovery_code" not in after, "the code is made once"
    assert doorward_json("--state", state, "check")["ok"] is True
    states = {clip["state"] for clip in doorward_json("--state", state, "clips")}
    assert states <= {"closed", "cut"}
    assert open_everything(state, code) > records
