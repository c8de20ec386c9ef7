"""What several tests need: the evaluation data where it is, and a household with keys."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def pytest_configure(config: pytest.Config) -> None:
    """Tests never touch the state directory of a doorbell on this machine."""
    os.environ.setdefault("DOORWARD_STATE", "/nonexistent/doorward-tests")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The evaluation data beside the repository; absent on most machines, never in CI."""
    found = ROOT.parent / "shared"
    if not found.is_dir():
        if os.environ.get("CI"):
            pytest.fail("the evaluation data is not beside the repository, but CI must have it")
        pytest.skip("the evaluation data is not beside the repository")
    return found
