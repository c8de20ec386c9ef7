"""Turns motion, observed frame by frame, into the spans worth a clip: when to open one, go on, and close it.

It owns the life of a clip in time (pre-roll, pauses inside a visit, post-roll, the greatest length) as one transition
table. It never looks at a picture, holds a packet, or reads a clock: every time it knows came in as an argument, on the
source's clock (agent/core/frame.py). Reasons for its figures: docs/design/motion.md, "From motion to clips".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from agent.core.errors import BadInput

_SECOND_NS = 1_000_000_000


class State(Enum):
    """Where a clip is in its life. Two people at once are one clip: a camera has one film."""

    QUIET = auto()  # nothing is recorded
    MOVING = auto()  # something moved at the last observation
    PAUSED = auto()  # it stopped a moment ago; the visit is not over
    CLOSING = auto()  # the visit is over; its post-roll is being recorded
    ENDED = auto()  # the source has ended


class Event(Enum):
    """What can happen to a clip."""

    MOTION = auto()
    PRESS = auto()  # of the doorbell's button
    STILL = auto()  # an observation without motion
    VISIT_OVER = auto()  # still for longer than a pause
    ROLLED_OUT = auto()  # the post-roll is complete
    FULL = auto()  # as long as a clip may get
    SOURCE_ENDED = auto()


# The whole truth about what may follow what; a pair that is not here is a mistake in the caller or in this file.
TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.QUIET, Event.MOTION): State.MOVING,
    (State.QUIET, Event.PRESS): State.MOVING,
    (State.QUIET, Event.STILL): State.QUIET,
    (State.QUIET, Event.SOURCE_ENDED): State.ENDED,
    (State.MOVING, Event.MOTION): State.MOVING,
    (State.MOVING, Event.PRESS): State.MOVING,
    (State.MOVING, Event.STILL): State.PAUSED,
    (State.MOVING, Event.FULL): State.MOVING,
    (State.MOVING, Event.SOURCE_ENDED): State.ENDED,
    (State.PAUSED, Event.MOTION): State.MOVING,
    (State.PAUSED, Event.PRESS): State.MOVING,
    (State.PAUSED, Event.STILL): State.PAUSED,
    (State.PAUSED, Event.VISIT_OVER): State.CLOSING,
    (State.PAUSED, Event.FULL): State.PAUSED,
    (State.PAUSED, Event.SOURCE_ENDED): State.ENDED,
    (State.CLOSING, Event.MOTION): State.MOVING,  # the next visitor: a clip of its own
    (State.CLOSING, Event.PRESS): State.MOVING,  # whoever rings belongs to the visit that is on film
    (State.CLOSING, Event.STILL): State.CLOSING,
    (State.CLOSING, Event.ROLLED_OUT): State.QUIET,
    (State.CLOSING, Event.FULL): State.CLOSING,
    (State.CLOSING, Event.SOURCE_ENDED): State.ENDED,
}


@dataclass(frozen=True, slots=True)
class SegmenterRules:
    """How long things take. Raises BadInput where the figures contradict each other.

    `pause_ns`: a visit is over after this long without motion in an empty scene; `linger_ns`: the same while whoever
    moved is still there, standing, and after a ring; a clip then lasts at least that long. `min_clip_ns`: a clip
    shorter than this is not ended by the next visit but carries it too. `max_clip_ns` stays below the 5 minutes of
    docs/spec/sealed-clip.md, because a clip begins at the key frame before its start, and that may lie many seconds
    back in a stream with few of them.
    """

    pre_roll_ns: int = 5 * _SECOND_NS
    post_roll_ns: int = 5 * _SECOND_NS
    pause_ns: int = 2_500_000_000
    linger_ns: int = 8 * _SECOND_NS
    min_clip_ns: int = 3 * _SECOND_NS
    max_clip_ns: int = 270 * _SECOND_NS

    def __post_init__(self) -> None:
        if self.pre_roll_ns < 0 or self.post_roll_ns < 0 or self.min_clip_ns < 0:
            raise BadInput("A clip's pre-roll, post-roll and least length cannot be negative; use 0 for none.")
        if not 0 < self.pause_ns <= self.linger_ns:
            raise BadInput(
                "A visit's pause must be longer than nothing and no longer than its lingering; mend the rules."
            )
        if self.max_clip_ns < self.min_clip_ns or self.max_clip_ns <= self.pre_roll_ns:
            raise BadInput("A clip's greatest length must exceed its pre-roll and its least length; make it longer.")


@dataclass(frozen=True, slots=True)
class Opened:
    """A clip begins at `start_ns` (past: the pre-roll); what set it off moved first at `motion_start_ns`."""

    start_ns: int
    motion_start_ns: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The open clip holds every frame before `end_ns` and none from there on; motion was last seen at `motion_end_ns`.

    `end_ns` lies at or before the time of the call that returned this. `continues`: the clip was full and the next one,
    opened in the same breath, starts at exactly `end_ns`.
    """

    end_ns: int
    motion_end_ns: int
    continues: bool


@dataclass(slots=True)
class _Clip:
    start_ns: int
    motion_end_ns: int
    lingered_ns: int  # last time somebody was known to be there, moving or standing


class Segmenter:
    """One source's motion in order of time → clips that never overlap. One instance a source; not thread-safe."""

    def __init__(self, rules: SegmenterRules | None = None) -> None:
        self._rules = rules or SegmenterRules()
        self._state = State.QUIET
        self._now_ns: int | None = None
        self._floor_ns = 0  # no clip starts before: the source's first frame, or the last clip's end
        self._clip: _Clip | None = None
        self._lingering = False
        self._rang_ns: int | None = None

    @property
    def state(self) -> State:
        return self._state

    def observe(
        self, time_ns: int, moving: bool, *, since_ns: int | None = None, lingering: bool = False
    ) -> list[Opened | Closed]:
        """One frame's verdict. What changes because of it, in order; mostly nothing.

        `since_ns`: where motion was confirmed only now but began earlier, when it began. `lingering`: nothing moves,
        but what moved still stands there. Raises ValueError if time runs backwards or the source has ended.
        """
        self._tick(time_ns)
        began_ns = time_ns if since_ns is None else max(self._floor_ns, min(since_ns, time_ns))
        out = self._advance(began_ns if moving else time_ns)
        if not moving:
            self._lingering = lingering
            self._move(Event.STILL)
            if self._clip is not None and lingering:
                self._clip.lingered_ns = time_ns
            return out + self._advance(time_ns)
        out += self._motion(Event.MOTION, began_ns, time_ns)
        self._lingering = False
        return out + self._advance(time_ns)

    def pass_time(self, time_ns: int) -> list[Opened | Closed]:
        """Nothing can be observed up to `time_ns`: what time alone brings to an open clip."""
        self._tick(time_ns)
        return self._advance(time_ns)

    def press(self, time_ns: int) -> list[Opened | Closed]:
        """The doorbell's button was pressed: worth a clip though nothing moved, and part of one that is open."""
        self._tick(time_ns)
        out = self._advance(time_ns)
        self._rang_ns = time_ns
        return out + self._motion(Event.PRESS, time_ns, time_ns)

    def finish(self, time_ns: int) -> list[Opened | Closed]:
        """The source has ended at `time_ns`, the end of its last picture; an open clip closes there at the latest."""
        self._tick(time_ns)
        out = self._advance(time_ns)
        self._move(Event.SOURCE_ENDED)
        if self._clip is not None:
            out.append(self._close(time_ns, continues=False))
        return out

    def _tick(self, time_ns: int) -> None:
        if self._state is State.ENDED:
            raise ValueError("the source has ended; a new source needs a new Segmenter")
        if self._now_ns is None:
            self._floor_ns = time_ns
        elif time_ns < self._now_ns:
            raise ValueError(f"time ran backwards: {time_ns} after {self._now_ns}")
        self._now_ns = time_ns

    def _move(self, event: Event) -> None:
        following = TRANSITIONS.get((self._state, event))
        if following is None:
            raise ValueError(f"{event.name} cannot happen in {self._state.name}")
        self._state = following

    def _motion(self, event: Event, began_ns: int, time_ns: int) -> list[Opened | Closed]:
        out: list[Opened | Closed] = []
        clip = self._clip
        if (
            clip is not None
            and self._state is State.CLOSING
            and event is Event.MOTION
            and began_ns >= max(self._visit_over_ns(clip), clip.start_ns + self._rules.min_clip_ns)
        ):
            out.append(self._close(began_ns, continues=False))
            clip = None
        self._move(event)
        if clip is None:
            clip = _Clip(max(began_ns - self._rules.pre_roll_ns, self._floor_ns), time_ns, time_ns)
            self._clip = clip
            out.append(Opened(clip.start_ns, began_ns))
        clip.motion_end_ns = clip.lingered_ns = time_ns
        return out

    def _advance(self, time_ns: int) -> list[Opened | Closed]:
        """Let time pass up to `time_ns` with nothing moving: the events that time itself brings, each at its moment."""
        out: list[Opened | Closed] = []
        while (clip := self._clip) is not None:
            event, due_ns = self._due(clip)
            if due_ns > time_ns:
                break
            if event is Event.VISIT_OVER and self._state is State.MOVING:
                self._move(Event.STILL)
            self._move(event)
            if event is Event.ROLLED_OUT:
                out.append(self._close(due_ns, continues=False))
            elif event is Event.FULL:
                out.append(self._close(due_ns, continues=True))
                out.append(Opened(due_ns, due_ns))
                self._clip = _Clip(due_ns, clip.motion_end_ns, clip.lingered_ns)
        return out

    def _due(self, clip: _Clip) -> tuple[Event, int]:
        """What time alone will bring next to an open clip, and when."""
        full_ns = clip.start_ns + self._rules.max_clip_ns
        over_ns = self._visit_over_ns(clip)
        if self._state is State.CLOSING:
            event, due_ns = Event.ROLLED_OUT, max(clip.motion_end_ns + self._rules.post_roll_ns, over_ns)
        else:
            event, due_ns = Event.VISIT_OVER, over_ns
        return (event, due_ns) if due_ns <= full_ns else (Event.FULL, full_ns)

    def _visit_over_ns(self, clip: _Clip) -> int:
        wait_ns = self._rules.linger_ns if self._lingering else self._rules.pause_ns
        over_ns = clip.motion_end_ns + wait_ns
        if clip.lingered_ns > over_ns:  # whoever stood there has left since
            over_ns = min(clip.lingered_ns, clip.motion_end_ns + self._rules.linger_ns)
        if self._rang_ns is not None:
            over_ns = max(over_ns, self._rang_ns + self._rules.linger_ns)
        return over_ns

    def _close(self, end_ns: int, *, continues: bool) -> Closed:
        assert self._clip is not None
        closed = Closed(end_ns, max(self._clip.start_ns, min(self._clip.motion_end_ns, end_ns)), continues)
        self._floor_ns = end_ns
        self._clip = None
        return closed
