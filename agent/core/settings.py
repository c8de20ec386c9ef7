"""What the owner has set about requests: who is blocked, a pause, what is declined unseen, quiet hours.

Owns the rules and what they mean for one request; never reads a clock or a time zone: the minute of the home's day
comes in. On the wire every one of them is the same nothing. Source: docs/spec/request.md "The owner's settings".
"""

from __future__ import annotations

import re
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from agent.core.encoding import ID_BYTES, NS_PER_S, format_time, from_b64u, parse_time, to_json
from agent.core.errors import BadInput, Corrupt
from agent.core.timeline import Span

BLOCKED_LIMIT = 256
INCIDENTS_LIMIT = 32
_MINUTE_NS = 60 * NS_PER_S
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(?:/[A-Za-z0-9_+-]{1,32}){0,2}", re.ASCII)

LACKS = ("officer", "contact", "purpose", "retention")
"""What a request may leave empty, and a rule may insist on."""


class _Setting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Pause(_Setting, frozen=True):
    """All requests are paused, until a time or (None) until resumed."""

    until: str | None


class Blocked(_Setting, frozen=True):
    """A requester the owner wants to hear nothing from. `agency` is kept for reading; only `id` counts."""

    id: str
    agency: str
    since: str


class DeclineRules(_Setting, frozen=True):
    """Requests answered with no before anybody is asked.

    `incidents`: words in the kind of incident; `longer_than_min`: minutes asked about; `lacking`: of LACKS.
    """

    incidents: list[Annotated[str, Meta(min_length=1, max_length=100)]] = []
    longer_than_min: Annotated[int, Meta(ge=15, le=720)] | None = None
    lacking: list[str] = []


class QuietHours(_Setting, frozen=True):
    """No prompt from `start` to `end` (HH:MM, over midnight if `end` is earlier) in the IANA time zone `zone`."""

    start: str
    end: str
    zone: str


class Settings(_Setting, frozen=True):
    """All of it, as the ledger keeps it."""

    paused: Pause | None = None
    blocked: list[Blocked] = []
    decline: DeclineRules = DeclineRules()
    quiet: QuietHours | None = None

    def is_paused(self, now_ns: int) -> bool:
        """Whether requests are turned away at this moment."""
        return self.paused is not None and (self.paused.until is None or now_ns < parse_time(self.paused.until))

    def blocks(self) -> frozenset[str]:
        """Key ids of blocked requesters."""
        return frozenset(entry.id for entry in self.blocked)


class _Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do"):
    pass


class Block(_Change, frozen=True, tag="block"):
    """Hear nothing from this requester (kid)."""

    requester: str


class Unblock(_Change, frozen=True, tag="unblock"):
    """Hear from this requester (kid) again."""

    requester: str


class PauseAll(_Change, frozen=True, tag="pause"):
    """Turn all requests away until a time, or (None) until resumed."""

    until: str | None


class ResumeAll(_Change, frozen=True, tag="resume"):
    """End the pause."""


class SetDecline(_Change, frozen=True, tag="decline"):
    """These rules instead of the ones there were."""

    rules: DeclineRules


class SetQuiet(_Change, frozen=True, tag="quiet"):
    """These quiet hours instead, or none."""

    hours: QuietHours | None


Change = Block | Unblock | PauseAll | ResumeAll | SetDecline | SetQuiet
"""One change of the settings, as `POST /api/settings` takes it; `do` names which."""


def changed(settings: Settings, change: Change, *, agency: str, now_ns: int) -> tuple[Settings, dict[str, str | int]]:
    """The settings after `change`, and what the log says of it. BadInput names what cannot be set like this.

    `agency`: how the requester to block is known, for reading.
    """
    replace = msgspec.structs.replace
    match change:
        case Block(requester):
            entry = Blocked(requester, agency, format_time(now_ns))
            new = replace(settings, blocked=[*(b for b in settings.blocked if b.id != requester), entry])
            said = {"change": "block", "requester": requester}
        case Unblock(requester):
            new = replace(settings, blocked=[b for b in settings.blocked if b.id != requester])
            said = {"change": "unblock", "requester": requester}
        case PauseAll(until):
            new = replace(settings, paused=Pause(until))
            said = {"change": "pause", "until": until or ""}
            if until is not None and parse_time(until) <= now_ns:
                raise BadInput("the pause would be over already; name a later time")
        case ResumeAll():
            new, said = replace(settings, paused=None), {"change": "resume"}
        case SetDecline(rules):
            new, said = replace(settings, decline=rules), {"change": "decline", "rules": to_json(rules).decode()}
        case SetQuiet(hours):
            words = f"{hours.start} to {hours.end} {hours.zone}" if hours else ""
            new, said = replace(settings, quiet=hours), {"change": "quiet", "hours": words}
    check_settings(new)
    return new, dict(said)


class _Asker(Protocol):
    @property
    def officer(self) -> str: ...
    @property
    def contact(self) -> str: ...


class _Asking(Protocol):
    """What of a request a rule looks at."""

    @property
    def incident_type(self) -> str: ...
    @property
    def purpose(self) -> str: ...
    @property
    def retention(self) -> str: ...
    @property
    def requester(self) -> _Asker: ...
    @property
    def span(self) -> Span: ...


def rule_against(rules: DeclineRules, request: _Asking) -> str | None:
    """The first rule that declines this request: `incident`, `longer`, or `lacking-…`; None where it may be asked."""
    kind = request.incident_type.casefold()
    if any(word.casefold() in kind for word in rules.incidents):
        return "incident"
    length_ns = request.span.end_ns - request.span.start_ns
    if rules.longer_than_min is not None and length_ns > rules.longer_than_min * _MINUTE_NS:
        return "longer"
    said = {
        "officer": request.requester.officer,
        "contact": request.requester.contact,
        "purpose": request.purpose,
        "retention": request.retention,
    }
    return next((f"lacking-{name}" for name in LACKS if name in rules.lacking and not said[name]), None)


def is_quiet(quiet: QuietHours | None, minute: int) -> bool:
    """Whether the home's minute of the day (0…1439) lies in the quiet hours."""
    if quiet is None:
        return False
    start, end = _minutes(quiet.start), _minutes(quiet.end)
    return start <= minute < end if start <= end else minute >= start or minute < end


def check_settings(settings: Settings) -> None:
    """BadInput names what cannot be set like this. Whether a time zone exists is for the shell to find out."""
    if settings.paused is not None and settings.paused.until is not None:
        parse_time(settings.paused.until)
    if len(settings.blocked) > BLOCKED_LIMIT:
        raise BadInput(f"at most {BLOCKED_LIMIT} requesters can be blocked; pause all requests instead")
    for entry in settings.blocked:
        try:
            from_b64u(entry.id, ID_BYTES)
        except Corrupt as e:
            raise BadInput(f"'{entry.id[:40]}' is not the key id of a requester: {e}") from e
    rules = settings.decline
    if len(rules.incidents) > INCIDENTS_LIMIT or not all(word.strip() for word in rules.incidents):
        raise BadInput(f"kinds of incident are at most {INCIDENTS_LIMIT}, each with a word in it")
    unknown = [name for name in rules.lacking if name not in LACKS]
    if unknown or len(set(rules.lacking)) != len(rules.lacking):
        raise BadInput(
            f"a rule can insist once on each of {', '.join(LACKS)}, not on '{(unknown or ['one twice'])[0]}'"
        )
    if settings.quiet is not None:
        if _minutes(settings.quiet.start) == _minutes(settings.quiet.end):
            raise BadInput("quiet hours that end when they begin would be all day or never; to hear nothing, pause")
        if not _ZONE.fullmatch(settings.quiet.zone):
            raise BadInput(f"'{settings.quiet.zone[:40]}' is not a time zone; write it like Europe/Vienna")


def _minutes(clock: str) -> int:
    match = _CLOCK.fullmatch(clock)
    if match is None:
        raise BadInput(f"'{clock[:20]}' is not a time of day; write it like 22:30")
    return int(match[1]) * 60 + int(match[2])
