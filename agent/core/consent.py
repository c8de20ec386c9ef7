"""Consent as one table of states and events. An event the table does not have for a state raises and changes nothing.

Source: docs/spec/decision.md "Consent".
"""

from __future__ import annotations

from enum import Enum

from agent.core.errors import Refused


class State(Enum):
    """Where a request stands."""

    ASKED = "asked"
    AGREED = "agreed"  # yes, and the undo window is running
    HELD = "held"  # yes, but the owner stopped the clock to think
    SENDING = "sending"
    DECLINED = "declined"
    EXPIRED = "expired"
    STOPPED = "stopped"
    DELIVERED = "delivered"
    LAPSED = "lapsed"  # agreed, but never fetched in time
    WITHDRAWN = "withdrawn"  # the requester took it back, or asks anew in its place


class Event(Enum):
    """What can happen to it."""

    SHARE = "share"
    DECLINE = "decline"
    UNDO = "undo"
    HOLD = "hold"
    RESUME = "resume"
    UNDO_OVER = "undo over"
    STOP = "stop"
    RECEIPT = "receipt"
    EXPIRE = "expire"
    WITHDRAW = "withdraw"


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.ASKED: {
        Event.SHARE: State.AGREED,
        Event.DECLINE: State.DECLINED,
        Event.EXPIRE: State.EXPIRED,
        Event.WITHDRAW: State.WITHDRAWN,
    },
    State.AGREED: {
        Event.UNDO: State.ASKED,
        Event.HOLD: State.HELD,
        Event.UNDO_OVER: State.SENDING,
        Event.STOP: State.STOPPED,
        Event.EXPIRE: State.LAPSED,
        Event.WITHDRAW: State.WITHDRAWN,
    },
    State.HELD: {
        Event.UNDO: State.ASKED,
        Event.RESUME: State.AGREED,
        Event.STOP: State.STOPPED,
        Event.EXPIRE: State.EXPIRED,
        Event.WITHDRAW: State.WITHDRAWN,
    },
    State.SENDING: {
        Event.STOP: State.STOPPED,
        Event.RECEIPT: State.DELIVERED,
        Event.EXPIRE: State.LAPSED,
        Event.WITHDRAW: State.WITHDRAWN,
    },
    State.DECLINED: {},
    State.EXPIRED: {},
    State.STOPPED: {},
    State.DELIVERED: {},
    State.LAPSED: {},
    State.WITHDRAWN: {},
}

NEEDS_CLIPS = frozenset({State.ASKED, State.AGREED, State.HELD, State.SENDING})
"""States in which the request's clips are held in the ring."""


DRAW_BYTES = 4


def window_ns(undo_ns: int, draw: bytes) -> int:
    """How long a yes waits: the undo window and up to half of it more, as the random `draw` (4 bytes) says.

    The owner can take the yes back during all of it. Whoever watches the broker cannot count back from the first
    byte to the moment somebody at home pressed Share. A window of 0 has no delay. Source: docs/spec/decision.md.
    """
    return undo_ns + (undo_ns // 2 * int.from_bytes(draw, "big") >> 8 * DRAW_BYTES)


def after(state: State, event: Event) -> State:
    """The state that follows; Refused("not-asked") if `event` cannot happen in `state`."""
    try:
        return TRANSITIONS[state][event]
    except KeyError as e:
        raise Refused("not-asked", f"this request is {state.value}; '{event.value}' is not possible any more") from e
