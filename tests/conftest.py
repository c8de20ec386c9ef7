"""What several tests need: the evaluation data where it is, and a household with keys."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from agent.demo.scene import cached_scene

ROOT = Path(__file__).parents[1]

# On a desk every run tries other examples; in CI the same ones, so that a green commit stays green.
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")


def pytest_configure(config: pytest.Config) -> None:
    """Tests never touch the state directory of a doorbell on this machine, and render the doorstep once."""
    os.environ["DOORWARD_STATE"] = "/nonexistent/doorward-tests"
    os.environ["XDG_CACHE_HOME"] = str(ROOT / ".cache")
    # A script that starts the tests in its background has Ctrl-C ignored, which every program they start would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def the_log_is_left_as_it_was() -> Iterator[None]:
    """A command run inside the tests' process that kept our log silenced would silence it for every test after it."""
    yield
    assert logging.getLogger("agent").level == logging.NOTSET


@pytest.fixture(scope="session")
def scene() -> Path:
    """The rendered doorstep."""
    return cached_scene(ROOT / ".cache" / "doorward")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The evaluation data beside the repository; absent on most machines, never in CI."""
    found = ROOT.parent / "shared"
    if not found.is_dir():
        if os.environ.get("CI"):
            pytest.fail("the evaluation data is not beside the repository, but CI must have it")
        pytest.skip("the evaluation data is not beside the repository")
    return found
