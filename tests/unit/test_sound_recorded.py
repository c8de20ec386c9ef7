"""Sound from a film with flashes and beeps, recorded and opened: it stays with its pictures, and shut unless agreed."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import av
import pytest

from agent.adapters.replay import ReplaySource
from agent.core import identity, statements
from agent.core.errors import Corrupt
from agent.core.frame import SoundFormat, SoundPacket, Track
from agent.core.identity import OwnerSet
from agent.core.motion import MotionSettings
from agent.core.plain_mp4 import FilmSound, remux_plain
from agent.core.release import TrackSpan, build_decision, open_release, release_bytes, seal_releases, share_clip
from agent.core.sealing import ClipKeys, header_hash, open_record, unwrap_clip_key
from agent.core.segmenter import SegmenterRules
from agent.core.timeline import Span, TimeBase, Trust
from agent.owner import rescue
from agent.recorder import Recorder, RecorderSettings
from agent.store.clips import clip_facts
from agent.store.index import ClipRow
from agent.store.ring import ClipReader
from tests.clapper import apart, flashes, make_clapper
from tests.household import NOW, SECOND, Household


class Quiet:
    """A watcher that keeps nothing."""

    def clip_began(self, row: ClipRow) -> None: ...
    def clip_ended(self, row: ClipRow) -> None: ...
    def clips_evicted(self, rows: list[ClipRow]) -> None: ...
    def moment(self, source_ns: int) -> None: ...


def record(home: Household, path: Path, *, sound: bool) -> ClipRow:
    """The one clip of a film."""
    token = home.ledger.owners()
    assert token is not None
    owners = identity.read_owner_set(token, home.device_id)

    def in_force() -> tuple[OwnerSet, bytes]:
        return owners, statements.digest(token)

    settings = RecorderSettings(MotionSettings(), SegmenterRules())
    recorder = Recorder(home.clips, home.keeper(), settings, in_force, secrets.token_bytes, Quiet())
    recorder.record(ReplaySource([path], sound=sound), lambda: TimeBase(0, NOW, Trust.REPLAYED), lambda: False)
    (row,) = home.clips.index.all()
    return row


def opened(home: Household, row: ClipRow, span: TrackSpan) -> list[bytes]:
    """Records of a span, opened by the owner."""
    clip = home.clips.ring.read(row.sequence)
    keys = ClipKeys(unwrap_clip_key(clip.header, clip.wraps, home.owner.opens), header_hash(clip.header))
    track = Track[span.track.upper()]
    found = clip.track(track)
    with ClipReader(clip.path) as reader:
        return [
            open_record(keys.record_secret(track, i), reader.read(found[i].offset, found[i].length))
            for i in span.indexes
        ]


def film(home: Household, row: ClipRow, span: Span, path: Path, *, sound: bool = True) -> Path:
    """What an owner exports of a span."""
    shared = share_clip(clip_facts(home.clips.ring.read(row.sequence)), span, sound=sound)
    assert shared is not None
    tracks = {each.track: opened(home, row, each) for each in shared.tracks}
    heard = tracks.get("audio")
    init, *pictures = tracks["video"]
    path.write_bytes(b"".join(remux_plain(init, pictures, FilmSound(heard[0], heard[1:]) if heard else None)))
    return path


KINDS = {
    "aac.mp4": ("aac", 48_000, "mono"),
    "stereo.mp4": ("aac", 44_100, "stereo"),
    "pcm.mkv": ("pcm_s16le", 16_000, "mono"),
    "alaw-rate.mkv": ("pcm_s16le", 8_000, "mono"),
    "opus.mkv": ("libopus", 48_000, "mono"),
    "mp3.avi": ("libmp3lame", 44_100, "mono"),
}


@pytest.mark.parametrize("name", KINDS)
def test_beeps_stay_with_flashes(tmp_path: Path, name: str) -> None:
    source = make_clapper(tmp_path / name, 24, *KINDS[name])
    before = apart(source)
    home = Household.at(tmp_path / "state")
    row = record(home, source, sound=True)
    whole = film(home, row, Span(0, 10**19), tmp_path / "whole.mp4")
    late = apart(whole)
    assert len(late) >= 4
    # Beside what a codec smears: no more than a packet's edge against where the source had them.
    assert max(abs(x - y) for x in late for y in before) < 0.012
    part = film(home, row, Span(row.start_ns + 5 * SECOND, row.start_ns + 12 * SECOND), tmp_path / "part.mp4")
    assert len(apart(part)) >= 2
    assert max(abs(x - y) for x in apart(part) for y in before) < 0.012


def test_sound_covers_the_pictures_of_a_stretch(tmp_path: Path) -> None:
    home = Household.at(tmp_path / "state")
    row = record(home, make_clapper(tmp_path / "film.mp4", 24), sound=True)
    facts = clip_facts(home.clips.ring.read(row.sequence))
    for start, end in [(0, 100), (3, 4), (5, 9), (7, 8)]:
        shared = share_clip(facts, Span(row.start_ns + start * SECOND, row.start_ns + end * SECOND), sound=True)
        assert shared is not None
        video, audio = ([facts.records[Track[t.track.upper()]][i] for i in t.indexes[1:]] for t in shared.tracks)
        ends = [each[-1].start_ns + each[-1].duration_ns for each in (video, audio)]
        assert abs(video[0].start_ns - audio[0].start_ns) < 25_000_000
        assert abs(ends[0] - ends[1]) < (25_000_000 if end < 100 else 300_000_000)
    media = [t for t in (Track.VIDEO, Track.AUDIO) for _ in facts.records[t][1:]]
    assert media.count(Track.AUDIO) <= media.count(Track.VIDEO) + 1


def test_a_card_gives_its_sound_back_too(tmp_path: Path) -> None:
    home = Household.at(tmp_path / "state")
    record(home, make_clapper(tmp_path / "film.mp4", 12), sound=True)
    if os.geteuid() == 0:
        os.chown(tmp_path, 4321, 4322)  # a person's folder: root reads the card for them
    out = tmp_path / "my" / "films"
    (found,) = rescue.rescue(rescue.ring_of(tmp_path / "state"), home.recovery, out)
    assert found.file is not None, found.problem
    with av.open(str(out / found.file)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
    assert len(apart(out / found.file)) >= 2, "beeps still follow flashes"
    mine = tmp_path.stat()
    for made in (out.parent, out, out / found.file):
        assert (made.stat().st_uid, made.stat().st_gid) == (mine.st_uid, mine.st_gid)


def test_aac_goes_in_bit_for_bit(tmp_path: Path) -> None:
    source = make_clapper(tmp_path / "film.mp4", 24)
    with av.open(str(source)) as container:
        theirs = [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]
    items = list(ReplaySource([source], sound=True))
    ours = [item.data for item in items if isinstance(item, SoundPacket)]
    assert ours == theirs
    assert [item.rate_hz for item in items if isinstance(item, SoundFormat)] == [48_000]


@pytest.mark.parametrize(
    ("first", "then"), [((48_000, "mono"), (48_000, "stereo")), ((44_100, "stereo"), (32_000, "mono"))]
)
def test_sound_that_changes_its_channels_or_rate_goes_on(
    tmp_path: Path, first: tuple[int, str], then: tuple[int, str]
) -> None:
    """As broadcasts do between programmes."""
    parts = [
        make_clapper(tmp_path / f"{n}.ts", 6, "mp2", rate, layout).read_bytes()
        for n, (rate, layout) in enumerate((first, then))
    ]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(parts))
    items = list(ReplaySource([path], sound=True))
    (fmt,) = [item for item in items if isinstance(item, SoundFormat)]
    assert (fmt.rate_hz, fmt.channels) == (first[0], 1 if first[1] == "mono" else 2)
    times = [item.pts_ns for item in items if isinstance(item, SoundPacket)]
    seconds = len(times) * 1024 / fmt.rate_hz
    assert 11.5 < seconds < 12.5
    assert max(times) > 11 * SECOND


def test_no_sound_is_recorded_unless_it_was_wanted(tmp_path: Path) -> None:
    home = Household.at(tmp_path / "state")
    row = record(home, make_clapper(tmp_path / "film.mp4", 20), sound=False)
    facts = clip_facts(home.clips.ring.read(row.sequence))
    assert not facts.records[Track.AUDIO]
    path = film(home, row, Span(0, 10**19), tmp_path / "whole.mp4")
    with av.open(str(path)) as container:
        assert not container.streams.audio
    assert flashes(path)


def test_without_a_yes_for_sound_its_records_stay_shut(tmp_path: Path) -> None:
    home = Household.at(tmp_path / "state")
    row = record(home, make_clapper(tmp_path / "film.mp4", 20), sound=True)
    clip = home.clips.ring.read(row.sequence)
    facts = clip_facts(clip)
    keys = ClipKeys(unwrap_clip_key(clip.header, clip.wraps, home.owner.opens), header_hash(clip.header))
    _, asked = home.admit(Span(row.start_ns - 1000 * SECOND, row.end_ns + SECOND))
    shared = share_clip(facts, asked.span, sound=False)
    assert shared is not None
    decision = build_decision(asked, home.device_id, [shared], now_ns=NOW, undo_ns=0)
    token = statements.sign(statements.Kind.DECISION, decision, home.owner.signs)
    (release,) = seal_releases(token, decision, [keys], home.requester.opens_public)
    released = open_release(token, shared, release, home.requester.opens)
    assert set(released) == {Track.VIDEO}
    assert len(release) == release_bytes(shared)
    with ClipReader(clip.path) as reader:
        for stored in clip.track(Track.AUDIO):
            record_bytes = reader.read(stored.offset, stored.length)
            assert open_record(keys.record_secret(Track.AUDIO, stored.header.index), record_bytes)
            for secret in released[Track.VIDEO].values():
                with pytest.raises(Corrupt):
                    open_record(secret, record_bytes)
