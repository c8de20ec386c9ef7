"""A key's id may begin with a dash; on a command line it is still no option."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from agent.cli.commands import doorward


@pytest.mark.parametrize("command", ["block", "unblock", "remove"])
@pytest.mark.parametrize("kid", ["-cJXxEEPMfkihX1lGXDjoA", "--JXxEEPMfkihX1lGXDjoA", "acJXxEEPMfkihX1lGXDjoA"])
def test_an_id_that_begins_with_a_dash_is_an_id(command: str, kid: str, tmp_path: object) -> None:
    done = CliRunner().invoke(doorward, ["owner", command, kid, "--identity", f"{tmp_path}/nobody.json"])
    said = str(done.exception or "") + done.output
    assert "nobody.json cannot be read" in said
    assert "No such option" not in said
