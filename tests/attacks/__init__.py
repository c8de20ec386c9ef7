"""Named attacks on a whole doorbell, a module for each thing attacked; together they are `ATTACKS`, in this order."""

from __future__ import annotations

from tests.attacks import decisions, offers, owners, requests, transfers
from tests.attacks.bench import Named

ATTACKS: list[Named] = [
    *requests.ATTACKS,
    *decisions.ATTACKS,
    *owners.ATTACKS,
    *transfers.ATTACKS,
    *offers.ATTACKS,
]
