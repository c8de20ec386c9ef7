"""A source that may hang, iterated in a thread of its own, so that whoever wants to stop need not wait for it.

Owns the thread and the short queue between. A source blocked in libav or in a device cannot be interrupted; it is left
behind and ends by itself when its own time limit is over. Never changes, drops or reorders an item.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from agent.core.frame import SourceItem

_AHEAD: Final = 16  # items the source may be ahead: a queue that grew would hide that the disk is too slow
_LOOK_S: Final = 0.2  # how long `stopped` may go unnoticed


class _End:
    """The source is over, because of `error` if there is one."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error


def stoppable(source: Iterable[SourceItem], stopped: Callable[[], bool]) -> Iterator[SourceItem]:
    """The items of `source` until it ends or `stopped`, which is noticed within a fifth of a second.

    What the source raises is raised here. The source's thread ends with its next item once nobody reads any more.
    """
    items: queue.Queue[SourceItem | _End] = queue.Queue(_AHEAD)
    left = threading.Event()

    def put(item: SourceItem | _End) -> bool:
        while not left.is_set():
            try:
                items.put(item, timeout=_LOOK_S)
            except queue.Full:
                continue
            return True
        return False

    def run() -> None:
        error = None
        try:
            for item in source:
                if not put(item):
                    return
        except Exception as e:  # noqa: BLE001 - not hidden: raised again by the reader
            error = e
        put(_End(error))

    threading.Thread(target=run, name="source", daemon=True).start()
    try:
        while not stopped():
            try:
                item = items.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        left.set()
