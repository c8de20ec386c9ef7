"""What was acknowledged survives: torn tails are cut back, the index is rebuilt, held clips stay, the checker sees."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import resource
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.errors import Corrupt, Refused, Unavailable
from agent.core.frame import Track
from agent.core.manifest import read_manifest
from agent.core.sealing import ClipKeys, header_hash, open_record, read_header, unwrap_clip_key
from agent.core.timeline import Span
from agent.setup import open_state
from agent.store.check import Checker, repair
from agent.store.database import connect
from agent.store.index import describe
from agent.store.ledger import Ledger
from agent.store.recording import Fragment
from agent.store.ring import ClipFile, ClipReader, Ring
from agent.store.state import StateDirectory, WriterLock
from tests.household import NOW, SECOND, Household


@pytest.fixture
def home(tmp_path: Path) -> Household:
    return Household.at(tmp_path)


def findings(home: Household) -> list[str]:
    checker = Checker(Ring(home.state.ring), home.state.clock, home.db, home.device)
    return [finding.invariant[:2] for finding in checker.findings()]


def test_the_owner_opens_every_record_of_a_clip_and_the_recovery_code_too(home: Household) -> None:
    row = home.record_clip()
    clip = home.clips.ring.read(row.sequence)
    for keys in (home.owner, home.recovery):
        secrets = ClipKeys(unwrap_clip_key(clip.header, clip.wraps, keys.opens), header_hash(clip.header))
        with ClipReader(clip.path) as reader:
            opened = [
                open_record(secrets.record_secret(r.header.track, r.header.index), reader.read(r.offset, r.length))
                for r in clip.records
            ]
        assert opened[0] == b"init of the video"
        assert len(opened) == 23
    manifest = read_manifest(clip.manifest or b"", home.device.public_key())
    assert len(manifest.hashes(Track.VIDEO)) == 11
    assert manifest.ended == "closed"


def test_blocks_asked_for_ahead_are_given_back(home: Household) -> None:
    def unused(path: Path) -> int:
        found = path.stat()
        return found.st_blocks * 512 - found.st_size

    closed = home.clips.ring.path(home.record_clip().sequence)
    cut = home.begin_clip(NOW + 60 * SECOND)
    cut.add_init(Track.VIDEO, b"init of the video")
    path = home.clips.ring.path(cut.row.sequence)
    assert 3 * 1024**2 < unused(path) < 5 * 1024**2
    cut.abandon()
    home.clips.recover()
    assert unused(closed) < 8192
    assert unused(path) < 8192
    assert findings(home) == []


def test_no_page_is_shared_by_two_records_of_video(home: Household) -> None:
    row = home.record_clip()
    clip = home.clips.ring.read(row.sequence)
    assert clip.good_bytes == clip.path.stat().st_size
    for record, following in itertools.pairwise(clip.records):
        end = record.offset + record.length + 4
        assert following.offset == end + (-end % 4096 if record.header.track is Track.VIDEO else 0)


def test_a_clip_names_the_manifest_before_it(home: Household) -> None:
    rows = [home.record_clip(NOW + n * 60 * SECOND) for n in range(3)]
    assert [row.sequence for row in rows] == [1, 2, 3]
    assert findings(home) == []
    other = home.state.root / "other"
    stranger = Household.at(other)
    stranger.record_clip()
    home.clips.ring.path(2).write_bytes(stranger.clips.ring.path(1).read_bytes())
    assert {"R2", "R3"} <= set(findings(home))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(cut=st.integers(0, 6000), junk=st.binary(max_size=120))
def test_whatever_the_tail_looks_like_whole_records_stay(tmp_path: Path, cut: int, junk: bytes) -> None:
    """Power is lost anywhere in the last bytes; what follows may be cut off, or pages of something else."""
    root = tmp_path / f"{cut}-{junk.hex()[:24]}-{len(junk)}"
    home = Household.at(root) if not root.exists() else Household.at(root / "again")
    clip = home.begin_clip()
    clip.add_init(Track.VIDEO, b"init")
    ends = [clip.row.bytes]
    for n in range(4):
        clip.add(Track.VIDEO, Fragment(b"x" * 1200, True, n * SECOND, SECOND))
        ends.append(clip.row.bytes)
    clip.abandon()
    assert findings(home) == [], "a clip in the making is nothing wrong"
    path = home.clips.ring.path(1)
    whole = path.read_bytes()
    keep = max(ends[0], len(whole) - cut)
    path.write_bytes(whole[:keep] + junk)
    found = home.clips.recover()
    survivors = sum(end <= keep for end in ends)
    assert found.mended[0].records >= survivors
    assert found.mended[0].state == "cut"
    assert findings(home) == []
    assert home.clips.recover().mended == []


def test_a_file_cut_off_inside_its_preamble_is_dropped(home: Household) -> None:
    home.record_clip()
    clip = home.begin_clip()
    clip.abandon()
    path = home.clips.ring.path(2)
    path.write_bytes(path.read_bytes()[:40])
    assert home.clips.recover().mended == []
    assert not path.exists()
    assert home.record_clip().sequence == 3, "a number is never used twice"
    assert findings(home) == []


def test_a_damaged_file_does_not_keep_the_doorbell_from_starting(home: Household) -> None:
    home.record_clip()
    clip = home.begin_clip()
    clip.add_init(Track.VIDEO, b"x" * 500)
    clip.abandon()
    path = home.clips.ring.path(2)
    damaged = bytearray(path.read_bytes())
    damaged[30] ^= 1
    path.write_bytes(bytes(damaged))
    found = home.clips.recover()
    assert len(found.unreadable) == 1
    assert path.exists(), "what cannot be read is left for 'doorward check' to name"
    assert "R1" in findings(home)


def test_the_index_is_rebuilt_from_the_ring_as_it_was(home: Household) -> None:
    for n in range(3):
        home.record_clip(NOW + n * 60 * SECOND)
    before = list(home.clips.index.all())
    home.db.execute("DELETE FROM clips")
    assert findings(home) == ["I1", "I1", "I1"]
    repair(home.clips, home.device)
    assert list(home.clips.index.all()) == before
    assert findings(home) == []


def test_the_oldest_clips_give_way_but_never_held_ones(home: Household) -> None:
    rows = [home.record_clip(NOW + n * 60 * SECOND) for n in range(5)]
    span = Span(rows[0].start_ns - 900 * SECOND, rows[0].end_ns)
    home.admit(span)
    store = home.clips
    used = sum(row.bytes for row in rows)
    evicted = home.keeper(used).make_room(0, rows[0].bytes * 2)
    assert [row.sequence for row in evicted] == [2, 3]
    assert [row.sequence for row in store.index.all()] == [1, 4, 5]
    with pytest.raises(Unavailable, match="held for requests"):
        home.keeper(rows[0].bytes).make_room(0, 1)
    assert [row.sequence for row in store.index.all()] == [1, 4, 5], "nothing is lost for nothing"
    assert findings(home) == []


def test_clips_are_found_by_time(home: Household) -> None:
    for n in range(4):
        home.record_clip(NOW + n * 60 * SECOND)
    index = home.clips.index

    def between(start_s: int, end_s: int) -> list[int]:
        return [row.sequence for row in index.overlapping(Span(NOW + start_s * SECOND, NOW + end_s * SECOND))]

    assert between(0, 1000) == [1, 2, 3, 4]
    assert between(10, 60) == []
    assert between(9, 61) == [1, 2]
    assert between(65, 66) == [2]
    assert len(index.overlapping(Span(-(10**30), 10**30))) == 4


def test_altered_clips_are_noticed(home: Household) -> None:
    row = home.record_clip()
    path = home.clips.ring.path(row.sequence)
    good = path.read_bytes()
    noticed = 0
    for at in range(0, len(good), 97):
        altered = bytearray(good)
        altered[at] ^= 0x10
        path.write_bytes(bytes(altered))
        noticed += bool(findings(home))
    assert noticed == len(range(0, len(good), 97))
    path.write_bytes(good + b"more")
    assert "R5" in findings(home)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_a_clip_or_corrupt(home: Household, data: bytes) -> None:
    path = home.clips.ring.path(7)
    path.parent.mkdir(exist_ok=True)
    for content in (data, b"DWCLIP\x00\x01" + data):
        path.write_bytes(content)
        with contextlib.suppress(Corrupt):
            home.clips.ring.read(7)
        with contextlib.suppress(Corrupt):
            home.clips.ring.layout(7)


def test_a_manifest_of_another_device_is_not_believed(home: Household, tmp_path: Path) -> None:
    stranger = Household.at(tmp_path / "stranger")
    clip = home.clips.ring.read(home.record_clip().sequence)
    with pytest.raises(Refused):
        describe(1, clip, stranger.device.public_key())


def test_two_processes_do_not_write_at_once(home: Household) -> None:
    with WriterLock(home.state, "run"), pytest.raises(Unavailable, match=r"in use by doorward run \(process \d+\)"):
        WriterLock(home.state, "replay").__enter__()
    with WriterLock(home.state, "replay"):
        pass


def test_a_lock_that_cannot_be_written_is_said_and_one_without_room_for_a_name_is_held(home: Household) -> None:
    lock = home.state.root / "lock"
    _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # a write of any file is refused, as on a full disk
    try:
        with WriterLock(home.state, "run"):
            assert WriterLock.holder(home.state) == "another process"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    lock.unlink()
    lock.mkdir()
    with pytest.raises(Unavailable, match="lock cannot be written: Is a directory; check the disk"):
        WriterLock(home.state, "run").__enter__()


def test_a_missing_or_foreign_state_directory_is_said_clearly(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="holds no doorbell yet"):
        StateDirectory(tmp_path / "nothing")
    (tmp_path / "doorward.db").write_bytes(b"this is not a database, it is a text about one" * 100)
    with pytest.raises(Corrupt, match="is damaged: file is not a database"):
        connect(tmp_path / "doorward.db")
    newer = tmp_path / "newer.db"
    with contextlib.closing(sqlite3.connect(newer)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(Corrupt, match="newer Doorward"):
        connect(newer)


@pytest.mark.parametrize("closed", [True, False])
def test_damage_in_the_middle_costs_no_record_behind_it(home: Household, closed: bool) -> None:
    """A record's header is damaged, so that its length is not known: nothing behind it may be cut off."""
    home.record_clip()
    clip = home.begin_clip(NOW + 60 * SECOND)
    clip.add_init(Track.VIDEO, b"init")
    ends = [clip.row.bytes]
    for n in range(5):
        clip.add(Track.VIDEO, Fragment(b"x" * 900, True, n * SECOND, SECOND))
        ends.append(clip.row.bytes)
    if closed:
        clip.close([(0, SECOND)], [], [])
    else:
        clip.abandon()
    path = home.clips.ring.path(2)
    damaged = bytearray(path.read_bytes())
    damaged[ends[2] + 65] ^= 0xFF
    path.write_bytes(bytes(damaged))
    home.db.execute("DELETE FROM clips")
    done = repair(home.clips, home.device)
    assert any("damaged in the middle" in line for line in done)
    assert path.read_bytes() == bytes(damaged), "left as it was, byte for byte"
    assert findings(home) == ["R7"]
    row = home.clips.index.by_sequence(2)
    assert row is not None
    assert (row.state, row.records, row.bytes) == ("cut", 3, ends[2]), "what lies before the damage can be opened"


def test_a_start_hears_how_far_reading_the_ring_has_come(home: Household) -> None:
    for n in range(3):
        home.record_clip(NOW + n * 60 * SECOND)
    before = list(home.clips.index.all())
    home.db.execute("DELETE FROM clips")
    heard: list[tuple[int, int]] = []
    home.clips.recover(lambda done, clips: heard.append((done, clips)))
    assert heard == [(1, 3), (2, 3), (3, 3)]
    assert list(home.clips.index.all()) == before
    assert home.clips.index.ended() == (3, sum(row.bytes for row in before))


def test_others_write_to_the_database_while_a_cut_off_clip_is_read(
    home: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = home.begin_clip()
    clip.add(Track.VIDEO, Fragment(b"x" * 4000, True, 0, SECOND))
    clip.abandon()
    real = Ring.read
    with contextlib.closing(connect(home.state.database)) as desk:
        desk.execute("PRAGMA busy_timeout = 0")

        def read(ring: Ring, sequence: int) -> ClipFile:
            Ledger(desk).note(NOW, "request-refused", {"reason": "a request that comes meanwhile is written down"})
            return real(ring, sequence)

        with monkeypatch.context() as patched:
            patched.setattr(Ring, "read", read)
            assert [row.state for row in home.clips.recover().mended] == ["cut"]
    assert findings(home) == []


def test_bytes_the_disk_does_not_give_are_unavailable(tmp_path: Path) -> None:
    with ClipReader(tmp_path) as reader, pytest.raises(Unavailable, match="cannot be read"):
        reader.read(0, 1)  # a folder: it opens, and gives an error in the place of bytes


def test_a_newest_clip_that_cannot_be_read_does_not_keep_the_next_from_beginning(tmp_path: Path) -> None:
    home = Household.at(tmp_path)
    row = home.record_clip()
    path = home.clips.ring.path(row.sequence)
    data = bytearray(path.read_bytes())
    data[40] ^= 1  # in the header, JSON no more
    path.write_bytes(data)
    after = home.record_clip()
    assert after.sequence == row.sequence + 1
    assert read_header(home.clips.ring.read(after.sequence).header).previous == ""


def test_a_lost_device_key_is_said_and_no_other_put_in_its_place(home: Household) -> None:
    key = home.state.identity / "device.key"
    key.unlink()
    command = [sys.executable, "-m", "agent", "--state", str(home.state.root), "check", "--repair"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert "device.key cannot be read: No such file or directory; restore it from a copy" in done.stderr
    with pytest.raises(Unavailable, match="restore it from a copy"):
        open_state(home.state, NOW, secrets.token_bytes, make_recovery=False)
    assert not key.exists()


class Busy(Ring):
    """A ring in which something happens while a checker reads its first clip."""

    def __init__(self, home: Household, meanwhile: Callable[[], object]) -> None:
        super().__init__(home.state.ring)
        self._meanwhile = meanwhile

    def read(self, sequence: int) -> ClipFile:
        if sequence == 1:
            self._meanwhile()
        return super().read(sequence)


def test_a_check_beside_a_running_doorbell_finds_nothing_wrong_in_what_happens_meanwhile(home: Household) -> None:
    rows = [home.record_clip(NOW + n * 60 * SECOND) for n in range(4)]
    clip = home.begin_clip(NOW + 600 * SECOND)
    clip.add_init(Track.VIDEO, b"init")

    def meanwhile() -> None:
        clip.close([(0, 0)], [], [])
        home.keeper().delete(rows[2].id, "the owner")
        home.record_clip(NOW + 700 * SECOND)

    checker = Checker(Busy(home, meanwhile), home.state.clock, home.db, home.device)
    assert list(checker.findings()) == []
    home.clips.ring.path(2).unlink()
    assert findings(home) == ["I1"], "what is gone without having left is still found"


def bad_sector(monkeypatch: pytest.MonkeyPatch, from_byte: int, name: str = ".clip") -> None:
    """Nothing can be read from there on, in any clip or in the one whose file's name ends so."""
    real = os.pread

    def pread(handle: int, length: int, offset: int) -> bytes:
        if offset + length > from_byte and os.readlink(f"/proc/self/fd/{handle}").endswith(name):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(handle, length, offset)

    monkeypatch.setattr(os, "pread", pread)


@pytest.mark.parametrize("from_byte", [0, 9000])
def test_a_bad_sector_in_the_newest_clip_keeps_the_doorbell_neither_from_starting_nor_recording(
    home: Household, monkeypatch: pytest.MonkeyPatch, from_byte: int
) -> None:
    clip = home.begin_clip()
    for n in range(5):
        clip.add(Track.VIDEO, Fragment(b"x" * 4000, True, n * SECOND, SECOND))
    clip.abandon()
    path = home.clips.ring.path(1)
    before = path.read_bytes()
    bad_sector(monkeypatch, from_byte)
    assert len(home.clips.recover().unreadable) == 1
    assert findings(home) == ["R7" if from_byte else "R1"]
    after = home.begin_clip(NOW + 60 * SECOND)
    after.add(Track.VIDEO, Fragment(b"x", True, 0, SECOND))
    after.close([(0, 0)], [], [])
    monkeypatch.undo()
    assert path.read_bytes() == before, "what cannot be read now may be read another time"
    repair(home.clips, home.device)
    row = home.clips.index.by_sequence(1)
    assert row is not None
    assert (row.state, row.records) == ("cut", 5)
    assert findings(home) == []


def test_a_clip_behind_an_unreadable_one_that_the_index_never_knew_names_no_other(
    home: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.record_clip()
    clip = home.begin_clip(NOW + 60 * SECOND)
    clip.add(Track.VIDEO, Fragment(b"x" * 4000, True, 0, SECOND))
    clip.abandon()
    # A power cut: the index had not been waited for.
    home.db.execute("DELETE FROM clips WHERE sequence = 2")
    home.db.execute("UPDATE sqlite_sequence SET seq = 1 WHERE name = 'clips'")
    with monkeypatch.context() as patched:
        bad_sector(patched, 0, "2.clip")
        assert len(home.clips.recover().unreadable) == 1
        assert home.record_clip(NOW + 120 * SECOND).sequence == 3
    repair(home.clips, home.device)
    assert [row.state for row in home.clips.index.all()] == ["closed", "cut", "closed"]
    assert findings(home) == []
