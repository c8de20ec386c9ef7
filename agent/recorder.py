"""Frames in, sealed clips out: decides what is recorded; `clipper` writes it.

Takes any source's items in order: packets become runs, brightness becomes motion, motion becomes a clip's beginning and
end. Runs in one thread of its own; the ring's fdatasync is the only thing it waits for. It owns no clock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import cv2

from agent.clipper import Clipper, ClipWatcher, RecordedClip
from agent.config import Config
from agent.core.errors import Unavailable
from agent.core.fmp4 import Fragmenter, Run
from agent.core.frame import (
    Away,
    EncodedPacket,
    Gap,
    LumaFrame,
    Mute,
    SoundFormat,
    SoundPacket,
    SourceItem,
    VideoFormat,
)
from agent.core.identity import OwnerSet
from agent.core.labels import RING
from agent.core.motion import Motion, MotionDetector, MotionSettings, Zone
from agent.core.segmenter import Closed, Opened, Segmenter, SegmenterRules
from agent.core.timeline import TimeBase
from agent.onlooker import Onlooker, Sight
from agent.store.clips import ClipStore
from agent.store.keeping import Keeper

log = logging.getLogger(__name__)

_KEY_FRAMES_APART_NS = 120_000_000_000  # what lies farther behind a key frame is not kept: a clip has to begin with one
_LONG_GAP_NS = 1_000_000_000  # after a longer one, what follows must not come into a clip whose time was over in it
_REPORT_LIMIT = 10_000
_NO_KEY_FRAME = "the source sent no key frame for two minutes; set it to one every second or two"


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """What of the configuration concerns recording."""

    motion: MotionSettings
    rules: SegmenterRules


def recorder_settings(config: Config) -> RecorderSettings:
    """What of the configuration concerns recording."""
    rules = SegmenterRules(
        pre_roll_ns=round(config.motion.pre_roll_s * 1e9), post_roll_ns=round(config.motion.post_roll_s * 1e9)
    )
    zones = tuple(Zone(tuple(z.corners), z.ignore, z.sensitivity) for z in config.motion.zones)
    motion = MotionSettings(config.motion.sensitivity, zones)
    return RecorderSettings(motion, rules)


@dataclass(slots=True)
class RecorderReport:
    """What one source gave: its `limit` newest clips and gaps (a camera runs for years), and how far it went."""

    clips: list[RecordedClip] = field(default_factory=list)
    packets: int = 0
    gaps: list[Gap] = field(default_factory=list)
    end_ns: int = 0
    limit: int = _REPORT_LIMIT

    def add_clip(self, clip: RecordedClip) -> None:
        """The newest clip; the oldest is forgotten where there are too many."""
        self.clips = [*self.clips, clip][-self.limit :]

    def add_gap(self, gap: Gap) -> None:
        """The newest gap, in the same way."""
        self.gaps = [*self.gaps, gap][-self.limit :]


class Watcher(ClipWatcher, Protocol):
    """Told of what happens, in the recorder's thread."""

    def moment(self, source_ns: int) -> None:
        """The source has come this far."""

    def clip_shows(self, label: str) -> None:
        """This label is certain for the clip that is being recorded. Nothing may keep or log it unsealed."""

    def source_lost(self, reason: str) -> None:
        """There is nothing to see; `reason` is a sentence. Said again while it lasts."""

    def source_is_back(self) -> None:
        """There is something to see again."""

    def sound_missing(self, reason: str) -> None:
        """There is nothing to hear; `reason` is a sentence, or empty when there is sound again."""


Explain = Callable[[LumaFrame, Motion, MotionDetector], None]
"""Shown every frame, its verdict, and the detector that has just given it."""


class Recorder:
    """Records one source. `owners` gives the owner set in force and its hash; `random` gives random bytes.

    `patience`: chance between 0 and 1. With it, recording outlives a disk that takes nothing (agent/clipper.py).
    `reported`: how many of the newest clips and gaps the report has, about a kilobyte each.
    """

    def __init__(
        self,
        store: ClipStore,
        keeper: Keeper,
        settings: RecorderSettings,
        owners: Callable[[], tuple[OwnerSet, bytes]],
        random: Callable[[int], bytes],
        watcher: Watcher,
        explain: Explain | None = None,
        sight: Sight | None = None,
        patience: Callable[[], float] | None = None,
        reported: int = _REPORT_LIMIT,
    ) -> None:
        cv2.setNumThreads(1)  # pictures this small gain nothing from a thread a core
        self._settings = settings
        self._watcher = watcher
        self._explain = explain
        self._segmenter = Segmenter(settings.rules)
        self._detector: MotionDetector | None = None
        self._fragmenter = Fragmenter()
        self._key_ns: int | None = None  # when the last run began that decoding can begin with
        self._away = False
        self._moment_ns = 0  # of the newest frame, or of what followed it
        self._rang = False  # set by another thread
        self._owners_changed = False  # by another thread, too
        self._passed_ns = 0  # time that passed while there was nothing to see
        self._report = RecorderReport(limit=reported)
        self._onlooker = Onlooker(sight)
        self._clipper = Clipper(
            store, keeper, settings.rules.pre_roll_ns, owners, random, watcher, self._report.add_clip, self._onlooker,
            patience,
        )  # fmt: skip

    def record(
        self, source: Iterable[SourceItem], base: Callable[[], TimeBase], stopped: Callable[[], bool]
    ) -> RecorderReport:
        """Record until the source ends or `stopped()`; every clip is closed on return. `base` is asked for each clip.

        Without patience Unavailable when the disk fails or is full of held clips; what was durable before stays, closed
        as `cut` at the next start.
        """
        self._clipper.base = base
        try:
            for item in source:
                self._take(item)
                if self._rang:
                    self._ring()
                if self._owners_changed:
                    self._owners_changed = False
                    self._clipper.owners_changed()
                if stopped():
                    break
            self._finish()
        except OSError as e:
            raise Unavailable(f"recording stopped, the disk refused to write: {e.strerror or e}") from e
        finally:
            self._clipper.abandon()
        return self._report

    def press(self) -> None:
        """The doorbell's button was pressed. From any thread; what follows happens with the source's next item."""
        self._rang = True

    def owners_changed(self) -> None:
        """Another owner set may be in force: whoever was taken out shall not open what comes now. From any thread."""
        self._owners_changed = True

    def _ring(self) -> None:
        """A ring is worth a clip though nothing moved; where there is nothing to see it is only told."""
        self._rang = False
        if self._detector is not None and not self._away:
            for event in self._segmenter.press(self._moment_ns):
                self._apply(event)
            self._onlooker.note(RING)
        self._watcher.clip_shows(RING)

    def _take(self, item: SourceItem) -> None:
        if isinstance(item, EncodedPacket):
            self._report.packets += 1
            if self._away:
                self._away = False
                self._watcher.source_is_back()
            self._report.end_ns = max(self._report.end_ns, item.pts_ns + item.duration_ns)
            self._take_runs(self._fragmenter.push(item))
        elif isinstance(item, LumaFrame):
            self._observe(item)
        elif isinstance(item, VideoFormat):
            self._change_format(item)
        elif isinstance(item, SoundFormat | SoundPacket):
            self._clipper.hear(item)
        elif isinstance(item, Away):
            self._wait_out(item)
        elif isinstance(item, Mute):
            self._watcher.sound_missing(item.reason)
        else:
            self._take_runs(self._fragmenter.flush())
            self._add_gap(item)
            if item.end_ns - item.start_ns >= _LONG_GAP_NS:
                self._pass_time(item.end_ns)

    def _finish(self) -> None:
        self._take_runs(self._fragmenter.flush())
        end_ns = max(
            self._report.end_ns, self._moment_ns
        )  # stopped while the camera is away: time has gone on without it
        for event in self._segmenter.finish(end_ns) if self._detector else []:
            self._apply(event)
        self._clipper.finish()

    def _wait_out(self, away: Away) -> None:
        """Time goes on: an open clip ends, and a disk may come back."""
        self._away = True
        self._take_runs(self._fragmenter.flush())
        self._pass_time(away.time_ns)
        self._clipper.look_at_disk(away.time_ns)
        self._watcher.source_lost(away.reason)

    def _pass_time(self, to_ns: int) -> None:
        """There was nothing to see: an open clip ends by the same rules as if nothing had moved."""
        # A camera's pictures may be timed a little ahead of the clock that tells it is away.
        self._passed_ns = max(self._passed_ns, self._moment_ns, to_ns)
        self._moment_ns = self._passed_ns
        for event in self._segmenter.pass_time(self._passed_ns) if self._detector else []:
            self._apply(event)

    def _observe(self, frame: LumaFrame) -> None:
        if frame.time_ns < self._passed_ns:
            return  # taken before the source was lost, delivered after
        height, width = frame.pixels.shape
        # Where pictures are reordered, the last of another size are decoded after the new format was told.
        if self._detector is None or self._detector.shape != (height, width):
            self._detector = MotionDetector((height, width), self._settings.motion)
        self._moment_ns = frame.time_ns
        motion = self._detector.observe(frame)
        if self._explain is not None:
            self._explain(frame, motion, self._detector)
        events = self._segmenter.observe(
            frame.time_ns, motion.moving, since_ns=motion.since_ns, lingering=motion.lingering
        )
        if motion.moving:
            self._clipper.moved(frame.time_ns)
        for event in events:
            self._apply(event)
        for label in self._onlooker.observe(frame, motion):
            self._watcher.clip_shows(label)
        self._watcher.moment(frame.time_ns)

    def _change_format(self, new: VideoFormat) -> None:
        if self._clipper.format is not None:
            self._take_runs(self._fragmenter.flush())
            self._key_ns = None
            self._detector = None  # the picture may have another size
        self._clipper.change_format(new)

    def _add_gap(self, gap: Gap) -> None:
        self._report.add_gap(gap)
        log.warning("no video from %.1f s to %.1f s: %s", gap.start_ns / 1e9, gap.end_ns / 1e9, gap.reason)
        self._clipper.note_gap(gap)

    def _apply(self, event: Opened | Closed) -> None:
        if isinstance(event, Opened):
            self._clipper.open(event.start_ns, event.motion_start_ns)
        elif event.continues:
            self._clipper.roll(event.motion_end_ns)
        else:
            self._clipper.stop_rolling()
            self._take_runs(self._fragmenter.settle())
            self._clipper.close(event.motion_end_ns)

    def _take_runs(self, runs: list[Run]) -> None:
        for run in runs:
            if self._usable(run):
                self._clipper.push(run)

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
            self._clipper.note_gap(self._report.gaps[-1])
        else:
            self._add_gap(Gap(run.start_ns, end_ns, _NO_KEY_FRAME))
        return False
