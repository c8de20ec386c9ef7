"""Which labels a clip gets: what was recognised often enough, and is what moved.

Owns the vote. A model errs now and then, and sees parked cars as well as visitors: one look decides nothing, and what
did not move counts for nothing. Never looks at a picture. Figures: docs/design/labels.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from agent.core.detection import Sighting
from agent.core.picture import Area

PERSON: Final = "person"
VEHICLE: Final = "vehicle"
ANIMAL: Final = "animal"
RING: Final = "ring"
LABELS: Final = (RING, PERSON, VEHICLE, ANIMAL)

LOOKS: Final = 5
ENOUGH: Final = 2
_MOVED_SHARE: Final = 0.3
_PART_OF_PERSON: Final = 0.7


class Votes:
    """One clip's looks. A label is won when ENOUGH of the last LOOKS saw it."""

    def __init__(self) -> None:
        self._looks: deque[frozenset[str]] = deque(maxlen=LOOKS)
        self._won: set[str] = set()

    @property
    def won(self) -> list[str]:
        """The labels so far, in the order of LABELS."""
        return [label for label in LABELS if label in self._won]

    def add(self, seen: Iterable[str]) -> list[str]:
        """One look, and the labels it decided."""
        self._looks.append(frozenset(seen))
        new = [
            label for label in LABELS if label not in self._won and sum(label in look for look in self._looks) >= ENOUGH
        ]
        self._won.update(new)
        return new


def what_moved(sightings: Iterable[Sighting], moving: Sequence[Area]) -> list[Sighting]:
    """The sightings that are (part of) what moves, in their order.

    A person may stand and move a hand: a person is one who holds most of something that moves. What parks, or is taken
    for an animal because it stands there, must move itself.
    """
    found = []
    for sighting in sightings:
        own = max((_shared(sighting.area, area) / max(_size(sighting.area), 1e-9) for area in moving), default=0.0)
        held = max((_shared(sighting.area, area) / max(_size(area), 1e-9) for area in moving), default=0.0)
        if own >= _MOVED_SHARE or (sighting.label == PERSON and held >= _PART_OF_PERSON):
            found.append(sighting)
    return found


def _shared(a: Area, b: Area) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _size(area: Area) -> float:
    return max(0.0, area[2] - area[0]) * max(0.0, area[3] - area[1])
