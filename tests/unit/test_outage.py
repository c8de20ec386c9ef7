"""A disk that takes nothing for a while, and a camera that is away: recording pauses, says so, and goes on."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.core.frame import Away, EncodedPacket, Mute, SourceItem, VideoFormat
from agent.store.check import Checker
from agent.store.ring import Ring
from tests.household import SECOND
from tests.street import SETS, Recorded, Street

VISIT = (20, 50)
PICTURES = set(range(200, 500))


@dataclass
class Disk:
    """Lets a call of the operating system fail while the street's clock is in a span (s)."""

    monkeypatch: pytest.MonkeyPatch
    now_s: float = 0.0
    refused: int = 0
    street: Street = field(default_factory=lambda: Street(70, [VISIT]))

    def fails(self, call: str, number: int, start_s: float, end_s: float) -> None:
        """`os.call` on a clip file or the ring's folder."""
        real: Callable[..., Any] = getattr(os, call)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            if start_s <= self.now_s < end_s:
                self.refused += 1
                raise OSError(number, os.strerror(number))
            return real(*arguments, **named)

        self.monkeypatch.setattr(os, call, wrapped)

    def __iter__(self) -> Iterator[SourceItem]:
        for item in self.street:
            if isinstance(item, EncodedPacket):
                self.now_s = item.pts_ns / SECOND
            yield item


def kept(recorded: Recorded) -> set[int]:
    return {n for row in recorded.rows() for n in recorded.pictures(row)}


def sound(recorded: Recorded) -> bool:
    """The checker finds nothing wrong."""
    home = recorded.home
    findings = list(Checker(Ring(home.state.ring), home.state.clock, home.db, home.device).findings())
    assert not findings, findings
    return True


FAULTS = [
    ("pwrite", errno.ENOSPC, 19.0),
    ("pwrite", errno.ENOSPC, 30.0),
    ("pwrite", errno.ENOSPC, 55.2),
    ("pwrite", errno.EIO, 5.0),
    ("fdatasync", errno.EIO, 30.0),
    ("open", errno.EROFS, 19.0),
    ("fsync", errno.EIO, 19.0),
]


@pytest.mark.parametrize(("call", "number", "start_s"), FAULTS)
def test_a_disk_that_comes_back_in_time_costs_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, start_s: float
) -> None:
    recorded = Recorded(tmp_path, patience=lambda: 0.5)
    disk = Disk(monkeypatch)
    disk.fails(call, number, start_s, start_s + 12)
    recorded.record(disk)
    monkeypatch.undo()
    assert kept(recorded) >= PICTURES
    assert sound(recorded)
    assert {row.state for row in recorded.rows()} <= {"closed", "cut"}
    assert len(recorded.failures) == len(recorded.outages) == (1 if disk.refused else 0)
    for reason, paused_ns, lost_ns in recorded.outages:
        assert os.strerror(number) in reason
        assert 0 < paused_ns < 25 * SECOND
        assert lost_ns == 0
    if start_s == 30.0 and call in ("pwrite", "fdatasync"):
        assert disk.refused
        assert [row.state for row in recorded.rows()] == ["cut", "closed"]


def test_a_visit_that_began_and_ended_without_a_disk_is_written_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded(tmp_path, patience=lambda: 0.5)
    disk = Disk(monkeypatch, street=Street(120, [(20, 24), (90, 96)]))
    disk.fails("pwrite", errno.ENOSPC, 18, 40)
    recorded.record(disk)
    rows = recorded.rows()
    assert [row.state for row in rows] == ["closed", "closed"]
    first = recorded.pictures(rows[0])
    assert set(range(200, 240)) <= set(first)
    assert 140 <= first[0] <= 150
    assert first[-1] < 320, "what followed the visit is not in its clip"
    assert rows[0].motion_start_ns is not None
    assert sound(recorded)


def test_what_memory_kept_fills_as_many_clips_as_its_records_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a camera does that sends nothing but key frames, a hundred a second."""
    monkeypatch.setattr("agent.clipper.RECORDS_LIMIT", 120)
    recorded = Recorded(tmp_path, patience=lambda: 0.5)
    disk = Disk(monkeypatch, street=Street(70, [VISIT], gop=1))
    disk.fails("pwrite", errno.ENOSPC, 19, 46)
    recorded.record(disk)
    monkeypatch.undo()
    assert kept(recorded) >= PICTURES
    rows = recorded.rows()
    assert max(row.records for row in rows) <= 120
    for before, after in itertools.pairwise(rows):
        assert after.start_ns >= before.end_ns
        assert before.motion_end_ns is None or before.motion_end_ns <= before.end_ns
    assert sound(recorded)


def test_a_disk_that_stays_away_costs_what_memory_cannot_hold_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded(tmp_path, patience=lambda: 0.5)
    disk = Disk(monkeypatch, street=Street(400, [(20, 380)]))
    disk.fails("pwrite", errno.ENOSPC, 60, 250)
    recorded.record(disk)
    ((reason, paused_ns, lost_ns),) = recorded.outages
    assert "No space left" in reason
    assert 190 * SECOND <= paused_ns < 255 * SECOND, "tried again at least once a minute"
    missing = set(range(200, 3800)) - kept(recorded)
    assert missing
    assert abs(len(missing) * SECOND // 10 - lost_ns) <= 2 * SECOND
    assert max(missing) - min(missing) + 1 == len(missing), "one hole, no more"
    assert disk.refused < 30
    assert sound(recorded)


def test_a_visit_that_memory_has_forgotten_when_the_disk_is_back_is_lost_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded(tmp_path, patience=lambda: 0.5)
    disk = Disk(monkeypatch, street=Street(310, [(20, 24), (280, 286)]))
    disk.fails("pwrite", errno.ENOSPC, 15, 200)
    recorded.record(disk)
    ((_, _, lost_ns),) = recorded.outages
    assert 8 * SECOND <= lost_ns <= 20 * SECOND, "the visit, not the whole outage"
    (row,) = recorded.rows()
    assert set(range(2800, 2860)) <= set(recorded.pictures(row))
    assert sound(recorded)


def test_what_waits_for_the_disk_is_written_when_recording_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where somebody makes room and then starts the service anew: the next try of its own is far away."""
    recorded = Recorded(tmp_path, patience=lambda: 0.5)
    disk = Disk(monkeypatch, street=Street(67, [(20, 64)]))
    disk.fails("pwrite", errno.ENOSPC, 30, 66)
    recorded.record(disk)
    assert kept(recorded) >= set(range(200, 640))
    assert sound(recorded)


def test_what_a_new_format_keeps_from_being_written_is_said_to_be_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded(tmp_path, patience=lambda: 0.5)
    disk = Disk(monkeypatch, street=Street(90, [VISIT], extra={400: VideoFormat(640, 360, 90_000, SETS)}))
    disk.fails("pwrite", errno.ENOSPC, 30, 60)
    recorded.record(disk)
    missing = PICTURES - kept(recorded)
    assert missing == set(range(min(missing), 400)), "what the old format was needed for"
    ((_, _, lost_ns),) = recorded.outages
    assert abs(lost_ns - len(missing) * SECOND // 10) <= SECOND
    assert sound(recorded)


def test_a_database_that_refuses_pauses_recording_too(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path, patience=lambda: 0.5)
    db = recorded.home.db

    def street() -> Iterator[SourceItem]:
        for item in Street(70, [VISIT]):
            if isinstance(item, EncodedPacket) and item.pts_ns in (30 * SECOND, 40 * SECOND):
                db.execute(f"PRAGMA query_only = {1 if item.pts_ns == 30 * SECOND else 0}")
            yield item

    recorded.record(street())
    assert kept(recorded) >= PICTURES
    (failure,) = recorded.failures
    assert "readonly database" in failure
    assert sound(recorded)


def test_held_clips_that_fill_the_ring_pause_recording_until_they_are_let_go(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path, budget=3_200_000, patience=lambda: 0.5)
    home = recorded.home

    def street() -> Iterator[SourceItem]:
        for item in Street(300, [(20, 40), (100, 120), (200, 220)], size=4000):
            if isinstance(item, EncodedPacket) and item.pts_ns in (80 * SECOND, 215 * SECOND):
                held = item.pts_ns == 80 * SECOND
                home.db.execute("PRAGMA foreign_keys = OFF")
                for row in recorded.rows() if held else []:
                    home.db.execute("INSERT INTO holds VALUES ('r', ?, 1)", (row.sequence,))
                if not held:
                    home.db.execute("DELETE FROM holds")
            yield item

    recorded.record(street())
    assert any("held for requests" in reason for reason in recorded.failures)
    assert recorded.outages
    assert set(range(2000, 2200)) <= kept(recorded)


def test_a_disk_is_tried_with_growing_waits_also_while_the_camera_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded(tmp_path, patience=lambda: 0.5)
    disk = Disk(monkeypatch)
    disk.fails("pwrite", errno.ENOSPC, 25, 1e9)

    def street() -> Iterator[SourceItem]:
        for item in disk:
            if disk.now_s >= 40:
                break
            yield item
        disk.refused = 0
        for second in range(40, 3640, 5):
            yield Away(second * SECOND, "the cable was cut")
        assert 60 <= disk.refused <= 90, "about once a minute"

    recorded.record(street())
    assert len(recorded.failures) == 1


def test_time_alone_ends_a_clip_while_the_camera_is_away(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    states: list[str] = []

    def street() -> Iterator[SourceItem]:
        for item in Street(200, [(20, 60), (150, 156)]):
            at_ns = getattr(item, "pts_ns", getattr(item, "time_ns", 0))
            if at_ns == 30 * SECOND and isinstance(item, EncodedPacket):
                for second in range(30, 100, 5):
                    yield Away(second * SECOND, "the cable was cut")
                    states.append(recorded.rows()[0].state)
            if not 30 * SECOND <= at_ns < 100 * SECOND:
                yield item

    recorded.record(street())
    assert states[0] == "recording"
    assert states[-1] == "closed", "long before the camera is back"
    rows = recorded.rows()
    assert len(rows) == 2
    assert set(range(200, 300)) <= set(recorded.pictures(rows[0]))
    assert set(range(1500, 1560)) <= set(recorded.pictures(rows[1]))
    assert recorded.source == ["the cable was cut"] * 14 + ["back"]


def test_missing_sound_is_told_and_video_goes_on(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)

    def street() -> Iterator[SourceItem]:
        yield Mute("There is no microphone.")
        yield from Street(60, [(20, 26)])
        yield Mute("")

    recorded.record(street())
    assert recorded.sound == ["There is no microphone.", "back"]
    assert len(recorded.rows()) == 1


def test_frames_from_before_the_loss_that_come_late_do_no_harm(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)

    def street() -> Iterator[SourceItem]:
        for n, item in enumerate(Street(60, [VISIT])):
            if n == 500:
                yield Away(40 * SECOND, "the camera hangs")
            yield item

    recorded.record(street())
    assert kept(recorded) >= set(range(200, 250)) | set(range(401, 500))
