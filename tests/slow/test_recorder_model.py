"""Any street before a doorbell: visits, rings, cut cables, new formats, failing disks; beside it what must be kept."""

from __future__ import annotations

import errno
import itertools
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.frame import Away, EncodedPacket, Gap, LumaFrame, SourceItem, VideoFormat
from agent.core.manifest import read_manifest
from agent.recorder import Recorder
from agent.store.check import Checker
from agent.store.ring import Ring
from tests.household import NOW, SECOND
from tests.street import SETS, Recorded

MEMORY = Path("/dev/shm")
TENTH = SECOND // 10
RUN = 10  # pictures that wait at most until they are written
LEARNING = 50  # pictures for which the doorbell may still learn what its place looks like
REFUSES = {"pwrite": errno.ENOSPC, "fdatasync": errno.EIO}


@dataclass(frozen=True)
class Visit:
    """Pictures of a visit: `after` quiet ones, then `length` in which something moves."""

    after: int
    length: int


@dataclass(frozen=True)
class Cut:
    """From picture `at` on `length` ones are missing; told as a gap, or by a camera that is away."""

    at: int
    length: int
    away: bool


@dataclass(frozen=True)
class Outage:
    """From picture `at` on, `length` long, `call` is refused."""

    at: int
    length: int
    call: str


@dataclass(frozen=True)
class World:
    """What happens at a door, ten pictures a second."""

    visits: list[Visit]
    groups: list[int]  # lengths of the groups of pictures, over and over
    cuts: list[Cut]
    formats: set[int]
    presses: set[int]
    outage: Outage | None

    @property
    def moving(self) -> list[range]:
        spans, at = [], 0
        for visit in self.visits:
            spans.append(range(at + visit.after, at + visit.after + visit.length))
            at += visit.after + visit.length
        return spans

    @property
    def length(self) -> int:
        return self.moving[-1].stop + 120

    @property
    def missing(self) -> set[int]:
        return {n for cut in self.cuts for n in range(cut.at, cut.at + cut.length)}

    def keys(self) -> list[int]:
        """The pictures decoding can begin with: by the groups, after what is missing, at a new format."""
        forced = {cut.at + cut.length for cut in self.cuts} | self.formats
        keys, left, groups = [], 0, itertools.cycle(self.groups)
        for n in range(self.length):
            if left == 0 or n in forced:
                keys.append(n)
                left = next(groups)
            left -= 1
        return [n for n in keys if n not in self.missing]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    visits = draw(st.lists(st.builds(Visit, st.integers(60, 400), st.integers(30, 500)), min_size=1, max_size=4))
    length = sum(visit.after + visit.length for visit in visits) + 120
    anywhere = st.integers(LEARNING, length - 1)
    outages = st.builds(Outage, anywhere, st.integers(1, 300), st.sampled_from(sorted(REFUSES)))
    return World(
        visits=visits,
        groups=draw(st.lists(st.integers(1, 80), min_size=1, max_size=4)),
        cuts=draw(st.lists(st.builds(Cut, anywhere, st.integers(1, 200), st.booleans()), max_size=2)),
        formats=draw(st.sets(anywhere, max_size=2)),
        presses=draw(st.sets(anywhere, max_size=2)),
        outage=draw(st.none() | outages),
    )


@dataclass
class Door:
    """The world as a source, and the hand on the button."""

    world: World
    now: int = 0
    recorder: Recorder | None = None
    away_since: int | None = None
    gaps: list[Gap] = field(default_factory=list)

    def __iter__(self) -> Iterator[SourceItem]:
        world = self.world
        keys, missing = set(world.keys()), world.missing
        noise = np.random.default_rng(1).integers(0, 3, (16, 90, 160)).astype(np.uint8)
        ground = np.random.default_rng(2).integers(90, 120, (90, 160)).astype(np.uint8)
        moving = {n for span in world.moving for n in span}
        profile = 0
        yield VideoFormat(320, 180, 90_000, SETS)
        for n in range(world.length):
            self.now = n
            yield from self.pause(n)
            if n in missing:
                continue
            if n in world.formats:
                profile += 1
                yield VideoFormat(320, 180, 90_000, SETS[:3] + bytes([profile]) + SETS[4:])
            if n in world.presses and self.recorder is not None:
                self.recorder.press()
            yield EncodedPacket(b"%08d" % n * 25, n * TENTH, n * TENTH, TENTH, n in keys)
            picture = ground + noise[n % 16]
            if n in moving:
                x = 10 + (n * 3) % 120
                picture[20:70, x : x + 20] = 230
            yield LumaFrame(n * TENTH, picture)

    def pause(self, n: int) -> Iterator[SourceItem]:
        """What is told of missing pictures: each second that the camera is away, or afterwards that there was a gap."""
        missing = self.world.missing
        if n in missing:
            if any(cut.away and cut.at <= n < cut.at + cut.length for cut in self.world.cuts) and n % 10 == 0:
                yield Away(n * TENTH, "the cable was cut")
            self.away_since = n if self.away_since is None else self.away_since
        elif self.away_since is not None:
            gap = Gap(self.away_since * TENTH, n * TENTH, "the cable was cut")
            self.away_since = None
            self.gaps.append(gap)
            yield gap


class Kept(Recorded):
    """Records a door, whose disk may fail, and says what must hold for it."""

    def __init__(self, root: Path, door: Door) -> None:
        super().__init__(root, patience=lambda: 0.5)
        self.door = door

    def began(self, recorder: Recorder) -> None:
        self.door.recorder = recorder

    def findings(self) -> list[Any]:
        home = self.home
        return list(Checker(Ring(home.state.ring), home.state.clock, home.db, home.device).findings())


def refuse(patch: pytest.MonkeyPatch, door: Door, outage: Outage) -> None:
    real = getattr(os, outage.call)

    def wrapped(*arguments: Any) -> Any:
        if outage.at <= door.now < outage.at + outage.length:
            raise OSError(REFUSES[outage.call], os.strerror(REFUSES[outage.call]))
        return real(*arguments)

    patch.setattr(os, outage.call, wrapped)


def wanted(world: World) -> set[int]:
    """The pictures of visits that nobody may miss: not the first moments of one, nor what comes while the doorbell
    learns its place anew, with a visitor in it, after another format."""
    numbers: set[int] = set()
    for span in world.moving:
        blind = any(span.start - LEARNING < at < span.stop for at in world.formats)
        blind = blind or any(cut.at < span.stop and cut.at + cut.length > span.start - LEARNING for cut in world.cuts)
        if not blind:
            numbers |= set(span)
    return numbers - world.missing


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(world=worlds())
@pytest.mark.slow
def test_whatever_happens_at_a_door_is_kept_whole_and_in_order(world: World) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        door = Door(world)
        kept = Kept(Path(name), door)
        with pytest.MonkeyPatch.context() as patch:
            if world.outage is not None:
                refuse(patch, door, world.outage)
            report = kept.record(door)
        hold(world, door, kept)
        assert report.gaps == door.gaps
        kept.home.db.close()


def hold(world: World, door: Door, kept: Kept) -> None:
    assert kept.findings() == []
    rows = kept.rows()
    keys, there = world.keys(), [n for n in range(world.length) if n not in world.missing]
    films = [kept.pictures(row) for row in rows]
    for row, film in zip(rows, films, strict=True):
        assert film, "no clip without a picture"
        assert film[0] in keys, "a clip begins with a key frame"
        first = there.index(film[0])
        assert film == there[first : first + len(film)], "no picture is missing within a clip"
        assert row.start_ns == NOW + film[0] * TENTH
        assert row.end_ns == NOW + (film[-1] + 1) * TENTH
        assert row.state in ("closed", "cut")
        if row.state == "closed":
            manifest_tells(kept, row.sequence, film, door.gaps)
    for before, after, row in zip(films, films[1:], rows[1:], strict=False):
        if row.motion_start_ns is not None:  # a clip that a failing disk cut off does not tell
            needed = min(before[-1] + 1, (row.motion_start_ns - NOW) // TENTH)
            last_key = max(n for n in keys if n <= needed)
            assert after[0] >= last_key, "clips share only what the next one's motion and its decoding need"
        assert after[-1] > before[-1], "in order"
    lost = wanted(world) - {n for film in films for n in film}
    if world.outage is not None and len(kept.failures) > len(kept.outages):
        lost = {n for n in lost if n < world.outage.at - RUN}  # the recording ended before the disk came back
    allowed = sum(lost_ns for _, _, lost_ns in kept.outages) // TENTH
    assert len(lost) <= allowed, f"pictures {sorted(lost)} are nowhere, {allowed} told"
    if world.outage is None:
        assert kept.failures == []
        assert all(row.state == "closed" for row in rows)


def manifest_tells(kept: Kept, sequence: int, film: list[int], gaps: list[Gap]) -> None:
    clip = kept.home.clips.ring.read(sequence)
    said = read_manifest(clip.manifest or b"", kept.home.device.public_key()).gaps
    zero = film[0] * TENTH
    inside = [gap for gap in gaps if zero < gap.end_ns and gap.start_ns < (film[-1] + 1) * TENTH]
    assert [gap for gap in said if gap[0] < (film[-1] + 1 - film[0]) * TENTH] == [
        (gap.start_ns - zero, gap.end_ns - zero, gap.reason) for gap in inside
    ]
