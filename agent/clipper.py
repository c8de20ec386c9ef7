"""Runs in, clips out: the part of the recorder that writes, told by `recorder` when a clip is wanted.

Keeps the last seconds of video in memory as pre-roll, begins a clip at a key frame, seals and writes each run, goes on
in a next clip at a clip's limits, and closes it with what its manifest says. It decides nothing about motion and owns
no clock: a TimeBase says what the source's times mean.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from agent.clip_sound import ClipSound
from agent.core.encoding import b64u
from agent.core.fmp4 import Origin, Run, init_segment, render_fragment
from agent.core.frame import Gap, Track, VideoFormat
from agent.core.identity import OwnerSet
from agent.core.sealing import CLIP_LIMIT_NS, RECORDS_LIMIT
from agent.core.timeline import TimeBase
from agent.onlooker import Onlooker
from agent.store.clips import ClipStart, ClipStore
from agent.store.index import ClipRow
from agent.store.keeping import Keeper
from agent.store.recording import Fragment, OpenClip

_LOOK_BACK_NS = 2_000_000_000  # motion may be confirmed a little after it began
_MEMORY_LIMIT_BYTES = 64 * 1024 * 1024
_RECORDS_RESERVE = 16
_CLOSE_RESERVE_BYTES = 1024 * 1024  # manifest, poster and close record still have to fit


@dataclass(slots=True)
class RecordedClip:
    """A finished clip in the source's own time (ns), and its row in the index."""

    start_ns: int
    end_ns: int
    motion_start_ns: int
    motion_end_ns: int
    row: ClipRow


class ClipWatcher(Protocol):
    """Told of what is durable, in the recorder's thread."""

    def clip_began(self, row: ClipRow) -> None:
        """The first records of a clip are durable."""

    def clip_ended(self, row: ClipRow) -> None:
        """A clip has its manifest."""

    def clips_evicted(self, rows: list[ClipRow]) -> None:
        """The oldest clips gave way."""


@dataclass(slots=True)
class _Current:
    clip: OpenClip
    origin: Origin
    motion_start_ns: int
    motion_end_ns: int
    records: int = 1
    end_ns: int = 0
    gaps: list[Gap] = field(default_factory=list)


class Clipper:
    """Writes one source's clips, one at a time. OSError passes through where the disk does not take it.

    `pre_roll_ns` is how far back memory reaches, `keeper` makes room in the ring; `owners` gives the owner set in
    force and its hash; `random` gives random bytes; `finished` hears of every clip that was closed; `onlooker` knows
    what each shows.
    """

    def __init__(
        self,
        store: ClipStore,
        keeper: Keeper,
        pre_roll_ns: int,
        owners: Callable[[], tuple[OwnerSet, bytes]],
        random: Callable[[int], bytes],
        watcher: ClipWatcher,
        finished: Callable[[RecordedClip], None],
        onlooker: Onlooker,
    ) -> None:
        self._store = store
        self._pre_roll_ns = pre_roll_ns
        self._keeper = keeper
        self._owners = owners
        self._random = random
        self._watcher = watcher
        self._finished = finished
        self._onlooker = onlooker
        self._boot = b64u(random(16))
        self._format: VideoFormat | None = None
        self._runs: deque[Run] = deque()
        self._current: _Current | None = None
        self._roll_motion_ns: int | None = None  # set while a full clip waits for the key frame the next begins at
        self._end_ns = 0
        self.sound = ClipSound(self._make_room)
        self.base: TimeBase | None = None

    @property
    def format(self) -> VideoFormat | None:
        """How the runs are to be decoded; None before the source has said it."""
        return self._format

    def open(self, start_ns: int, motion_start_ns: int) -> None:
        """A clip is wanted from `start_ns` (past) on; nothing if there is one already."""
        if self._roll_motion_ns is None and self._current is None:
            self._begin(self._first_run(start_ns), motion_start_ns)

    def roll(self, motion_ns: int) -> None:
        """Go on in a next clip from the next key frame on."""
        self._roll_motion_ns = motion_ns

    def stop_rolling(self) -> None:
        """No next clip is wanted at the next key frame."""
        self._roll_motion_ns = None

    def close(self, motion_end_ns: int) -> None:
        """The clip is whole; nothing if there is none."""
        if self._current is not None:
            self._current.motion_end_ns = max(self._current.motion_start_ns, motion_end_ns)
        self.end()

    def moved(self, time_ns: int) -> None:
        """Something still moves."""
        if self._current is not None:
            self._current.motion_end_ns = time_ns

    def note_gap(self, gap: Gap) -> None:
        """What the source has no video for belongs into the manifest."""
        if self._current is not None:
            self._current.gaps.append(gap)

    def change_format(self, new: VideoFormat) -> None:
        """Other parameter sets need another init segment: the clip ends here and goes on in a next one."""
        if self._format is not None:
            if self._current is not None:
                self._roll_motion_ns = self._end_ns
                self.end()
            self._runs.clear()
        self._format = new

    def push(self, run: Run) -> None:
        """The next run: into memory, and into the clip if there is one."""
        self._end_ns = max(self._end_ns, run.start_ns + run.duration_ns)
        self._runs.append(run)
        if self._roll_motion_ns is not None and run.key:
            motion_ns, self._roll_motion_ns = self._roll_motion_ns, None
            self.end()
            self._begin(len(self._runs) - 1, max(motion_ns, run.start_ns))
        elif self._current is not None:
            self._write(self._current, run)
            self._check_limits(self._current)
        self._forget_old(run)

    def end(self) -> None:
        """Close record and manifest for the clip in hand; nothing if there is none."""
        current = self._current
        if current is None:
            return
        zero = current.origin.pts_ns
        self.sound.end(zero + current.end_ns)
        self._current = None
        motion_end_ns = max(current.motion_start_ns, current.motion_end_ns)
        gaps = [(gap.start_ns - zero, gap.end_ns - zero, gap.reason) for gap in current.gaps]
        witnessed = self._onlooker.conclude()
        if witnessed.poster is not None:
            current.clip.add_poster(witnessed.poster, witnessed.poster_ns - zero)
        current.clip.close([(current.motion_start_ns - zero, motion_end_ns - zero)], gaps, witnessed.labels)
        row = current.clip.row
        self._finished(
            RecordedClip(zero, zero + row.end_ns - row.start_ns, current.motion_start_ns, motion_end_ns, row)
        )
        self._watcher.clip_ended(row)

    def abandon(self) -> None:
        """Let go of a clip that cannot be closed; recovery closes it as `cut`."""
        current, self._current = self._current, None
        if current is not None:
            current.clip.abandon()

    def _begin(self, first: int, motion_start_ns: int) -> None:
        if first >= len(self._runs) or self._format is None or self.base is None:
            self._roll_motion_ns = motion_start_ns  # nothing can be decoded yet: begin at the next key frame
            return
        runs = list(self._runs)[first:]
        self._make_room(sum(run.size for run in runs))
        origin = runs[0].origin
        owners, owners_hash = self._owners()
        start = ClipStart(
            start_ns=self.base.utc(origin.pts_ns),
            trust=self.base.trust,
            boot=self._boot,
            boot_us=max(0, origin.pts_ns // 1000),
            clip_id=self._random(16),
            clip_key=self._random(32),
        )
        clip = self._store.begin(start, owners, owners_hash)
        self._current = _Current(clip, origin, max(motion_start_ns, origin.pts_ns), motion_start_ns)
        clip.add_init(Track.VIDEO, init_segment(self._format))
        self.sound.begin(clip, origin.pts_ns)
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
        self.sound.cut(run.start_ns)

    def _check_limits(self, current: _Current) -> None:
        """A source of very short or very long groups of pictures may reach a clip's limits before its time is up."""
        records = current.clip.row.records
        full = records >= RECORDS_LIMIT - _RECORDS_RESERVE
        long = current.end_ns >= CLIP_LIMIT_NS - 2 * self._pre_roll_ns
        if full or long:
            self._roll_motion_ns = current.motion_end_ns
        if records >= RECORDS_LIMIT - 2 or current.end_ns >= CLIP_LIMIT_NS:
            # No key frame came in time. Begin again at the last one: the stretch since is in both clips, none is lost.
            self._roll_motion_ns = None
            motion_ns = current.motion_end_ns
            self.end()
            self._begin(self._first_run(self._end_ns), motion_ns)

    def _first_run(self, start_ns: int) -> int:
        """Where in memory a clip begins: the last key run at or before `start_ns`, else the first key run there is."""
        keys = [n for n, run in enumerate(self._runs) if run.key]
        before = [n for n in keys if self._runs[n].start_ns <= start_ns]
        return before[-1] if before else keys[0] if keys else len(self._runs)

    def _forget_old(self, newest: Run) -> None:
        """Keep what the next clip's pre-roll may need: back to the key run at or before its earliest beginning."""
        keep = self._first_run(newest.start_ns + newest.duration_ns - self._pre_roll_ns - _LOOK_BACK_NS)
        total = sum(run.size for run in self._runs)
        while self._runs and (keep > 0 or (total > _MEMORY_LIMIT_BYTES and self._current is None)):
            total -= self._runs.popleft().size
            keep -= 1
        if self._runs:
            self.sound.forget(self._runs[0].start_ns)

    def _make_room(self, size: int) -> None:
        recording = self._current.clip.row.bytes if self._current else 0
        evicted = self._keeper.make_room(recording, size + _CLOSE_RESERVE_BYTES)
        if evicted:
            self._watcher.clips_evicted(evicted)
