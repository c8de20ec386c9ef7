"""Tells whoever listens that something changed: what to ask for again, not the news itself.

But for a visit: what a clip shows is sealed once it is written, so it can only be told while it happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from agent.core.owner_api import Changed

_QUEUE_LIMIT = 64


class Bulletin:
    """A set of bounded queues; a listener too slow to keep up loses repeats, not the fact that something changed."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[Changed]] = set()

    def tell(self, what: str, request: str | None = None) -> None:
        """`what`: requests, clips or status. From the event loop's thread only."""
        self._put(Changed(what, request))

    def tell_visit(self, clip: str, label: str) -> None:
        """What is at the door now, for those who listen now: kept nowhere. From the event loop's thread only."""
        self._put(Changed("visit", clip, label))

    def _put(self, changed: Changed) -> None:
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(changed)

    @contextmanager
    def listen(self) -> Iterator[asyncio.Queue[Changed]]:
        """A queue of what changes while this is entered."""
        queue: asyncio.Queue[Changed] = asyncio.Queue(_QUEUE_LIMIT)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)
