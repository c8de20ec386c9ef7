"""Stopping does not wait for a source that hangs; nothing else about the source changes."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from agent.adapters.stoppable import stoppable
from agent.adapters.stream import StreamSource
from agent.core.errors import Unavailable
from agent.core.frame import Gap, SourceItem


def gaps(count: int) -> list[SourceItem]:
    return [Gap(n, n + 1, "") for n in range(count)]


def test_every_item_comes_in_order() -> None:
    assert list(stoppable(gaps(500), lambda: False)) == gaps(500)


def test_what_the_source_raises_is_raised_behind_what_it_gave() -> None:
    def failing() -> Iterator[SourceItem]:
        yield from gaps(3)
        raise Unavailable("the camera cannot be decoded")

    seen = []
    with pytest.raises(Unavailable, match="decoded"):
        seen.extend(stoppable(failing(), lambda: False))
    assert seen == gaps(3)


def test_a_source_does_not_run_ahead_and_ends_when_nobody_reads() -> None:
    given = itertools.count()
    ended = threading.Event()

    def endless() -> Iterator[SourceItem]:
        try:
            while True:
                yield Gap(next(given), 0, "")
        finally:
            ended.set()

    items = stoppable(endless(), lambda: False)
    next(items)
    time.sleep(0.1)
    assert next(given) <= 20
    items.close()  # type: ignore[attr-defined]
    assert ended.wait(2)


def test_stopping_does_not_wait_for_a_camera_that_says_nothing() -> None:
    """A real connection to somebody who accepts it and never answers: libav waits five seconds for that."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()
        url = f"rtsp://127.0.0.1:{server.getsockname()[1]}/door"
        threading.Timer(0.5, stop.set).start()
        begun = time.monotonic()
        assert list(stoppable(StreamSource(url, stop.is_set), stop.is_set)) == []
        assert 0.4 < time.monotonic() - begun < 3, "not the five seconds of libav"
