"""Frames in, sealed clips out: the shell around fragments, motion and the segmenter.

Takes any source's items in order, keeps the last seconds of video in memory as pre-roll, and writes a clip from the
key frame before motion began until the post-roll is over. Runs in one thread of its own; the ring's fdatasync is the
only thing it waits for. It owns no clock: a TimeBase says what the source's times mean.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import cv2

from agent.config import Config
from agent.core.encoding import b64u
from agent.core.errors import Unavailable
from agent.core.fmp4 import Fragmenter, Origin, Run, init_segment, render_fragment
from agent.core.frame import EncodedPacket, Gap, LumaFrame, SourceItem, Track, VideoFormat
from agent.core.identity import OwnerSet
from agent.core.motion import Motion, MotionDetector, MotionSettings, Zone
from agent.core.sealing import CLIP_LIMIT_NS, RECORDS_LIMIT
from agent.core.segmenter import Closed, Opened, Segmenter, SegmenterRules
from agent.core.timeline import TimeBase
from agent.store.clips import ClipStart, ClipStore
from agent.store.index import ClipRow
from agent.store.recording import Fragment, OpenClip

log = logging.getLogger(__name__)

_LOOK_BACK_NS = 2_000_000_000  # motion may be confirmed a little after it began
_MEMORY_LIMIT_BYTES = 64 * 1024 * 1024
_KEY_FRAMES_APART_NS = 120_000_000_000  # what lies farther behind a key frame is not kept: a clip has to begin with one
_RECORDS_RESERVE = 16
_REPORT_LIMIT = 10_000
_MEGABYTE = 1_000_000
_NO_KEY_FRAME = "the source sent no key frame for two minutes; set it to one every second or two"
_CLOSE_RESERVE_BYTES = 1024 * 1024  # manifest and close record still have to fit


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """What of the configuration concerns recording."""

    motion: MotionSettings
    rules: SegmenterRules
    budget_bytes: int


def recorder_settings(config: Config) -> RecorderSettings:
    """What of the configuration concerns recording."""
    rules = SegmenterRules(
        pre_roll_ns=round(config.motion.pre_roll_s * 1e9), post_roll_ns=round(config.motion.post_roll_s * 1e9)
    )
    zones = tuple(Zone(tuple(z.corners), z.ignore, z.sensitivity) for z in config.motion.zones)
    motion = MotionSettings(config.motion.sensitivity, zones)
    return RecorderSettings(motion, rules, config.ring.budget_mb * _MEGABYTE)


@dataclass(slots=True)
class RecordedClip:
    """A finished clip in the source's own time (ns), and its row in the index."""

    start_ns: int
    end_ns: int
    motion_start_ns: int
    motion_end_ns: int
    row: ClipRow


@dataclass(slots=True)
class RecorderReport:
    """What one source gave: its newest clips and gaps (a camera runs for years), and how far it went."""

    clips: list[RecordedClip] = field(default_factory=list)
    packets: int = 0
    gaps: list[Gap] = field(default_factory=list)
    end_ns: int = 0


class Watcher(Protocol):
    """Told of what happens, in the recorder's thread."""

    def clip_began(self, row: ClipRow) -> None:
        """The first records of a clip are durable."""

    def clip_ended(self, row: ClipRow) -> None:
        """A clip has its manifest."""

    def clips_evicted(self, rows: list[ClipRow]) -> None:
        """The oldest clips gave way."""

    def moment(self, source_ns: int) -> None:
        """The source has come this far."""


Explain = Callable[[LumaFrame, Motion, MotionDetector], None]
"""Shown every frame, its verdict, and the detector that has just given it."""


@dataclass(slots=True)
class _Current:
    clip: OpenClip
    origin: Origin
    motion_start_ns: int
    motion_end_ns: int
    records: int = 1
    end_ns: int = 0
    gaps: list[Gap] = field(default_factory=list)


class Recorder:
    """Records one source. `owners` gives the owner set in force and its hash; `random` gives random bytes."""

    def __init__(
        self,
        store: ClipStore,
        settings: RecorderSettings,
        owners: Callable[[], tuple[OwnerSet, bytes]],
        random: Callable[[int], bytes],
        watcher: Watcher,
        explain: Explain | None = None,
    ) -> None:
        cv2.setNumThreads(1)  # pictures this small gain nothing from a thread a core
        self._store = store
        self._settings = settings
        self._owners = owners
        self._random = random
        self._watcher = watcher
        self._explain = explain
        self._boot = b64u(random(16))
        self._segmenter = Segmenter(settings.rules)
        self._detector: MotionDetector | None = None
        self._fragmenter = Fragmenter()
        self._format: VideoFormat | None = None
        self._runs: deque[Run] = deque()
        self._current: _Current | None = None
        self._key_ns: int | None = None  # when the last run began that decoding can begin with
        self._roll_motion_ns: int | None = None  # set while a full clip waits for the key frame the next begins at
        self._report = RecorderReport()
        self._base: TimeBase | None = None

    def record(self, source: Iterable[SourceItem], base: TimeBase, stopped: Callable[[], bool]) -> RecorderReport:
        """Record until the source ends or `stopped()`; every clip is closed on return.

        Unavailable when the disk fails or is full of held clips; what was durable before stays, closed as `cut` at the
        next start.
        """
        self._base = base
        try:
            for item in source:
                self._take(item)
                if stopped():
                    break
            self._finish()
        except OSError as e:
            raise Unavailable(f"recording stopped, the disk refused to write: {e.strerror or e}") from e
        finally:
            if self._current is not None:
                self._current.clip.abandon()
        return self._report

    def _take(self, item: SourceItem) -> None:
        if isinstance(item, EncodedPacket):
            self._report.packets += 1
            self._report.end_ns = max(self._report.end_ns, item.pts_ns + item.duration_ns)
            self._take_runs(self._fragmenter.push(item))
        elif isinstance(item, LumaFrame):
            self._observe(item)
        elif isinstance(item, VideoFormat):
            self._change_format(item)
        else:
            self._note_gap(item)

    def _finish(self) -> None:
        self._take_runs(self._fragmenter.flush())
        for event in self._segmenter.finish(self._report.end_ns) if self._detector else []:
            self._apply(event)
        self._end_clip()

    def _observe(self, frame: LumaFrame) -> None:
        if self._detector is None:
            height, width = frame.pixels.shape
            self._detector = MotionDetector((height, width), self._settings.motion)
        motion = self._detector.observe(frame)
        if self._explain is not None:
            self._explain(frame, motion, self._detector)
        events = self._segmenter.observe(
            frame.time_ns, motion.moving, since_ns=motion.since_ns, lingering=motion.lingering
        )
        if motion.moving and self._current is not None:
            self._current.motion_end_ns = frame.time_ns
        for event in events:
            self._apply(event)
        self._watcher.moment(frame.time_ns)

    def _change_format(self, new: VideoFormat) -> None:
        """Other parameter sets need another init segment: the clip ends here and goes on in a next one."""
        if self._format is not None:
            self._take_runs(self._fragmenter.flush())
            if self._current is not None:
                self._roll_motion_ns = self._report.end_ns
                self._end_clip()
            self._runs.clear()
            self._key_ns = None
            self._detector = None  # the picture may have another size
        self._format = new

    def _note_gap(self, gap: Gap) -> None:
        self._take_runs(self._fragmenter.flush())
        self._add_gap(gap)

    def _add_gap(self, gap: Gap) -> None:
        self._report.gaps = [*self._report.gaps[1 - _REPORT_LIMIT :], gap]
        log.warning("no video from %.1f s to %.1f s: %s", gap.start_ns / 1e9, gap.end_ns / 1e9, gap.reason)
        if self._current is not None:
            self._current.gaps.append(gap)

    def _apply(self, event: Opened | Closed) -> None:
        if isinstance(event, Opened):
            if self._roll_motion_ns is None and self._current is None:
                self._begin_clip(self._first_run(event.start_ns), event.motion_start_ns)
            return
        if event.continues:
            self._roll_motion_ns = event.motion_end_ns
            return
        self._roll_motion_ns = None
        self._take_runs(self._fragmenter.settle())
        if self._current is not None:
            self._current.motion_end_ns = max(self._current.motion_start_ns, event.motion_end_ns)
        self._end_clip()

    def _first_run(self, start_ns: int) -> int:
        """Where in memory a clip begins: the last key run at or before `start_ns`, else the first key run there is."""
        keys = [n for n, run in enumerate(self._runs) if run.key]
        before = [n for n in keys if self._runs[n].start_ns <= start_ns]
        return before[-1] if before else keys[0] if keys else len(self._runs)

    def _take_runs(self, runs: list[Run]) -> None:
        for run in runs:
            if self._usable(run):
                self._take_run(run)

    def _usable(self, run: Run) -> bool:
        """False for what nothing can be decoded from, because the source has sent no key frame for too long."""
        if run.key:
            self._key_ns = run.start_ns
            return True
        if self._key_ns is None:
            return False
        if run.start_ns - self._key_ns < _KEY_FRAMES_APART_NS:
            return True
        end_ns = run.start_ns + run.duration_ns
        lost = self._report.gaps[-1] if self._report.gaps else None
        if lost is not None and lost.reason == _NO_KEY_FRAME and lost.end_ns >= run.start_ns:
            self._report.gaps[-1] = Gap(lost.start_ns, end_ns, _NO_KEY_FRAME)
        else:
            self._add_gap(Gap(run.start_ns, end_ns, _NO_KEY_FRAME))
        return False

    def _take_run(self, run: Run) -> None:
        self._runs.append(run)
        if self._roll_motion_ns is not None and run.key:
            motion_ns, self._roll_motion_ns = self._roll_motion_ns, None
            self._end_clip()
            self._begin_clip(len(self._runs) - 1, max(motion_ns, run.start_ns))
        elif self._current is not None:
            self._write(self._current, run)
            self._check_limits(self._current)
        self._forget_old(run)

    def _check_limits(self, current: _Current) -> None:
        """A source of very short or very long groups of pictures may reach a clip's limits before its time is up."""
        full = current.records >= RECORDS_LIMIT - _RECORDS_RESERVE
        long = current.end_ns >= CLIP_LIMIT_NS - 2 * self._settings.rules.pre_roll_ns
        if full or long:
            self._roll_motion_ns = current.motion_end_ns
        if current.records >= RECORDS_LIMIT - 2 or current.end_ns >= CLIP_LIMIT_NS:
            # No key frame came in time. Begin again at the last one: the stretch since is in both clips, none is lost.
            self._roll_motion_ns = None
            motion_ns = current.motion_end_ns
            self._end_clip()
            self._begin_clip(self._first_run(self._report.end_ns), motion_ns)

    def _forget_old(self, newest: Run) -> None:
        """Keep what the next clip's pre-roll may need: back to the key run at or before its earliest beginning."""
        needed_ns = newest.start_ns + newest.duration_ns - self._settings.rules.pre_roll_ns - _LOOK_BACK_NS
        keep = self._first_run(needed_ns)
        total = sum(run.size for run in self._runs)
        while self._runs and (keep > 0 or (total > _MEMORY_LIMIT_BYTES and self._current is None)):
            total -= self._runs.popleft().size
            keep -= 1

    def _begin_clip(self, first: int, motion_start_ns: int) -> None:
        if first >= len(self._runs) or self._format is None or self._base is None:
            self._roll_motion_ns = motion_start_ns  # nothing can be decoded yet: begin at the next key frame
            return
        runs = list(self._runs)[first:]
        self._make_room(sum(run.size for run in runs))
        origin = runs[0].origin
        owners, owners_hash = self._owners()
        start = ClipStart(
            start_ns=self._base.utc(origin.pts_ns),
            trust=self._base.trust,
            boot=self._boot,
            boot_us=max(0, origin.pts_ns // 1000),
            clip_id=self._random(16),
            clip_key=self._random(32),
        )
        clip = self._store.begin(start, owners, owners_hash)
        self._current = _Current(clip, origin, max(motion_start_ns, origin.pts_ns), motion_start_ns)
        clip.add_init(Track.VIDEO, init_segment(self._format))
        for run in runs:
            self._write(self._current, run)
        self._watcher.clip_began(clip.row)

    def _write(self, current: _Current, run: Run) -> None:
        assert self._format is not None, "a run comes after its format"
        start_ns = run.start_ns - current.origin.pts_ns
        data = render_fragment(run, self._format, current.origin, current.records)
        self._make_room(len(data))
        current.clip.add(Track.VIDEO, Fragment(data, run.key, start_ns, run.duration_ns))
        current.records += 1
        current.end_ns = start_ns + run.duration_ns

    def _make_room(self, size: int) -> None:
        recording = self._current.clip.row.bytes if self._current else 0
        evicted = self._store.make_room(self._settings.budget_bytes, recording + size + _CLOSE_RESERVE_BYTES)
        if evicted:
            self._watcher.clips_evicted(evicted)

    def _end_clip(self) -> None:
        current, self._current = self._current, None
        if current is None:
            return
        zero = current.origin.pts_ns
        motion_end_ns = max(current.motion_start_ns, current.motion_end_ns)
        gaps = [(gap.start_ns - zero, gap.end_ns - zero, gap.reason) for gap in current.gaps]
        current.clip.close([(current.motion_start_ns - zero, motion_end_ns - zero)], gaps, labels=[])
        row = current.clip.row
        ended = RecordedClip(zero, zero + row.end_ns - row.start_ns, current.motion_start_ns, motion_end_ns, row)
        self._report.clips = [*self._report.clips[1 - _REPORT_LIMIT :], ended]
        self._watcher.clip_ended(row)
