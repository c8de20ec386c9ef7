"""No picture of an event is lost, whatever the source does: long visits, long groups of pictures, gaps, new formats."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.core import identity
from agent.core.errors import Unavailable
from agent.core.frame import Away, EncodedPacket, Gap, LumaFrame, SourceItem, VideoFormat
from agent.core.joining import next_owner_set
from agent.core.manifest import read_manifest
from agent.core.sealing import CLIP_LIMIT_NS, RECORDS_LIMIT, read_header
from agent.core.segmenter import SegmenterRules
from agent.recorder import Recorder
from agent.store.index import ClipRow
from tests.household import NOW, SECOND, new_keys
from tests.street import SETS, Recorded, Street


def test_a_visit_is_kept_whole_with_pre_roll_and_post_roll(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    report = recorded.record(Street(60, [(20, 26)]))
    (row,) = recorded.rows()
    numbers = recorded.pictures(row)
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), "no picture is missing in between"
    assert 140 <= numbers[0] <= 150, "five seconds before, from a key frame"
    assert numbers[0] % 10 == 0
    assert 305 <= numbers[-1] <= 330
    assert row.state == "closed"
    assert row.start_ns == NOW + numbers[0] * SECOND // 10
    assert row.end_ns == NOW + (numbers[-1] + 1) * SECOND // 10
    assert report.packets == 600
    manifest = read_manifest(
        recorded.home.clips.ring.read(row.sequence).manifest or b"", recorded.home.device.public_key()
    )
    ((first, last),) = manifest.motion
    assert 19 * SECOND <= first + numbers[0] * SECOND // 10 <= 21 * SECOND
    assert last > first


def test_who_is_taken_out_opens_no_more_than_the_group_of_pictures_at_hand(tmp_path: Path) -> None:
    """The clip in hand ends, the visit goes on in another, and no picture is lost."""
    recorded = Recorded(tmp_path)
    home, lost = recorded.home, new_keys()

    def put(owners: list[identity.Owner]) -> None:
        current = home.ledger.owners()
        assert current is not None
        made, token = next_owner_set(current, home.device_id, owners, NOW, home.owner)
        home.ledger.put_owners(made.version, token, NOW)

    put([*home.owner_set.owners, identity.owner_entry("Lost phone", lost)])
    recorders: list[Recorder] = []
    recorded.began = recorders.append  # type: ignore[method-assign]

    def street() -> Iterator[SourceItem]:
        taken_out = False
        for item in Street(60, [(20, 40)]):
            if isinstance(item, EncodedPacket) and item.pts_ns >= 30 * SECOND and not taken_out:
                taken_out = True
                put(home.owner_set.owners)
                recorders[0].owners_changed()
            elif isinstance(item, EncodedPacket) and item.pts_ns == 35 * SECOND:
                recorders[0].owners_changed()  # nothing is new: nothing ends
            yield item

    recorded.record(street())
    first, second = recorded.rows()
    before, after = recorded.pictures(first), recorded.pictures(second)
    assert before + after == list(range(before[0], after[-1] + 1)), "no picture lost, none twice"
    assert 300 <= after[0] <= 320, "at the next key frame"
    kid = identity.key_id(lost.opens_public)
    recipients = [read_header(home.clips.ring.read(row.sequence).header).recipients for row in (first, second)]
    assert kid in recipients[0]
    assert kid not in recipients[1]


def test_the_report_of_a_camera_that_runs_for_years_stays_small(tmp_path: Path) -> None:
    """As the doorbell records: the newest clips and gaps, and memory for no more."""

    class Few(Recorded):
        reported = 3

    recorded = Few(tmp_path)
    report = recorded.record(Street(300, [(start, start + 2) for start in range(20, 280, 30)]))
    rows = recorded.rows()
    assert len(rows) > 5
    assert [clip.row.id for clip in report.clips] == [row.id for row in rows[-3:]]
    for n in range(10):
        report.add_gap(Gap(n, n + 1, "no picture"))
    assert [gap.start_ns for gap in report.gaps] == [7, 8, 9]


def test_a_visit_longer_than_a_clip_goes_on_in_the_next_without_losing_a_picture(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.record(Street(720, [(20, 700)]))
    rows = recorded.rows()
    assert len(rows) >= 3
    numbers = [recorded.pictures(row) for row in rows]
    for before, after in itertools.pairwise(numbers):
        assert after[0] == before[-1] + 1, "the next clip begins with the very next picture"
    assert set(range(200, 7000)) <= {n for each in numbers for n in each}
    assert all(row.end_ns - row.start_ns <= CLIP_LIMIT_NS for row in rows)


def test_two_visits_in_close_succession_are_two_clips_without_a_picture_in_common(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.record(Street(60, [(20, 24), (30, 34)], gop=1))
    first, second = (recorded.pictures(row) for row in recorded.rows())
    assert second[0] == first[-1] + 1
    assert set(range(200, 340)) <= {*first, *second}


def test_a_key_frame_in_every_picture_does_not_overflow_a_clip(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    street = Street(440, [(10, 435)], gop=1, size=8)
    recorded.record(street)
    rows = recorded.rows()
    assert all(row.records <= RECORDS_LIMIT for row in rows)
    assert set(range(100, 4350)) <= {n for row in rows for n in recorded.pictures(row)}
    assert max(row.records for row in rows) > 2500
    assert [gaps(recorded, row) for row in rows] == [[]] * len(rows), "a manifest of so many records can be verified"


def test_a_clip_that_ends_when_it_is_nearly_full_is_the_last(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.rules = SegmenterRules(pre_roll_ns=30 * SECOND)
    recorded.record(Street(340, [(40, 245)], gop=100))
    last = recorded.pictures(recorded.rows()[-1])[-1]
    assert 2490 <= last <= 2510, "nobody is there any more"


def test_few_key_frames_lose_nothing(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.record(Street(400, [(21, 26), (60, 390)], gop=120))
    seen = {n for row in recorded.rows() for n in recorded.pictures(row)}
    assert set(range(210, 260)) | set(range(600, 3900)) <= seen
    for row in recorded.rows():
        assert recorded.pictures(row)[0] % 120 == 0, "a clip begins with a key frame"


def test_a_source_without_key_frames_is_a_gap_that_is_said(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    report = recorded.record(Street(200, [(110, 130)], gop=100_000))
    (gap,) = report.gaps
    assert "no key frame" in gap.reason
    assert gap.start_ns == 120 * SECOND
    assert gap.end_ns == 200 * SECOND
    assert sum(row.bytes for row in recorded.rows()) < 1_000_000


def test_a_gap_is_in_the_manifest(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    gap = Gap(22 * SECOND, 23 * SECOND, "a damaged second")
    report = recorded.record(Street(60, [(20, 26)], extra={220: gap}))
    assert report.gaps == [gap]
    (row,) = recorded.rows()
    clip = recorded.home.clips.ring.read(row.sequence)
    manifest = read_manifest(clip.manifest or b"", recorded.home.device.public_key())
    zero = row.start_ns - NOW
    assert manifest.gaps == [(22 * SECOND - zero, 23 * SECOND - zero, "a damaged second")]


def gaps(recorded: Recorded, row: ClipRow) -> list[tuple[float, float, str]]:
    """What the manifest says is missing, in the source's seconds."""
    clip = recorded.home.clips.ring.read(row.sequence)
    manifest = read_manifest(clip.manifest or b"", recorded.home.device.public_key())
    zero = row.start_ns - NOW
    return [((start + zero) / SECOND, (end + zero) / SECOND, reason) for start, end, reason in manifest.gaps]


def without(street: Street, from_s: int, to_s: int, later_s: int = 0) -> Iterator[SourceItem]:
    """The street, with a gap in it; what follows the gap comes `later_s` later."""
    told = False
    for item in street:
        at_ns = getattr(item, "pts_ns", getattr(item, "time_ns", 0))
        if at_ns < from_s * SECOND:
            yield item
        elif at_ns >= to_s * SECOND:
            if not told:
                told = True
                yield Gap(from_s * SECOND, (to_s + later_s) * SECOND, "the cable was cut")
            if isinstance(item, EncodedPacket):
                pts_ns = item.pts_ns + later_s * SECOND
                yield replace(item, pts_ns=pts_ns, dts_ns=pts_ns)
            elif isinstance(item, LumaFrame):
                yield LumaFrame(item.time_ns + later_s * SECOND, item.pixels)


def test_a_gap_in_the_pre_roll_is_in_the_manifest(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.record(without(Street(100, [(20, 26), (80, 86)]), 17, 18))
    first, second = recorded.rows()
    assert set(range(160, 170)) <= set(recorded.pictures(first)), "the clip begins before the gap"
    assert gaps(recorded, first) == [(17, 18, "the cable was cut")]
    assert gaps(recorded, second) == []


def test_no_key_frame_for_long_is_a_gap_of_that_length_in_the_manifest(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.record(Street(200, [(110, 150)], gop=100_000))
    (row,) = recorded.rows()
    ((start_s, end_s, reason),) = gaps(recorded, row)
    assert "no key frame" in reason
    assert start_s == 120
    assert end_s > 150, "the visit went on, unrecorded"


@pytest.mark.parametrize("later_s", [0, 3000])
def test_what_follows_a_long_pause_is_not_in_the_clip_before_it(tmp_path: Path, later_s: int) -> None:
    recorded = Recorded(tmp_path)
    recorded.record(without(Street(160, [(20, 26), (130, 136)]), 25, 100, later_s))
    first, second = recorded.rows()
    assert recorded.pictures(first)[-1] == 249
    assert first.end_ns == NOW + 25 * SECOND
    assert set(range(1300, 1360)) <= set(recorded.pictures(second))
    assert gaps(recorded, first) == [(25, 100 + later_s, "the cable was cut")]


@pytest.mark.parametrize("later_s", [8, 400, 40_000])
@pytest.mark.parametrize("back_s", [30, 31])
def test_a_clip_behind_a_long_gap_begins_behind_it(tmp_path: Path, later_s: int, back_s: int) -> None:
    recorded = Recorded(tmp_path)
    recorded.record(without(Street(60, [(20, 26), (back_s, 36)]), 30, 30, later_s))
    first, second = recorded.rows()
    assert recorded.pictures(first) == list(range(150, 300))
    assert recorded.pictures(second) == list(range(300, 410))
    assert second.start_ns == NOW + (30 + later_s) * SECOND


def test_a_clip_behind_a_gap_begins_before_it_where_its_pictures_hang_on_that(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.record(without(Street(60, [(33, 38)], gop=50), 32, 32, 8))
    (row,) = recorded.rows()
    assert recorded.pictures(row) == list(range(300, 430))
    assert gaps(recorded, row) == [(32, 40, "the cable was cut")]


def test_a_camera_that_loses_every_other_picture_does_not_overflow_a_manifest(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    street = Street(300, [(10, 290)])
    street.extra = {n: Gap(n * SECOND // 10 - 9, n * SECOND // 10 - 1, "w" * 150) for n in range(1, 3000)}
    recorded.record(street)
    first, *_ = recorded.rows()
    assert first.state == "closed"
    assert len(gaps(recorded, first)) <= 500


def test_a_new_format_in_the_middle_of_a_visit_goes_on_in_a_next_clip(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    other = VideoFormat(640, 360, 90_000, SETS + b"")
    recorded.record(Street(60, [(20, 30)], extra={250: other}))
    rows = recorded.rows()
    assert len(rows) == 2
    assert recorded.pictures(rows[0])[-1] == 249
    assert recorded.pictures(rows[1])[0] == 250
    assert set(range(200, 300)) <= {n for row in rows for n in recorded.pictures(row)}


def test_the_ring_stays_within_its_budget(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path, budget=3_000_000)
    visits = [(start, start + 6) for start in range(30, 600, 30)]
    recorded.record(Street(620, visits, size=4000))
    total = sum(row.bytes for row in recorded.rows())
    assert len(recorded.evicted) > 3
    assert total <= 3_000_000
    on_disk = sum(path.stat().st_size for path in recorded.home.state.ring.rglob("*.clip"))
    assert on_disk == total


def test_a_disk_that_refuses_ends_the_recording_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded(tmp_path)
    real, budget = os.pwrite, 60

    def pwrite(handle: int, data: bytes, at: int) -> int:
        nonlocal budget
        budget -= 1
        if budget < 0:
            raise OSError(28, "No space left on device")
        return real(handle, data, at)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(Unavailable, match="No space left on device"):
        recorded.record(Street(200, [(20, 180)]))
    monkeypatch.undo()
    before = recorded.rows()
    assert before[-1].state == "recording"
    mended = recorded.home.clips.recover().mended
    assert [row.state for row in mended] == ["cut"]
    assert mended[0].records == 59, (
        "every write that succeeded but the preamble's; the index may be some seconds behind"
    )
    assert len(recorded.pictures(mended[0])) > 100


def test_a_camera_whose_pictures_run_ahead_of_the_clock_may_be_lost(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    away = Away(21 * SECOND, "the camera ended the connection")
    recorded.record(Street(60, [(20, 26)], extra={230: away}))
    assert [row.state for row in recorded.rows()][:1] == ["closed"]


def test_a_recording_may_end_while_the_camera_is_away(tmp_path: Path) -> None:
    """Time has gone on without it: nothing of the recording lies as late as its end."""
    recorded = Recorded(tmp_path)
    recorded.record(Street(24, [(20, 24)], extra={239: Away(40 * SECOND, "the camera hangs")}))
    assert [row.state for row in recorded.rows()] == ["closed"]
