"""A running doorbell tells the owner's phone of a request, once, and says nothing of what it is about."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.ntfy_server import NtfyServer
from tests.slow.conftest import doorward_json
from tests.slow.doorbells import Neighbourhood, until

pytestmark = pytest.mark.slow


def test_a_request_reaches_the_phone_once(tmp_path: Path, mosquitto: str, scene: Path) -> None:
    with NtfyServer() as server:
        street = Neighbourhood(tmp_path, mosquitto, scene)
        street.config.write_text(street.config.read_text() + f'[notify]\non = []\nntfy = "{server.url}"\n')
        assert doorward_json("--config", street.config, "notify") == {"told": True}
        assert server.texts() == ["This is how Doorward will reach you."]
        with street.running():
            street.pair()
            street.wait_for_clips(1)
            request = street.ask()
            until(server.texts, lambda texts: len(texts) == 2)
            assert "asks for video" in server.texts()[1]
        with street.running():
            street.own("decline", request)
            time.sleep(2)
        assert len(server.taken) == 2
        said = json.dumps(server.taken)
        assert not [word for word in (request, street.requester.name, "Springfield", "24-118", "42.36") if word in said]
        assert [entry["what"] for entry in street.command("audit")].count("told") == 1
