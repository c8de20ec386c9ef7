"""A live doorbell killed while a request waits for the time: the next process puts it before the owner, once."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.slow.conftest import needed
from tests.slow.doorbells import Neighbourhood, until
from tests.slow.tap import Tap

pytestmark = pytest.mark.slow
SOURCE = Path(__file__).parent / "stepped_clock.c"


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What programs started from here on read of the clock: the machine's, and whether a time server vouches for it."""
    library, clock = tmp_path / "stepped.so", tmp_path / "clock"
    subprocess.run([needed("gcc"), "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("STEPPED_CLOCK", str(clock))
    clock.write_text("0 5\n")
    return clock


def test_a_request_that_waits_for_the_time_outlives_the_doorbell(
    tmp_path: Path, mosquitto: str, scene: Path, clock: Path
) -> None:
    street = Neighbourhood(tmp_path, mosquitto, scene)
    street.config.write_text(street.config.read_text().replace("trusted = true", "trusted = false"))
    street.pair_before_recording()
    log = tmp_path / "doorbell.log"
    with Tap(mosquitto) as tap:
        with street.running() as process:
            street.wait_for_clips()
            request = street.ask()
            until(log.read_text, lambda text: "a request waits until the doorbell knows the time" in text)
            assert street.own("requests") == []
            process.kill()
            process.wait()
        clock.write_text("0 0\n")
        with street.running():
            assert street.wait_for_request(request)["state"] == "asked"
            time.sleep(2)
        assert {topic.split("/")[0] for topic, _, _ in tap.messages} == {"area"}, "the doorbell itself said nothing"
    entries = [entry["what"] for entry in street.command("audit")]
    assert [entries.count(what) for what in ("request-received", "prompted", "request-refused")] == [1, 1, 0]
