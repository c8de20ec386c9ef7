"""What leaves the ring, and what may be held in it. Owns the rules; never deletes anything and reads no clock or disk.

Clips leave oldest first by their number: numbers rise as clips are recorded, whatever the clock said. A held clip never
leaves. Source: docs/design/storage.md "Retention".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from agent.core.timeline import Trust

_SHRINKS_BY = 2  # a ring above its limits loses so many times what is written meanwhile

HELD_BY_ONE = 4  # one requester's holds take at most a fourth of the budget,
HELD_IN_ALL = 2  # all holds together half of it: the rest goes on recording


class Kept(Protocol):
    """A clip that has ended. `end_ns` is UTC, `trust` how that is known."""

    @property
    def sequence(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def end_ns(self) -> int: ...
    @property
    def trust(self) -> str: ...
    @property
    def held(self) -> bool: ...


_DATED = (Trust.SYNCHRONISED.value, Trust.CORRECTED.value)

C = TypeVar("C", bound=Kept)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the ring may take, what it leaves free on the disk, and how long a clip is kept (0: as long as it fits)."""

    budget_bytes: int
    min_free_bytes: int
    age_ns: int


@dataclass(frozen=True, slots=True)
class Room:
    """How full it is: bytes of the clips that ended and of the one being recorded, what is to be written next, and
    what is free on the disk."""

    ended_bytes: int
    recording_bytes: int
    next_bytes: int
    free_bytes: int


def lacking(room: Room, limits: Limits) -> tuple[int, int]:
    """(bytes over the budget, bytes too few on the disk) once the next is written; below 0 where there is room."""
    over = room.ended_bytes + room.recording_bytes + room.next_bytes - limits.budget_bytes
    return over, limits.min_free_bytes + room.next_bytes - room.free_bytes


def to_make_room(
    clips: Iterable[C], room: Room, limits: Limits, step: int, in_all_bytes: Callable[[], int]
) -> list[tuple[C, str]] | None:
    """Which of `clips` (oldest first) leave now, each with the limit it leaves for: `budget` or `free-space`.

    Enough of them, or `step` where a limit was lowered so far that many must go: then what is next has its place on the
    disk, and the ring shrinks by more than that. None where all that may leave (`in_all_bytes` of them) would not be
    enough: then nothing is to be lost for nothing. Reads no more of `clips` than it needs.
    """
    over, short = lacking(room, limits)
    leaving: list[tuple[C, str]] = []
    if over <= 0 and short <= 0:
        return leaving
    freed = 0
    for clip in clips:
        if clip.held:
            continue
        leaving.append((clip, "budget" if over > freed else "free-space"))
        freed += clip.bytes
        if over <= freed and short <= freed:
            return leaving
        if len(leaving) >= step and freed >= _SHRINKS_BY * room.next_bytes <= room.free_bytes + freed:
            return leaving if in_all_bytes() >= max(over, short) else None
    return None


def outlived(clips: Sequence[C], now_ns: int, limits: Limits) -> list[C]:
    """Which of `clips` (oldest first) are past the age limit at `now_ns`, a time the caller trusts.

    Only a synchronised clock dates a clip, then or since. One whose time is uncertain, or that was replayed under
    another date, is as old as the next dated clip at least, and leaves with it.
    """
    if limits.age_ns == 0:
        return []
    past = [c.trust in _DATED and c.end_ns < now_ns - limits.age_ns for c in clips]
    newest = max((n for n, is_past in enumerate(past) if is_past), default=-1)
    return [
        clip
        for clip, is_past in zip(clips[: newest + 1], past, strict=False)
        if not clip.held and (is_past or clip.trust not in _DATED)
    ]


def may_hold(
    clips: Iterable[Kept], own: Collection[int], own_bytes: int, all_bytes: int, budget_bytes: int
) -> set[int]:
    """Which of `clips` (oldest first, they leave soonest) a request may hold, by number.

    `own`: what its requester holds already, `own_bytes` large; `all_bytes`: what everybody holds.
    """
    held: set[int] = set()
    for clip in clips:
        more_own = 0 if clip.sequence in own else clip.bytes
        more = 0 if clip.held else clip.bytes
        if (own_bytes + more_own) * HELD_BY_ONE <= budget_bytes and (all_bytes + more) * HELD_IN_ALL <= budget_bytes:
            held.add(clip.sequence)
            own_bytes, all_bytes = own_bytes + more_own, all_bytes + more
    return held
