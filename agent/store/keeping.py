"""What leaves the ring: for room, for age, or because the owner says so. Each time in the same three steps.

What leaves is chosen and marked in one transaction with its audit entry and on the disk before a file is touched; then
the files go, then the index forgets them. A start finishes what a crash left between. The rules are core.retention's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from agent.config import Config
from agent.core import statements
from agent.core.consent import State
from agent.core.errors import NotThere, Refused, Unavailable
from agent.core.release import Decision
from agent.core.retention import Limits, Room, lacking, outlived, to_make_room
from agent.core.statements import Kind
from agent.store.clips import ClipStore
from agent.store.index import ClipRow
from agent.store.ledger import Leaving, Ledger

_MEGABYTE = 1_000_000
_TRUSTED_BYTES = 8 * 1024 * 1024  # room once found is not looked for again before so much is recorded
_STEP_CLIPS = 64  # so many leave at once at most: a fraction of a second on a slow card
_DAY_NS = 86_400 * 1_000_000_000
_PROMISED = (State.AGREED, State.HELD, State.SENDING)


def ring_limits(config: Config) -> Limits:
    """What of the configuration limits the ring."""
    ring = config.ring
    return Limits(ring.budget_mb * _MEGABYTE, ring.min_free_mb * _MEGABYTE, ring.days * _DAY_NS)


def _mb(count: int) -> str:
    """A phone shows this: megabytes, as the settings have them."""
    return f"{count // _MEGABYTE} MB"


class Keeper:
    """Keeps one ring within its limits. Over one connection: one instance a thread. `now` is UTC ns."""

    def __init__(self, store: ClipStore, ledger: Ledger, limits: Limits, now: Callable[[], int]) -> None:
        self._store = store
        self._ledger = ledger
        self.limits = limits
        self._now = now
        self._spare_bytes = -1
        self._expected_bytes = 0

    def make_room(self, recording_bytes: int, next_bytes: int, reserve_bytes: int = 0) -> list[ClipRow]:
        """Evict until `next_bytes`, and after them `reserve_bytes`, fit beside the ring and the clip being recorded.

        Where very many clips must go for that, because a limit was lowered, a step of them: recording does not wait for
        the rest. Unavailable, and nothing evicted, where it cannot be had.
        """
        more_bytes = recording_bytes - self._expected_bytes  # what a record takes beyond what it records
        self._expected_bytes = recording_bytes + next_bytes
        if more_bytes >= 0 and more_bytes + next_bytes + reserve_bytes <= self._spare_bytes:
            self._spare_bytes -= more_bytes + next_bytes
            return []
        store = self._store

        def room() -> Room:
            # What another thread has marked and not yet deleted is as good as gone: nothing more leaves in its place.
            soon_free = store.ring.size(store.index.leaving())
            free_bytes = store.ring.free_bytes() + soon_free
            return Room(store.index.staying_bytes(), recording_bytes, next_bytes + reserve_bytes, free_bytes)

        beyond = -max(lacking(room(), self.limits))
        self._spare_bytes = min(beyond + reserve_bytes, _TRUSTED_BYTES)
        if beyond >= 0:
            return []

        def choose() -> list[tuple[ClipRow, str]]:
            found = to_make_room(store.index.evictable(), room(), self.limits, _STEP_CLIPS, store.index.evictable_bytes)
            if found is None:
                raise Unavailable(self._full(room()))
            return found

        return self._evict(choose)

    def _full(self, room: Room) -> str:
        over, _ = lacking(room, self.limits)
        if over > 0 and not self._ledger.held_bytes():
            return f"the ring's {_mb(self.limits.budget_bytes)} are less than one clip takes; raise ring.budget_mb"
        if over > 0:
            return (
                f"the ring's {_mb(self.limits.budget_bytes)} are full of clips held for requests; "
                "answer those or raise ring.budget_mb"
            )
        return (
            f"the disk has {_mb(room.free_bytes)} free and ring.min_free_mb keeps "
            f"{_mb(self.limits.min_free_bytes)} for the system; make room on it or lower that limit"
        )

    def evict_outlived(self) -> Iterator[list[ClipRow]]:
        """Evict what is past the age limit, a step at a time. To be called while the clock is known to be right."""
        if not self.limits.age_ns:
            return  # else every clip of the ring would be looked at
        index, now_ns = self._store.index, self._now()
        rows = outlived(index.up_to_dated(now_ns - self.limits.age_ns), now_ns, self.limits)
        for n in range(0, len(rows), _STEP_CLIPS):

            def choose(some: Sequence[ClipRow] = rows[n : n + _STEP_CLIPS]) -> list[tuple[ClipRow, str]]:
                free_to_go = index.still_evictable([row.sequence for row in some])  # one may be held by now
                return [(row, "age") for row in some if row.sequence in free_to_go]

            yield self._evict(choose)

    def shrink(self) -> Iterator[list[ClipRow]]:
        """Evict what is over the limits, a step at a time. Unavailable where they cannot be kept."""
        while rows := self.make_room(0, 0):
            yield rows

    def _evict(self, choose: Callable[[], list[tuple[ClipRow, str]]]) -> list[ClipRow]:
        rows: list[ClipRow] = []

        def leaving() -> Sequence[Leaving]:
            chosen = choose()
            rows.extend(row for row, _ in chosen)
            return [Leaving(row.sequence, "evicted", {"clip": row.id, "reason": why}) for row, why in chosen]

        self._ledger.let_go(leaving, self._now())
        self._store.forget([row.sequence for row in rows])
        return rows

    def delete(self, clip: str, owner: str) -> ClipRow:
        """Delete a clip because `owner` (kid) says so, also one that a request waits for.

        NotThere; Refused("recording") while it is being recorded, Refused("promised") while it is part of a yes.
        """
        row = self._store.index.by_id(clip)
        if row is None:
            raise NotThere(f"there is no clip '{clip[:40]}' here")
        if row.state == "recording":
            raise Refused("recording", "this clip is still being recorded; delete it when it has ended")

        def leaving() -> Sequence[Leaving]:
            if clip in self._promised():
                raise Refused(
                    "promised", "this clip is part of a yes you gave; take that back or stop sending, then delete it"
                )
            return [Leaving(row.sequence, "deleted", {"clip": clip, "owner": owner})]

        self._ledger.let_go(leaving, self._now())
        self._store.forget([row.sequence])
        return row

    def _promised(self) -> set[str]:
        found: set[str] = set()
        for request in self._ledger.in_state(*_PROMISED):
            if request.decision is not None:
                said = statements.unverified(Kind.DECISION, request.decision, Decision)
                found.update(shared.clip for shared in said.clips)
        return found
