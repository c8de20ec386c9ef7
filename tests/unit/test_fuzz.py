"""Any bytes from outside are accepted or refused in the one way the reader promises, and soon."""

from __future__ import annotations

import zlib

import pytest

from tests.fuzzing import Reader, fuzz
from tests.readers import core_readers, readers

RUNS = 400


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reader]:
    found = readers(tmp_path_factory.mktemp("fuzz"))
    assert len({reader.name for reader in found}) == len(found)
    return {reader.name: reader for reader in found}


REFUSE_NOTHING = {"topics.read_transfer_topic", "orientation.from_display_matrix"}  # what makes no sense has a meaning


def test_any_bytes_are_accepted_or_refused_by_name(table: dict[str, Reader]) -> None:
    for reader in table.values():
        tally = fuzz(reader, RUNS, seed=zlib.crc32(reader.name.encode()))
        assert tally.refused or reader.name in REFUSE_NOTHING, f"{reader.name} took everything"


def test_the_table_names_every_reader_of_the_core(table: dict[str, Reader]) -> None:
    missing = core_readers() - {name.split(" ")[0] for name in table}
    assert not missing, f"add them to tests/readers.py: {sorted(missing)}"
