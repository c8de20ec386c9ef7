"""Runs in, clips out: the part of the recorder that writes, told by `recorder` when a clip is wanted.

Keeps the last seconds of video in memory as pre-roll, begins a clip at a key frame, seals and writes each run, goes on
in a next clip at a clip's limits, and closes it with what its manifest says. While the disk takes nothing (`patient`),
memory goes on, and what a clip was wanted of is written when the disk is back, as far as memory reached. It decides
nothing about motion and owns no clock: a TimeBase says what the source's times mean, and runs bring the time.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from agent.clip_sound import ClipSound
from agent.core.backoff import Backoff
from agent.core.encoding import b64u
from agent.core.errors import Unavailable
from agent.core.fmp4 import Origin, Run, init_segment, render_fragment
from agent.core.frame import Gap, SoundFormat, SoundPacket, Track, VideoFormat
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
_KEPT_IN_OUTAGE_NS = 60_000_000_000
_GAPS_LIMIT = 500  # a manifest with more might be larger than one may be
_FIRST_PROBE_S = 1.0
_LONGEST_WAIT_S = 60.0


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

    def disk_failed(self, reason: str) -> None:
        """Recording pauses, because the disk takes nothing; `reason` is a sentence."""

    def disk_is_back(self, reason: str, paused_ns: int, lost_ns: int) -> None:
        """Recording goes on after `reason`; `lost_ns` of what a clip was wanted of could not be kept."""


@dataclass(slots=True)
class _Current:
    clip: OpenClip
    owners: bytes  # hash of the set it is sealed to
    origin: Origin
    motion_start_ns: int
    motion_end_ns: int
    records: int = 1
    end_ns: int = 0


@dataclass(slots=True)
class _Wanted:
    """What belongs into a clip and is in none yet. `ended_ns` None: the clip is still wanted."""

    start_ns: int
    motion_start_ns: int
    motion_end_ns: int
    ended_ns: int | None = None


@dataclass(slots=True)
class _Outage:
    reason: str
    since_ns: int
    probe_ns: int  # when to try the disk again
    lost_ns: int = 0  # of what was wanted, what can be written no more


class Clipper:
    """Writes one source's clips, one at a time.

    Where the disk does not take them: with `patience` (chance between 0 and 1, for the waits) it pauses and goes on by
    itself; without, OSError and Unavailable pass through.
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
        patience: Callable[[], float] | None = None,
    ) -> None:
        self._store = store
        self._pre_roll_ns = pre_roll_ns
        self._keeper = keeper
        self._owners = owners
        self._random = random
        self._watcher = watcher
        self._finished = finished
        self._onlooker = onlooker
        self._patience = patience
        self._backoff = Backoff(_FIRST_PROBE_S, _LONGEST_WAIT_S)
        self._outage: _Outage | None = None
        self._wanted: _Wanted | None = None
        self._left: list[OpenClip] = []  # what an outage cut off
        self._boot = b64u(random(16))
        self._format: VideoFormat | None = None
        self._runs: deque[Run] = deque()
        self._gaps: deque[Gap] = deque()  # between the runs in memory, and in the clip in hand
        self._current: _Current | None = None
        self._roll_motion_ns: int | None = None  # set while a full clip waits for the key frame the next begins at
        self._end_ns = 0
        self._written_ns = 0  # where the last closed clip ends
        self.sound = ClipSound(self._make_room)
        self.base: Callable[[], TimeBase] | None = None

    @property
    def format(self) -> VideoFormat | None:
        """How the runs are to be decoded; None before the source has said it."""
        return self._format

    def open(self, start_ns: int, motion_start_ns: int) -> None:
        """A clip is wanted from `start_ns` (past) on; nothing if there is one already."""
        if self._outage is not None:
            self._want(start_ns, motion_start_ns)
        elif self._roll_motion_ns is None and self._current is None:
            # What the clip before it holds already is told twice only where something moves in it.
            start_ns = max(start_ns, min(self._written_ns, motion_start_ns))
            with self._outliving():
                self._begin(self._first_run(start_ns), motion_start_ns)

    def roll(self, motion_ns: int) -> None:
        """Go on in a next clip from the next key frame on."""
        if self._wanted is None:
            self._roll_motion_ns = motion_ns

    def owners_changed(self) -> None:
        """A clip in hand that is sealed to others than the owner set says now goes on in a next one, as when full."""
        with self._outliving():
            if self._current is not None and self._current.owners != self._owners()[1]:
                self._roll_motion_ns = self._current.motion_end_ns

    def stop_rolling(self) -> None:
        """No next clip is wanted at the next key frame."""
        self._roll_motion_ns = None

    def close(self, motion_end_ns: int) -> None:
        """The clip is whole; nothing if there is none."""
        if self._current is not None:
            self._current.motion_end_ns = max(self._current.motion_start_ns, motion_end_ns)
        elif self._wanted is not None and self._wanted.ended_ns is None:
            self._wanted.ended_ns = self._end_ns
        self.end()
        self._roll_motion_ns = None  # what came in last may have filled the clip

    def moved(self, time_ns: int) -> None:
        """Something still moves."""
        if self._current is not None:
            self._current.motion_end_ns = time_ns
        elif self._wanted is not None:
            self._wanted.motion_end_ns = time_ns

    def note_gap(self, gap: Gap) -> None:
        """What the source has no video for belongs into the manifest, also of a clip that begins before it and is
        wanted only later. One told again is longer than it was; of too many the last two become one."""
        last = self._gaps[-1] if self._gaps else None
        if last is not None and (last.start_ns == gap.start_ns or len(self._gaps) >= _GAPS_LIMIT):
            gap = Gap(last.start_ns, max(last.end_ns, gap.end_ns), last.reason)
            self._gaps.pop()
        self._gaps.append(gap)

    def change_format(self, new: VideoFormat) -> None:
        """Other parameter sets need another init segment: the clip ends here and goes on in a next one."""
        if self._format is not None:
            if self._current is not None:
                self._roll_motion_ns = self._end_ns
                self.end()
            elif self._wanted is not None and self._wanted.ended_ns is None:
                self._roll_motion_ns = self._end_ns
            if self._wanted is not None and self._outage is not None:
                ended_ns = self._end_ns if self._wanted.ended_ns is None else self._wanted.ended_ns
                self._outage.lost_ns += max(0, ended_ns - self._wanted.start_ns)
            self._runs.clear()
            self._wanted = None
        self._format = new

    def push(self, run: Run) -> None:
        """The next run: into memory, and into the clip if there is one."""
        self._end_ns = max(self._end_ns, run.start_ns + run.duration_ns)
        self._runs.append(run)
        if self._outage is None:
            with self._outliving():
                self._take(run)
        else:
            if self._roll_motion_ns is not None and run.key:
                motion_ns, self._roll_motion_ns = self._roll_motion_ns, None
                self._want(run.start_ns, motion_ns)
            self.look_at_disk(self._end_ns)
        self._forget_old(run)

    def hear(self, item: SoundFormat | SoundPacket) -> None:
        """Sound: into memory, and into the clip if there is one."""
        with self._outliving():
            self.sound.take(item)

    def look_at_disk(self, now_ns: int) -> None:
        """Where the disk took nothing: is it time to try again, and does it take something now?"""
        outage = self._outage
        if outage is None or now_ns < outage.probe_ns:
            return
        outage.probe_ns = now_ns  # the next wait begins now, also where the camera is away and no run tells the time
        with self._outliving():
            self._store.probe()
            while self._left:
                self._left[-1].cut_back()
                self._left.pop()  # once only: what recovery appends must stay
            self._store.recover()
            lost_ns = outage.lost_ns + self._catch_up()
            self._outage = None
            self._watcher.disk_is_back(outage.reason, max(0, now_ns - outage.since_ns), lost_ns)

    def finish(self) -> None:
        """The source has ended: what waits for the disk is written now or never."""
        if self._outage is not None:
            self._outage.probe_ns = self._end_ns
            self.look_at_disk(self._end_ns)
        self.end()

    def end(self) -> None:
        """Close record and manifest for the clip in hand; nothing if there is none."""
        with self._outliving():
            self._end()

    def abandon(self) -> None:
        """Let go of a clip that cannot be closed; recovery closes it as `cut`."""
        current, self._current = self._current, None
        if current is not None:
            self.sound.drop()
            current.clip.abandon()

    # -- a disk that takes nothing

    @contextmanager
    def _outliving(self) -> Iterator[None]:
        """What is written inside may fail: then nothing more is written until the disk takes something again."""
        try:
            yield
        except (OSError, Unavailable) as e:
            if self._patience is None:
                raise
            self._pause(_said(e))

    def _pause(self, reason: str) -> None:
        current, outage = self._current, self._outage
        if current is not None:
            unsaved_ns = current.origin.pts_ns + current.end_ns
            motion_start_ns = max(current.motion_start_ns, unsaved_ns)
            motion_end_ns = max(motion_start_ns, current.motion_end_ns)
            ended_ns = None if self._wanted is None else self._wanted.ended_ns
            self._wanted = _Wanted(unsaved_ns, motion_start_ns, motion_end_ns, ended_ns)
            self._roll_motion_ns = None
            self._left.append(current.clip)
            self.abandon()
            self._onlooker.conclude()  # what it saw went with the clip
        since_ns = self._end_ns if outage is None else outage.since_ns
        tried_ns = self._end_ns if outage is None else outage.probe_ns
        lost_ns = 0 if outage is None else outage.lost_ns
        self._outage = _Outage(reason, since_ns, tried_ns + self._wait_ns(), lost_ns)
        if outage is None:
            self._watcher.disk_failed(reason)

    def _wait_ns(self) -> int:
        assert self._patience is not None, "only the patient wait"
        return round(self._backoff.next_s(self._patience()) * 1e9)

    def _want(self, start_ns: int, motion_ns: int) -> None:
        """During an outage: a clip from there on, or more of the one that is wanted already."""
        if self._wanted is None:
            self._wanted = _Wanted(start_ns, motion_ns, motion_ns)
        self._wanted.ended_ns = None

    def _catch_up(self) -> int:
        """Write what was wanted meanwhile, as far as it is in memory; the ns that are not."""
        wanted = self._wanted
        if wanted is None:
            return 0
        first, ended = self._first_run(wanted.start_ns), wanted.ended_ns
        if first >= len(self._runs) or (ended is not None and self._runs[first].start_ns >= ended):
            self._wanted = None  # memory does not reach back to it
            self._roll_motion_ns = wanted.motion_start_ns if ended is None else None
            return max(0, (self._end_ns if ended is None else ended) - wanted.start_ns)
        lost_ns = max(0, self._runs[first].start_ns - wanted.start_ns)
        self._begin(first, wanted.motion_start_ns, wanted)
        return lost_ns

    # -- writing

    def _take(self, run: Run) -> None:
        if self._roll_motion_ns is not None and run.key:
            motion_ns = max(self._roll_motion_ns, run.start_ns)
            self._wanted, self._roll_motion_ns = _Wanted(run.start_ns, motion_ns, motion_ns), None
            self._end()
            self._begin(len(self._runs) - 1, motion_ns)
        elif self._current is not None:
            self._write(self._current, run)
            self._check_limits(self._current)
        elif self._roll_motion_ns is not None:
            motion_ns, self._roll_motion_ns = self._roll_motion_ns, None
            self._begin(self._first_run(run.start_ns), motion_ns)

    def _end(self) -> None:
        current = self._current
        if current is None:
            return
        zero = current.origin.pts_ns
        motion_end_ns = max(current.motion_start_ns, current.motion_end_ns)
        end_ns = zero + current.end_ns
        gaps = [
            (gap.start_ns - zero, gap.end_ns - zero, gap.reason)
            for gap in self._gaps
            if gap.end_ns > zero and gap.start_ns <= end_ns
        ]
        witnessed = self._onlooker.conclude()
        try:
            self.sound.end(end_ns)
            if witnessed.poster is not None and witnessed.poster_ns >= zero:
                current.clip.add_poster(witnessed.poster, witnessed.poster_ns - zero)
            current.clip.close([(current.motion_start_ns - zero, motion_end_ns - zero)], gaps, witnessed.labels)
        except (OSError, Unavailable):
            self._left.append(current.clip)
            self.abandon()
            raise
        self._current = None
        self._written_ns = end_ns
        self._backoff.reset()
        row = current.clip.row
        self._finished(
            RecordedClip(zero, zero + row.end_ns - row.start_ns, current.motion_start_ns, motion_end_ns, row)
        )
        self._watcher.clip_ended(row)

    def _begin(self, first: int, motion_start_ns: int, wanted: _Wanted | None = None) -> None:
        """A clip from the run `first` of memory on; one that is `wanted` no longer is closed at once."""
        if first >= len(self._runs) or self._format is None or self.base is None:
            self._roll_motion_ns = motion_start_ns  # nothing can be decoded yet: begin at the next key frame
            return
        runs = list(self._runs)[first:]
        wanted = self._wanted = wanted or _Wanted(runs[0].start_ns, motion_start_ns, motion_start_ns)
        if wanted.ended_ns is not None:
            runs = [run for run in runs if run.start_ns < wanted.ended_ns]
        self._make_room(sum(run.size for run in runs))
        origin = runs[0].origin
        owners, owners_hash = self._owners()
        base = self.base()
        start = ClipStart(
            start_ns=base.utc(origin.pts_ns),
            trust=base.trust,
            boot=base.boot or self._boot,
            boot_us=max(0, origin.pts_ns // 1000),
            clip_id=self._random(16),
            clip_key=self._random(32),
        )
        clip = self._store.begin(start, owners, owners_hash)
        self._current = _Current(clip, owners_hash, origin, max(motion_start_ns, origin.pts_ns), wanted.motion_end_ns)
        clip.add_init(Track.VIDEO, init_segment(self._format))
        self.sound.begin(clip, origin.pts_ns)
        for n, run in enumerate(runs):
            if run.key and _is_full(clip):
                self._watcher.clip_began(clip.row)
                self._go_on_in_next(self._current, first + n, wanted)
                return
            self._write(self._current, run)
        self._wanted = None
        self._watcher.clip_began(clip.row)
        if wanted.ended_ns is not None:
            self._end()

    def _go_on_in_next(self, current: _Current, first: int, wanted: _Wanted) -> None:
        """Memory holds more records than a clip may have: the rest, from the run `first` on, is the next clip's."""
        start_ns = self._runs[first].start_ns
        self._wanted = replace(wanted, start_ns=start_ns)
        current.motion_start_ns = min(current.motion_start_ns, start_ns)
        current.motion_end_ns = min(current.motion_end_ns, start_ns)
        self._end()
        self._begin(first, wanted.motion_start_ns, self._wanted)

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
        long = current.end_ns >= CLIP_LIMIT_NS - 2 * self._pre_roll_ns
        if _is_full(current.clip) or long:
            self._roll_motion_ns = current.motion_end_ns
        if current.clip.row.records >= RECORDS_LIMIT - 2 or current.end_ns >= CLIP_LIMIT_NS:
            # No key frame came in time. Begin again at the last one: the stretch since is in both clips, none is lost.
            self._roll_motion_ns = None
            motion_ns, first = current.motion_end_ns, self._first_run(self._end_ns)
            self._wanted = _Wanted(self._runs[first].start_ns, motion_ns, motion_ns)
            self._end()
            self._begin(first, motion_ns)

    def _first_run(self, start_ns: int) -> int:
        """Where in memory a clip begins: the last key run at or before `start_ns`, else the first key run there is.

        Where all that hangs on that key run is over before `start_ns` (a gap follows): the next, or what is to come.
        """
        keys = [n for n, run in enumerate(self._runs) if run.key]
        before = [n for n in keys if self._runs[n].start_ns <= start_ns]
        after = keys[len(before)] if len(before) < len(keys) else len(self._runs)
        if not before:
            return after
        group = (self._runs[n] for n in range(before[-1], after))
        return after if max(run.start_ns + run.duration_ns for run in group) < start_ns else before[-1]

    def _forget_old(self, newest: Run) -> None:
        """Keep what the next clip's pre-roll may need: back to the key run at or before its earliest beginning."""
        end_ns = newest.start_ns + newest.duration_ns
        needed_ns = end_ns - self._pre_roll_ns - _LOOK_BACK_NS
        if self._wanted is not None:
            needed_ns = min(needed_ns, max(self._wanted.start_ns, end_ns - _KEPT_IN_OUTAGE_NS))
        keep = self._first_run(needed_ns)
        total = sum(run.size for run in self._runs)
        while self._runs and (keep > 0 or (total > _MEMORY_LIMIT_BYTES and self._current is None)):
            total -= self._runs.popleft().size
            keep -= 1
        if self._runs:
            oldest_ns = self._runs[0].start_ns
            self.sound.forget(oldest_ns)
            if self._current is not None:
                oldest_ns = min(oldest_ns, self._current.origin.pts_ns)
            while self._gaps and self._gaps[0].end_ns <= oldest_ns:
                self._gaps.popleft()

    def _make_room(self, size: int) -> None:
        recording = self._current.clip.bytes_written if self._current else 0
        evicted = self._keeper.make_room(recording, size, _CLOSE_RESERVE_BYTES)
        if evicted:
            self._watcher.clips_evicted(evicted)


def _is_full(clip: OpenClip) -> bool:
    """Whether the next key run belongs into another clip: this one has about as many records as a clip may have."""
    return clip.row.records >= RECORDS_LIMIT - _RECORDS_RESERVE


_SAID = {
    errno.ENOSPC: "the disk is full; make room on it, or lower ring.budget_mb",
    errno.EDQUOT: "the disk space Doorward may use is full; make room, or lower ring.budget_mb",
    errno.EROFS: "the disk can only be read, mostly a sign that it fails; check it, and replace it if need be",
    errno.EIO: "the disk fails to take what is written; replace the memory card soon",
    errno.ENOENT: "the disk is not there; put the memory card back, or mount it again",
}


def _said(error: OSError | Unavailable) -> str:
    """What the disk refused, as a sentence."""
    if not isinstance(error, OSError):
        return str(error)
    plain = _SAID.get(error.errno or 0, "the disk refused to write; check it")
    return f"{plain} ({error.strerror or error})"
