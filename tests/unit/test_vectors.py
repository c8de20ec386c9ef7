"""The files of vectors are as their programs make them."""

from __future__ import annotations

import pytest

from tests.vectors.folders import GENERATORS, contents, files


@pytest.mark.parametrize("folder", GENERATORS)
def test_the_files_are_as_their_program_makes_them(folder: str) -> None:
    made, there = contents(folder), files(folder)
    otherwise = sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))
    assert otherwise == [], "python -m tests.vectors writes them"
    assert len(made) >= 15
