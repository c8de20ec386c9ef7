"""The messages of the owner API, as the doorbell sends them and a phone or computer reads them.

Owns names and types only. Source: docs/spec/owner-api.md. Times are RFC 3339, bytes b64u, durations ns.
"""

from __future__ import annotations

import msgspec

from agent.core.settings import Change, Settings


class _Message(msgspec.Struct, frozen=True):
    """Readers ignore what they do not know: a newer doorbell may say more."""


class Device(_Message, frozen=True):
    """`GET /api/device`."""

    id: str
    key: str
    paired: bool
    name: str
    version: str


class Trouble(_Message, frozen=True):
    """What keeps the doorbell from its work. `part`: camera, disk, button or microphone; `text`: a sentence."""

    part: str
    text: str
    since: str


class Status(_Message, frozen=True):
    """`GET /api/status`."""

    name: str
    recording: str
    clips: int
    bytes: int
    budget_bytes: int
    days: int
    oldest: str | None
    broker: str
    requests_waiting: int
    detector: str
    undo_s: float
    owners: str
    now: str
    troubles: list[Trouble]
    paused: bool = False
    directory_expired: bool = False
    clock_set: bool = True


class DirectoryInfo(_Message, frozen=True):
    """The directory of requesters the owner pinned. `key`: raw, b64u."""

    name: str
    version: int
    expires: str
    key: str
    expired: bool
    requesters: int


class DirectoryStatement(_Message, frozen=True):
    """`GET /api/directory`."""

    key: str
    statement: str


class KnownRequester(_Message, frozen=True):
    """Somebody who may ask. `via`: pinned or directory."""

    id: str
    agency: str
    expires: str
    via: str


class SettingsAnswer(_Message, frozen=True):
    """`GET /api/settings`, and what every change of them answers."""

    settings: Settings
    requesters: list[KnownRequester]
    directory: DirectoryInfo | None


class SettingsBody(_Message, frozen=True, forbid_unknown_fields=True):
    """`POST /api/settings`."""

    change: Change


class ClipSummary(_Message, frozen=True):
    """One clip without what is sealed in it: `labels` is None from the doorbell; an owner's program fills them in."""

    id: str
    start: str
    end: str
    motion_start: str | None
    motion_end: str | None
    bytes: int
    records: int
    labels: list[str] | None
    held: bool
    time_trust: str
    state: str
    earliest: str | None = None
    latest: str | None = None


class Clips(_Message, frozen=True):
    """`GET /api/clips`."""

    clips: list[ClipSummary]


class RecordPlace(_Message, frozen=True):
    """Where a record lies in the sealed file, and what of it is readable."""

    track: str
    index: int
    flags: int
    start_ns: int
    duration_ns: int
    offset: int
    length: int


class ClipDetail(_Message, frozen=True):
    """`GET /api/clips/C`."""

    summary: ClipSummary
    header: str
    wraps: str
    manifest: str | None
    records: list[RecordPlace]


class RequestRow(_Message, frozen=True):
    """One request as lists show it."""

    id: str
    state: str
    received: str
    agency: str
    case_number: str
    incident_type: str
    from_: str = msgspec.field(name="from")
    to: str
    expires: str
    clips: int
    undo_until: str | None
    sent_bytes: int
    total_bytes: int
    declined_by: str | None = None
    replaces: str | None = None
    prompted: bool = True


class Requests(_Message, frozen=True):
    """`GET /api/requests`, newest first."""

    requests: list[RequestRow]


class RequestDetail(_Message, frozen=True):
    """`GET /api/requests/R`."""

    row: RequestRow
    request: str
    requester: str
    home: tuple[float, float]
    clips: list[ClipSummary]
    decision: str | None
    receipt: str | None
    delivered: str | None
    trusted: str | None = None


class DecisionBody(_Message, frozen=True, forbid_unknown_fields=True):
    """`POST /api/requests/R/decision`."""

    decision: str
    releases: list[str]


class AuditLine(_Message, frozen=True):
    """One entry of the log."""

    n: int
    time: str
    what: str
    details: dict[str, str | int]
    hash: str


class AuditPage(_Message, frozen=True):
    """`GET /api/audit`. `head`: the hash of the newest entry of all."""

    entries: list[AuditLine]
    head: str
    intact: bool


class HelloBody(_Message, frozen=True, forbid_unknown_fields=True):
    """`POST /api/pair/hello`."""

    mac: str


class HelloAnswer(_Message, frozen=True):
    """The doorbell, proved by the pairing secret."""

    device: Device
    owners: str | None
    mac: str


class PairBody(_Message, frozen=True, forbid_unknown_fields=True):
    """`POST /api/pair`."""

    owners: str
    mac: str


class PairAnswer(_Message, frozen=True):
    """The doorbell took over the owner set."""

    paired: str
    mac: str


class JoiningBody(_Message, frozen=True, forbid_unknown_fields=True):
    """`POST /api/joining`."""

    slot: str


class JoiningState(_Message, frozen=True):
    """An invitation's letter box, for the owner who opened it. `entry`: what a newcomer put in, if one did."""

    expires: str
    entry: str | None
    mac: str


class JoinBody(_Message, frozen=True, forbid_unknown_fields=True):
    """`POST /api/join/{slot}`."""

    entry: str
    mac: str


class Welcome(_Message, frozen=True):
    """What a newcomer waits for: the owner set it is in, once there is one."""

    owners: str | None
    mac: str


class OwnersBody(_Message, frozen=True, forbid_unknown_fields=True):
    """`POST /api/owners`. `slot` and `mac` where a newcomer waits for this set."""

    owners: str
    slot: str | None = None
    mac: str = ""


class Taken(_Message, frozen=True):
    """The doorbell took over the owner set."""

    paired: str


class Challenge(_Message, frozen=True):
    """`POST /api/session/challenge`."""

    challenge: str
    expires: str


class SessionBody(_Message, frozen=True, forbid_unknown_fields=True):
    """`POST /api/session`."""

    proof: str


class Session(_Message, frozen=True):
    """A session's token and whose it is."""

    token: str
    expires: str
    owner: str


class Changed(_Message, frozen=True):
    """An event of `GET /api/events`: something worth asking for again, or who is at the door (`label`) right now."""

    what: str
    id: str | None = None
    label: str | None = None
