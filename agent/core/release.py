"""The owner's decision and what it releases: which records, which keys, sealed to whom.

Both sides are here: an owner's device builds a decision with `build_decision` and `seal_releases`; the doorbell judges
it with `judge_decision` without ever holding a key; the requester opens its releases with `open_release`.
Source: docs/spec/decision.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.core import hpke, statements
from agent.core.bundle import MAX_BUNDLE_BYTES
from agent.core.encoding import b64u, format_time, from_b64u, parse_time
from agent.core.errors import BadInput, Corrupt, Refused
from agent.core.frame import Track
from agent.core.identity import OwnerSet
from agent.core.manifest import span_digest
from agent.core.sealing import KEY_BYTES, RECORDS_LIMIT, ClipKeys, RecordHeader
from agent.core.statements import Kind
from agent.core.timeline import Span

CLIPS_LIMIT = 64
SHARED_LIMIT_BYTES = MAX_BUNDLE_BYTES - (CLIPS_LIMIT + 1) * 1024 * 1024
"""Of records. The rest of a bundle is for the decision and what goes with each clip, less than 1 MiB."""
LIFE_LIMIT_NS = 7 * 86400 * 1_000_000_000
CLOCK_SLACK_NS = 300 * 1_000_000_000
RELEASABLE = (Track.VIDEO, Track.AUDIO)
_RELEASE_LABEL = b"doorward release v1"


class TrackSpan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Records `first` to `last` of a track (and its record 0); `digest` binds their bytes, b64u."""

    track: str
    first: int
    last: int
    digest: str

    @property
    def indexes(self) -> list[int]:
        """The records released, the init segment first."""
        return [0, *range(self.first, self.last + 1)]


class SharedClip(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is shared of one clip. `header` is the header hash, b64u."""

    clip: str
    header: str
    tracks: list[TrackSpan]


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An owner's answer to one request. Hashes and key ids b64u, times RFC 3339."""

    request: str
    device: str
    answer: str
    clips: list[SharedClip]
    requester: str
    key: str
    purpose: str
    issued: str
    not_before: str
    expires: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What a decision must answer to: facts of a stored request. `hash`, kids and `purpose` as in the statement."""

    hash: str
    requester: str
    key: str
    purpose: str
    span: Span


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """What the ring knows of a clip: enough to check a decision. Records and hashes by index within a track.

    `begins`: between which moments its time zero lies; a known time is a span without length.
    """

    clip: str
    header_hash: str
    begins: Span
    records: Mapping[Track, Sequence[RecordHeader]]
    hashes: Mapping[Track, Sequence[bytes]]


def records_for(records: Sequence[RecordHeader], start_ns: int, end_ns: int) -> tuple[int, int] | None:
    """(first, last) of the records of one track that show `start_ns`…`end_ns` (clip time), with the run-in they need.

    The run-in is what lies between the key record at or before the beginning and the beginning. None if no record
    overlaps the span.
    """
    inside = [r.index for r in records[1:] if r.start_ns < end_ns and r.start_ns + r.duration_ns > start_ns]
    if not inside:
        return None
    keys = [r.index for r in records[1 : inside[0] + 1] if r.key]
    if not keys:
        return None
    return keys[-1], inside[-1]


def _records_in(records: Sequence[RecordHeader], begins: Span, span: Span) -> tuple[int, int] | None:
    """The same for a span of UTC: what may lie in it, wherever in `begins` the clip began."""
    return records_for(records, span.start_ns - begins.end_ns, span.end_ns - begins.start_ns) if records else None


def share_clip(facts: ClipFacts, span: Span, *, sound: bool) -> SharedClip | None:
    """What of a clip to share for a span of UTC: None where no video of it lies in the span."""
    tracks = []
    for track in RELEASABLE if sound else (Track.VIDEO,):
        records = facts.records.get(track, [])
        found = _records_in(records, facts.begins, span)
        if found:
            digest = span_digest(list(facts.hashes[track]), *found)
            tracks.append(TrackSpan(track.name.lower(), *found, b64u(digest)))
    if not tracks or tracks[0].track != "video":
        return None
    return SharedClip(facts.clip, facts.header_hash, tracks)


def build_decision(
    asked: Asked, device: str, clips: list[SharedClip], *, now_ns: int, undo_ns: int, life_ns: int = LIFE_LIMIT_NS
) -> Decision:
    """A `share` of `clips`, or a `decline` when there are none."""
    return Decision(
        request=asked.hash,
        device=device,
        answer="share" if clips else "decline",
        clips=clips,
        requester=asked.requester,
        key=asked.key,
        purpose=asked.purpose,
        issued=format_time(now_ns),
        not_before=format_time(now_ns + undo_ns),
        expires=format_time(now_ns + life_ns),
    )


def sign_decision(decision: Decision, key: Ed25519PrivateKey) -> bytes:
    """The decision as a statement."""
    return statements.sign(Kind.DECISION, decision, key)


def _release_info(decision: bytes, header_hash: str) -> bytes:
    return _RELEASE_LABEL + statements.digest(decision) + from_b64u(header_hash, 32)


def _tracks(clip: SharedClip) -> list[tuple[Track, TrackSpan]]:
    return [(Track[span.track.upper()], span) for span in clip.tracks]


def seal_releases(token: bytes, decision: Decision, keys: Sequence[ClipKeys], requester_opens: bytes) -> list[bytes]:
    """One release for each clip of the decision, in order: exactly the agreed records' secrets, sealed."""
    releases = []
    for clip, clip_keys in zip(decision.clips, keys, strict=True):
        secrets = b"".join(clip_keys.record_secret(t, i) for t, span in _tracks(clip) for i in span.indexes)
        releases.append(hpke.seal(secrets, requester_opens, _release_info(token, clip.header)))
    return releases


def open_release(
    token: bytes, clip: SharedClip, release: bytes, key: X25519PrivateKey
) -> dict[Track, dict[int, bytes]]:
    """The record secrets in a release, by track and index. Corrupt if it is not for this key, decision and clip."""
    secrets = hpke.open_sealed(release, key, _release_info(token, clip.header))
    wanted = [(t, i) for t, span in _tracks(clip) for i in span.indexes]
    if len(secrets) != KEY_BYTES * len(wanted):
        raise Corrupt("the release does not hold one key for each agreed record")
    found: dict[Track, dict[int, bytes]] = {}
    for n, (track, index) in enumerate(wanted):
        found.setdefault(track, {})[index] = secrets[n * KEY_BYTES : (n + 1) * KEY_BYTES]
    return found


def release_bytes(clip: SharedClip) -> int:
    """How long the release of `clip` must be."""
    return hpke.OVERHEAD_BYTES + KEY_BYTES * sum(len(span.indexes) for span in clip.tracks)


def read_decision(token: bytes, deciders: Mapping[str, Ed25519PublicKey]) -> Decision:
    """A well-formed decision by one of `deciders` (kid → Ed25519PublicKey); Refused names what is wrong."""
    try:
        decision = statements.read(Kind.DECISION, token, deciders, Decision)
    except Refused as e:
        if e.reason == "unknown-signer":
            raise Refused("not-an-owner", "this decision is not signed by an owner of this doorbell") from e
        raise
    try:
        issued, expires = parse_time(decision.issued), parse_time(decision.expires)
        not_before = parse_time(decision.not_before)
        for clip in decision.clips:
            from_b64u(clip.clip, 16)
            from_b64u(clip.header, 32)
            for span in clip.tracks:
                from_b64u(span.digest, 32)
    except (BadInput, Corrupt) as e:
        raise Refused("malformed", f"the decision: {e}") from e
    names = [clip.clip for clip in decision.clips]
    allowed = {t.name.lower() for t in RELEASABLE}
    shapes = all(_well_formed(clip, allowed) for clip in decision.clips)
    if decision.answer not in ("share", "decline") or (decision.answer == "share") != bool(names):
        raise Refused("malformed", "a decision shares at least one clip, or declines")
    if len(set(names)) != len(names) or len(names) > CLIPS_LIMIT or not shapes:
        raise Refused("malformed", f"a decision names at most {CLIPS_LIMIT} different clips, each with its video")
    if not 0 < expires - issued <= LIFE_LIMIT_NS:
        raise Refused("malformed", "a decision is good for at most 7 days")
    if not issued <= not_before <= expires:
        raise Refused("malformed", "what a decision shares leaves after it is issued and before it expires")
    return decision


def _well_formed(clip: SharedClip, allowed: set[str]) -> bool:
    tracks = [span.track for span in clip.tracks]
    return (
        "video" in tracks
        and set(tracks) <= allowed
        and len(set(tracks)) == len(tracks)
        and all(1 <= span.first <= span.last < RECORDS_LIMIT for span in clip.tracks)
    )


def judge_decision(
    token: bytes,
    releases: Sequence[bytes],
    *,
    owners: OwnerSet,
    device: str,
    asked: Asked,
    clips: Mapping[str, ClipFacts],
    now_ns: int,
) -> Decision:
    """The decision, if everything in docs/spec/decision.md holds; else Refused by name. `clips`: those held for it."""
    decision = read_decision(token, owners.deciders())
    if decision.device != device:
        raise Refused("wrong-device", "this decision was made for another doorbell")
    if decision.request != asked.hash:
        raise Refused("unknown-request", "this decision answers another request")
    if (decision.requester, decision.key, decision.purpose) != (asked.requester, asked.key, asked.purpose):
        raise Refused("wrong-requester", "this decision names another requester, key or purpose than the request")
    issued = parse_time(decision.issued)
    if abs(issued - now_ns) > CLOCK_SLACK_NS or parse_time(decision.expires) <= now_ns:
        raise Refused("stale", "this decision is not of this moment; check the clocks of phone and doorbell")
    for clip in decision.clips:
        _judge_clip(clip, clips.get(clip.clip), asked.span)
    if sum(_shared_bytes(clip, clips[clip.clip]) for clip in decision.clips) > SHARED_LIMIT_BYTES:
        limit = f"{SHARED_LIMIT_BYTES / 1e9:.1f} GB"
        raise Refused("too-much", f"at most {limit} can be shared at once; share less at a time")
    if [len(release) for release in releases] != [release_bytes(clip) for clip in decision.clips]:
        raise Refused("bad-release", "the sealed keys beside the decision are not those of exactly the agreed records")
    return decision


def _judge_clip(clip: SharedClip, facts: ClipFacts | None, span: Span) -> None:
    if facts is None or facts.header_hash != clip.header:
        raise Refused("unknown-clip", f"clip {clip.clip} is not one that is kept for this request")
    for track, agreed in _tracks(clip):
        records = facts.records.get(track, [])
        allowed = _records_in(records, facts.begins, span)
        if agreed.last >= len(records) or not records[agreed.first].key:
            raise Refused("changed", f"clip {clip.clip} is not what was decided over: its records are others")
        if allowed is None or agreed.first < allowed[0] or agreed.last > allowed[1]:
            raise Refused("outside-span", f"the decision shares more of clip {clip.clip} than was asked for")
        if b64u(span_digest(list(facts.hashes[track]), agreed.first, agreed.last)) != agreed.digest:
            raise Refused("changed", f"clip {clip.clip} is not what was decided over: its records are others")


def _shared_bytes(clip: SharedClip, facts: ClipFacts) -> int:
    return sum(facts.records[track][i].total_bytes for track, agreed in _tracks(clip) for i in agreed.indexes)
