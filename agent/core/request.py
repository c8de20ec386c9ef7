"""What an outsider may ask for, and the doorbell's judgement of it.

Owns the request statement and every limit on it, in one place; `judge` is pure: what the doorbell knows comes in as
`Circumstances`. Whatever is refused is named for the audit chain and never answered on the wire.
Source: docs/spec/request.md.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core import identity, statements
from agent.core.area import Area
from agent.core.encoding import ID_BYTES, NS_PER_S, b64u, check_id, from_b64u, parse_time
from agent.core.errors import BadInput, Corrupt, Refused
from agent.core.identity import RequesterStatement
from agent.core.settings import DeclineRules, rule_against
from agent.core.statements import Kind
from agent.core.timeline import Span

MINUTE_NS = 60 * NS_PER_S
HOUR_NS = 60 * MINUTE_NS
MIN_SPAN_NS = 15 * MINUTE_NS
MAX_SPAN_NS = 12 * HOUR_NS
MAX_LIFE_NS = 72 * HOUR_NS
CLOCK_SLACK_NS = 5 * MINUTE_NS
MIN_SQUARE_MILES = 0.025
MAX_SQUARE_MILES = 0.5
REQUESTS_PER_CASE = 2
REQUESTS_PER_WEEK = 10
WEEK_NS = 7 * 24 * HOUR_NS
WAITING_LIMIT = 32  # requests that wait until the time is known
WAITING_EACH = 4  # and of one requester

_REPLAYED = "this request was received before"
TEXT_LIMITS = {"case_number": 64, "incident_type": 100, "message": 2_000, "purpose": 500, "retention": 200}
REQUESTER_TEXT_LIMIT = 200
_OPTIONAL = ("purpose", "retention")
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Asker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who asks: `id` is the kid of the signing key; the rest is for people to read."""

    id: str
    agency: str
    officer: str
    contact: str


class FootageRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payload of `doorward.request.v1`. Times RFC 3339 UTC; `replaces`: hash (b64u) of an earlier request, or ""."""

    id: str
    requester: Asker
    case_number: str
    incident_type: str
    message: str
    area: Area
    span_from: str = msgspec.field(name="from")
    span_to: str = msgspec.field(name="to")
    issued: str
    expires: str
    key: str
    purpose: str
    retention: str
    replaces: str

    @property
    def span(self) -> Span:
        """What is asked for. BadInput when the times are none."""
        return Span(parse_time(self.span_from), parse_time(self.span_to))


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the doorbell knows when a request comes in. Times UTC ns, `home` (latitude, longitude) in degrees."""

    now_ns: int
    home: tuple[float, float]
    pinned: Mapping[str, RequesterStatement]  # by kid of `signs`
    blocked: frozenset[str]  # kids of requesters the owner wants to hear nothing from
    paused: bool
    decline: DeclineRules
    asker_of: Callable[[str], str | None]  # hash of a request (b64u) → kid of who asked it here
    seen: Callable[[str], bool]  # request id → seen before
    taken_back: Callable[[str, str], bool]  # hash of a request (b64u), kid of who asks → withdrawn before it came
    asked_for_case: Callable[[str, str], int]  # requester kid, case number → requests so far
    asked_since: Callable[[str, int], int]  # requester kid, UTC ns → requests since then
    clips: Callable[[Span], Sequence[str]]  # ids of the clips that overlap a span


@dataclass(frozen=True, slots=True)
class Judged:
    """A request that passed: its payload, the hash of its statement, who asks, and the clips it is about.

    `declined_by`: the owner's rule that answers it with no, unseen (agent/core/settings.py).
    """

    request: FootageRequest
    hash: bytes
    requester: RequesterStatement
    clips: tuple[str, ...]
    declined_by: str | None


def judge(token: bytes, known: Circumstances) -> Judged:
    """Whether this request is to be put before the owner; Refused with the reasons of docs/spec/request.md if not.

    The checks come in the order of that page, and the first that fails names the refusal.
    """
    requester = _pinned_signer(token, known.pinned)
    if parse_time(requester.expires) <= known.now_ns:
        raise Refused("unknown-requester", f"what was pinned of {requester.agency} has expired")
    request = _read(token, requester)
    check_rules(request, known.now_ns)
    _check_here(request, known.home)
    if requester.id in known.blocked:
        raise Refused("blocked", "the owner has blocked this requester")
    if known.paused:
        raise Refused("paused", "the owner has paused all requests")
    if known.seen(request.id):
        raise Refused("replayed", _REPLAYED)
    if known.taken_back(b64u(statements.digest(token)), requester.id):
        raise Refused("withdrawn", "the requester took this request back before it came")
    if request.replaces and known.asker_of(request.replaces) not in (None, requester.id):
        raise Refused("wrong-replaced", "the request replaces one that somebody else asked")
    _check_counts(request, known)
    clips = tuple(known.clips(request.span))
    if not clips:
        raise Refused("no-clips", "nothing was recorded in the time asked about")
    return Judged(request, statements.digest(token), requester, clips, rule_against(known.decline, request))


def _check_counts(request: FootageRequest, known: Circumstances) -> None:
    asker = request.requester.id
    if known.asked_for_case(asker, request.case_number) >= REQUESTS_PER_CASE:
        raise Refused("case-limit", f"this requester has asked {REQUESTS_PER_CASE} times in this case already")
    if known.asked_since(asker, known.now_ns - WEEK_NS) >= REQUESTS_PER_WEEK:
        raise Refused("requester-limit", f"this requester has asked {REQUESTS_PER_WEEK} times in the last 7 days")


def check_rules(request: FootageRequest, now_ns: int) -> None:
    """The rules that need no more than a clock: a requester checks them too, before it asks. Refused by name."""
    span, issued, expires = request.span, parse_time(request.issued), parse_time(request.expires)
    if issued > now_ns + CLOCK_SLACK_NS:
        raise Refused("issued-in-future", "the request was issued in the future; check the clocks of both sides")
    if not issued < expires <= issued + MAX_LIFE_NS:
        raise Refused("expired", f"a request expires after it is issued, at most {MAX_LIFE_NS // HOUR_NS} hours after")
    if now_ns >= expires:
        raise Refused("expired", "the request has expired")
    length_ns = span.end_ns - span.start_ns
    if not MIN_SPAN_NS <= length_ns <= MAX_SPAN_NS:
        raise Refused(
            "span",
            f"the time asked about is {_duration(length_ns)} long; it must be from "
            f"{_duration(MIN_SPAN_NS)} to {_duration(MAX_SPAN_NS)}",
        )
    if span.end_ns > now_ns + CLOCK_SLACK_NS:
        raise Refused("future-span", "the time asked about ends in the future")
    _check_area(request)


def _check_area(request: FootageRequest) -> None:
    try:
        request.area.check()
    except BadInput as e:
        raise Refused("area-shape", str(e)) from e
    size = request.area.square_miles()
    if not MIN_SQUARE_MILES <= size <= MAX_SQUARE_MILES:
        raise Refused(
            "area-size",
            f"the area is {size:.3g} square miles; it must be from {MIN_SQUARE_MILES} to {MAX_SQUARE_MILES}",
        )


def _check_here(request: FootageRequest, home: tuple[float, float]) -> None:
    if not request.area.contains(*home):
        raise Refused("not-here", "the home is outside the area asked about")


def check_shape(request: FootageRequest) -> None:
    """The table of docs/spec/request.md, field by field; BadInput or Corrupt names what breaks it."""
    check_id(request.id)
    from_b64u(request.requester.id, ID_BYTES)
    from_b64u(request.key, 32)
    if request.replaces:
        from_b64u(request.replaces, 32)
    for name, limit in TEXT_LIMITS.items():
        _check_text(name, getattr(request, name), limit, empty=name in _OPTIONAL)
    for name in ("agency", "officer", "contact"):
        _check_text(name, getattr(request.requester, name), REQUESTER_TEXT_LIMIT, empty=name != "agency")
    for name in ("span_from", "span_to", "issued", "expires"):
        text = getattr(request, name)
        parse_time(text)
        if not text.endswith("Z"):
            raise BadInput(f"the time '{text[:40]}' must be in UTC, with Z")
    if parse_time(request.span_to) < parse_time(request.span_from):
        raise BadInput("the time asked about ends before it begins")


def sign_request(request: FootageRequest, key: Ed25519PrivateKey, *, now_ns: int) -> tuple[bytes, list[str]]:
    """The statement, and the H3 cells to publish it to. BadInput when a doorbell would refuse it for what it says."""
    try:
        check_shape(request)
        check_rules(request, now_ns)
        token = statements.sign(Kind.REQUEST, request, key)
    except (Refused, Corrupt) as e:
        raise BadInput(str(e)) from e
    return token, request.area.cells()


def judge_without_time(
    token: bytes, pinned: Mapping[str, RequesterStatement], home: tuple[float, float], seen: Callable[[str], bool]
) -> FootageRequest:
    """What may wait until the time is known; Refused, by name, what no time could make right.

    `pinned`, `home`, `seen`: as in `Circumstances`. The checks are those of `judge` that need no clock, in its order.
    """
    request = _read(token, _pinned_signer(token, pinned))
    _check_area(request)
    _check_here(request, home)
    if seen(request.id):
        raise Refused("replayed", _REPLAYED)
    return request


def crowded_out(waiting: Sequence[tuple[str, int]]) -> int | None:
    """Which of the requests that wait for the time must go, by its place; None while there is room for all.

    `waiting`: (kid, issued UTC ns). Of the requester with the most, the one issued first: who signs many crowds out
    nobody else, and what somebody sends again from former days crowds out nothing new.
    """
    counts = Counter(kid for kid, _ in waiting)
    most = max(counts.values(), default=0)
    if most <= WAITING_EACH and len(waiting) <= WAITING_LIMIT:
        return None
    return min((issued, n) for n, (kid, issued) in enumerate(waiting) if counts[kid] == most)[1]


def _pinned_signer(token: bytes, pinned: Mapping[str, RequesterStatement]) -> RequesterStatement:
    """The pinned requester whose key the header names; nothing of the payload is looked at yet."""
    try:
        kid = statements.signer(Kind.REQUEST, token)
    except Refused as e:
        raise Refused("too-large" if e.reason == "too-large" else "bad-signature", str(e)) from e
    requester = pinned.get(kid)
    if requester is None:
        raise Refused("unknown-requester", "the request is signed by nobody whom this home has pinned")
    return requester


def _read(token: bytes, requester: RequesterStatement) -> FootageRequest:
    try:
        payload = statements.verify(Kind.REQUEST, token, identity.public_key(from_b64u(requester.signs, 32)))
    except Refused as e:
        raise Refused("bad-signature", str(e)) from e
    try:
        request = msgspec.json.decode(payload, type=FootageRequest)
        check_shape(request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadInput, Corrupt) as e:
        raise Refused("malformed", f"the request is not as specified: {e}") from e
    if (request.requester.id, request.requester.agency) != (requester.id, requester.agency):
        raise Refused("wrong-key", "the request names another requester than the one who signed it")
    if request.key != requester.opens:
        raise Refused("wrong-key", "the request names another key to seal to than the requester's pinned one")
    return request


def _check_text(name: str, text: str, limit: int, *, empty: bool) -> None:
    label = name.replace("_", " ")
    if not text.strip() and not (empty and not text):
        raise BadInput(f"the {label} must not be empty")
    if len(text) > limit:
        raise BadInput(f"the {label} has {len(text)} characters, at most {limit} are allowed")
    if any((unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t") or c in _BIDI_CONTROLS for c in text):
        raise BadInput(f"the {label} contains control characters, which could make it read as something else")


def _duration(ns: int) -> str:
    minutes, rest = divmod(ns, MINUTE_NS)
    if rest or minutes % 60 or not minutes:
        return f"{ns / MINUTE_NS:.4g} minutes"
    return f"{minutes // 60} hours"
