"""The times that are read are those that can be kept: nanoseconds in 64 bits, as the database has them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from agent.cli.commands import doorward
from agent.core.encoding import parse_time
from agent.core.errors import BadInput, Corrupt
from agent.core.sealing import read_header
from tests.household import Household

FAR = ["0001-01-01T00:00:00Z", "1677-12-31T23:59:59Z", "2262-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z"]


@pytest.mark.parametrize("text", ["1678-01-01T00:00:00+14:00", "2261-12-31T23:59:59.999999999-14:00"])
def test_the_first_and_the_last_moment_that_are_read_fit_with_a_clip_behind_them(text: str) -> None:
    assert -(2**63) <= parse_time(text) < 2**63 - 10**12


@pytest.mark.parametrize("text", FAR)
def test_a_moment_no_database_keeps_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="outside the years 1678 to 2261"):
        parse_time(text)


def test_a_clip_said_to_begin_then_does_not_keep_the_doorbell_from_starting(tmp_path: Path) -> None:
    home = Household.at(tmp_path)
    row = home.record_clip()
    header = home.clips.ring.read(row.sequence).header
    with pytest.raises(Corrupt, match="outside the years"):
        read_header(msgspec.json.encode(msgspec.json.decode(header) | {"start": FAR[-1]}))


def test_a_command_that_is_given_such_a_moment_says_so(tmp_path: Path) -> None:
    told = CliRunner().invoke(doorward, ["--state", str(tmp_path), "clips", "--from", "2999-01-01T00:00:00Z"])
    assert isinstance(told.exception, BadInput)
