"""How much of the requester's disk the answers to one request may take, and who gives way when that is reached.

Whoever heard a request can answer it with keys of their own, as often as they like. So a request, and each doorbell
that answers it, has a number of transfers and of bytes; nothing is ever taken from a transfer that is verified or being
pulled. What lies unfinished gives way to a newcomer, the longest untouched first: an offer without film behind it
keeps no honest one out. Decides and counts; reads folders, and removes those that gave way.
Source: docs/spec/transfer.md "How much is taken".
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from agent.core.bundle import Offer, read_offer
from agent.core.errors import Corrupt, Refused
from agent.requester import folder as names
from agent.requester.folder import TransferFolder

log = logging.getLogger(__name__)

MAX_TRANSFERS = 1_024
MAX_TRANSFERS_A_KEY = 2  # a doorbell makes one; another where its disk was restored
MAX_BYTES = 64 * 1024**3


@dataclass(frozen=True, slots=True)
class _Answer:
    folder: TransferFolder
    device: str
    size: int

    def taken_bytes(self, pulled: bool) -> int:
        """Bytes of bundle it takes or, while it is pulled or complete, was promised."""
        return self.size if pulled or self.folder.complete else self.folder.begun_bytes


class Quota:
    """The transfers below `out`, by request. `load` first; a folder removed by hand no longer counts."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._answers: dict[str, dict[str, _Answer]] = {}

    def load(self) -> None:
        """Count what earlier runs left."""
        for path in sorted(self._out.glob(f"*/{names.OFFER}")) if self._out.is_dir() else []:
            try:
                self.take(TransferFolder(path.parent), read_offer(TransferFolder(path.parent).read(names.OFFER)))
            except (Corrupt, Refused) as e:
                log.warning("%s is not counted: %s", path, e)

    def take(self, folder: TransferFolder, offer: Offer) -> None:
        """From now on this transfer counts."""
        self._answers.setdefault(offer.request, {})[offer.transfer] = _Answer(folder, offer.device, offer.size)

    def make_room(self, offer: Offer, pulled: Collection[str]) -> None:
        """Room for `offer`, beside the transfers that are `pulled` now; unfinished ones may be removed for it.

        Refused("too-many") where what is complete or being pulled leaves none; nothing is removed then.
        """
        answers = self._answers.get(offer.request, {})
        others = {t: a for t, a in answers.items() if t != offer.transfer and a.folder.has(names.OFFER)}
        self._answers[offer.request] = others | {t: a for t, a in answers.items() if t == offer.transfer}
        firm = {t: a for t, a in others.items() if t in pulled or a.folder.complete}
        _check(offer, firm, pulled)
        loose = sorted((t for t in others if t not in firm), key=lambda t: others[t].folder.touched_ns)
        same = [t for t in loose if others[t].device == offer.device]
        for transfer in [*same, *(t for t in loose if t not in same)]:
            try:
                _check(offer, others, pulled)
            except Refused:
                log.info("%s was not finished and gives way to a new offer", others[transfer].folder.path)
                self.remove(offer.request, transfer)
                del others[transfer]
            else:
                return

    def remove(self, request: str, transfer: str) -> None:
        """Take a transfer off the disk, and count it no more. Unavailable when the disk fails."""
        answer = self._answers[request].pop(transfer, None)
        if answer is not None:
            answer.folder.remove_all()


def _check(offer: Offer, others: dict[str, _Answer], pulled: Collection[str]) -> None:
    """Refused("too-many") where `offer` beside `others` is more than one request may bring."""
    if sum(a.device == offer.device for a in others.values()) >= MAX_TRANSFERS_A_KEY:
        raise Refused(
            "too-many", f"this doorbell has answered the request {MAX_TRANSFERS_A_KEY} times; no more of it is taken"
        )
    if len(others) >= MAX_TRANSFERS:
        raise Refused("too-many", f"it has {MAX_TRANSFERS:,} answers, as many as are kept for one request; {_TO_DO}")
    total = offer.size + sum(a.taken_bytes(t in pulled) for t, a in others.items())
    if total > MAX_BYTES:
        limit = f"{MAX_BYTES // 1024**3:,} GiB"
        raise Refused("too-many", f"its answers would take more than {limit}, the most for one request; {_TO_DO}")


_TO_DO = "remove the folders that are of no use, or ask again"
