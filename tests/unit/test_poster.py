"""Poster and labels in a real clip: there, sealed, right, alike in length whatever they say, and never released."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.adapters.replay import ReplaySource
from agent.core import identity, statements
from agent.core.about import check_poster, read_about, write_about
from agent.core.detection import Look, Seen, Sighting
from agent.core.errors import BadInput
from agent.core.frame import Track
from agent.core.identity import OwnerSet
from agent.core.labels import LABELS
from agent.core.motion import MotionSettings
from agent.core.release import RELEASABLE
from agent.core.sealing import ClipKeys, header_hash, open_record, unwrap_clip_key
from agent.core.segmenter import SegmenterRules
from agent.core.timeline import TimeBase, Trust
from agent.onlooker import Sight
from agent.recorder import Recorder, RecorderSettings
from agent.store.index import ClipRow
from agent.store.ring import ClipReader
from tests.household import NOW, Household


class Quiet:
    def clip_began(self, row: ClipRow) -> None: ...
    def clip_ended(self, row: ClipRow) -> None: ...
    def moment(self, source_ns: int) -> None: ...
    def clip_shows(self, label: str) -> None: ...
    def clips_evicted(self, rows: list[ClipRow]) -> None: ...


def recorded(home: Household, film: Path, sight: Sight | None = None) -> None:
    """The film recorded into a household's ring."""
    token = home.ledger.owners()
    assert token is not None
    owners = identity.read_owner_set(token, home.device_id)

    def in_force() -> tuple[OwnerSet, bytes]:
        return owners, statements.digest(token)

    settings = RecorderSettings(MotionSettings(), SegmenterRules())
    recorder = Recorder(home.clips, home.keeper(), settings, in_force, secrets.token_bytes, Quiet(), sight=sight)
    recorder.record(ReplaySource([film]), lambda: TimeBase(0, NOW, Trust.REPLAYED), lambda: False)


def opened(home: Household, row: ClipRow, track: Track) -> list[tuple[int, bytes]]:
    """The records of a track with their start in the clip, opened with the owner's key."""
    clip = home.clips.ring.read(row.sequence)
    keys = ClipKeys(unwrap_clip_key(clip.header, clip.wraps, home.owner.opens), header_hash(clip.header))
    with ClipReader(clip.path) as reader:
        return [
            (r.header.start_ns, open_record(keys.record_secret(track, r.header.index), reader.read(r.offset, r.length)))
            for r in clip.track(track)
        ]


def test_each_clip_has_one_poster_of_its_motion_in_colour(tmp_path: Path, scene: Path) -> None:
    home = Household.at(tmp_path)
    recorded(home, scene)
    rows = list(home.clips.index.all())
    assert rows
    for row in rows:
        ((start_ns, data),) = opened(home, row, Track.PICTURE)
        assert row.motion_start_ns is not None
        assert row.motion_end_ns is not None
        assert row.motion_start_ns <= row.start_ns + start_ns <= row.motion_end_ns
        picture = cv2.imdecode(np.frombuffer(check_poster(data), np.uint8), cv2.IMREAD_COLOR)
        assert max(picture.shape) == 640
        assert np.ptp(picture.astype(int), axis=2).max() > 40, "not grey"
        ((_, about),) = opened(home, row, Track.ABOUT)
        assert read_about(about).labels == []
        kept = home.clips.ring.read(row.sequence).path.read_bytes()
        assert data not in kept
        assert b"JFIF" not in kept


class SeesPersons:
    """A detector that takes all that moves for people."""

    def __init__(self) -> None:
        self.taken: list[Look] = []

    def offer(self, look: Look) -> bool:
        self.taken.append(look)
        return True

    def seen(self) -> list[Seen]:
        done, self.taken = self.taken, []
        return [Seen(look, (Sighting("person", 0.9, look.moving[0]),)) for look in done]

    def settle(self) -> None: ...


def test_labels_are_in_the_clip_and_nowhere_else(tmp_path: Path, scene: Path, caplog: pytest.LogCaptureFixture) -> None:
    home = Household.at(tmp_path)
    with caplog.at_level(logging.DEBUG):
        recorded(home, scene, SeesPersons())
    for row in home.clips.index.all():
        ((_, about),) = opened(home, row, Track.ABOUT)
        assert read_about(about).labels == ["person"]
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 3
    assert [path for path in written if b"person" in path.read_bytes()] == []
    assert "person" not in caplog.text


def test_the_close_record_is_as_long_whatever_it_says() -> None:
    lengths = {len(write_about(list(LABELS[:n]), [(0, 299 * 10**9)])) for n in range(len(LABELS) + 1)}
    assert lengths == {512}
    assert read_about(write_about(["ring"], [(1, 2)])).motion == [(1, 2)]


@pytest.mark.parametrize("labels", [["Ring"], ["ring", "ring"], ["a b"], [c * 3 for c in "abcdefghijklmnopq"]])
def test_no_label_is_written_that_no_reader_accepts(labels: list[str]) -> None:
    with pytest.raises(BadInput):
        write_about(labels, [])


def test_neither_is_among_what_can_be_released() -> None:
    assert set(RELEASABLE) == {Track.VIDEO, Track.AUDIO}
