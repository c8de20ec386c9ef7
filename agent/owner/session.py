"""An owner's business with one doorbell: pair, look, decide, open clips.

What the page does in the browser, done on a computer: the doorbell hears the same bytes from both. Keys never leave
this process. Source: docs/spec/identity.md, decision.md, owner-api.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.adapters.owner_client import OwnerClient
from agent.core import identity, statements
from agent.core.encoding import b64u, format_time, from_b64u, key_id, parse_time
from agent.core.errors import BadInput, Corrupt, Refused
from agent.core.frame import Track
from agent.core.identity import KeyPair, OwnerSet, Paired, PublicKeys, SessionProof
from agent.core.manifest import read_manifest
from agent.core.owner_api import (
    Challenge,
    ClipDetail,
    ClipSummary,
    DecisionBody,
    HelloAnswer,
    HelloBody,
    PairAnswer,
    PairBody,
    RequestDetail,
    RequestRow,
    Requests,
    Session,
    SessionBody,
    SettingsAnswer,
    SettingsBody,
    Status,
)
from agent.core.release import (
    Asked,
    ClipFacts,
    SharedClip,
    build_decision,
    seal_releases,
    share_clip,
    sign_decision,
)
from agent.core.request import FootageRequest
from agent.core.sealing import (
    RECORD_OVERHEAD_BYTES,
    TAG_BYTES,
    ClipHeader,
    ClipKeys,
    RecordHeader,
    header_hash,
    open_record,
    parse_record,
    read_header,
)
from agent.core.sealing import unwrap_clip_key as unwrap
from agent.core.settings import Change
from agent.core.statements import Kind
from agent.core.timeline import Span, Trust, looked_for
from agent.owner.key_file import PairedDoorbell

_ALWAYS = Span(0, 2**63 - 1)


@dataclass(frozen=True, slots=True)
class PairingCode:
    """What the doorbell showed: its address (if a URL), the secret, and the device id to expect (if a URL)."""

    url: str | None
    secret: bytes
    device: str | None


@dataclass(frozen=True, slots=True)
class Choice:
    """One clip to share, cut to a span of UTC if given."""

    clip: str
    span: Span | None


@dataclass(frozen=True, slots=True)
class OpenedClip:
    """A clip with its key: what a decision is made over."""

    detail: ClipDetail
    facts: ClipFacts
    keys: ClipKeys


def read_pairing(text: str) -> PairingCode:
    """A pairing URL or a typed code; BadInput for anything else."""
    if "://" not in text:
        return PairingCode(None, identity.read_pairing_code(text), None)
    try:
        parts = urlsplit(text)
        fields = parts.fragment.split(".")
        if parts.path != "/pair" or len(fields) != 4 or fields[0] != "1":
            raise Corrupt("it must look like https://NAME.local:8443/pair#1.…")
        return PairingCode(f"{parts.scheme}://{parts.netloc}", from_b64u(fields[1], 16), fields[2])
    except (Corrupt, ValueError) as e:
        raise BadInput(f"this is not a pairing link: {e}") from e


async def pair(
    client: OwnerClient, url: str, code: PairingCode, name: str, keys: KeyPair, recovery: PublicKeys, now_ns: int
) -> PairedDoorbell:
    """Become this doorbell's first owner. Refused when either side cannot prove the secret."""
    mac = b64u(identity.pairing_mac(code.secret, "doorward pair hello v1", b""))
    hello = await client.post("/api/pair/hello", HelloBody(mac), HelloAnswer)
    device_key = from_b64u(hello.device.key, 32)
    current = (hello.owners or "").encode()
    identity.check_pairing_mac(code.secret, "doorward pair device v1", device_key + current, from_b64u(hello.mac, 32))
    if key_id(device_key) != hello.device.id or code.device not in (None, hello.device.id):
        raise Refused("wrong-device", "this is not the doorbell the pairing link came from")
    token = _next_owner_set(hello, current, name, keys, recovery, now_ns)
    mac = b64u(identity.pairing_mac(code.secret, "doorward pair v1", token))
    answer = await client.post("/api/pair", PairBody(token.decode(), mac), PairAnswer)
    paired = answer.paired.encode()
    identity.check_pairing_mac(code.secret, "doorward paired v1", paired, from_b64u(answer.mac, 32))
    said = statements.read(Kind.PAIRED, paired, identity.public_key(device_key), Paired)
    if said.owners != b64u(statements.digest(token)):
        raise Refused("wrong-owner-set", "the doorbell took over another owner set than the one sent")
    return PairedDoorbell(url, hello.device.id, hello.device.key)


def _next_owner_set(
    hello: HelloAnswer, current: bytes, name: str, keys: KeyPair, recovery: PublicKeys, now_ns: int
) -> bytes:
    old = identity.read_owner_set(current, hello.device.id) if current else None
    if old and old.owners:
        raise Refused("already-paired", "this doorbell has an owner already; that phone has to let this one in")
    # A recovery code the doorbell made before stays: somebody may have written it down.
    recoveries = [*(old.recovery if old else []), recovery]
    new = OwnerSet(
        device=hello.device.id,
        version=old.version + 1 if old else 1,
        issued=format_time(now_ns),
        previous=b64u(statements.digest(current)) if current else "",
        owners=[identity.owner_entry(name, keys)],
        recovery=recoveries,
    )
    return statements.sign(Kind.OWNERS, new, keys.signs)


class OwnerSession:
    """A signed-in owner."""

    def __init__(self, client: OwnerClient, doorbell: PairedDoorbell, keys: KeyPair, now: Callable[[], int]) -> None:
        self.client = client
        self._doorbell = doorbell
        self._keys = keys
        self._now = now

    async def open(self) -> None:
        """Sign the doorbell's challenge."""
        challenge = await self.client.post("/api/session/challenge", None, Challenge)
        proof = SessionProof(self._doorbell.id, challenge.challenge, format_time(self._now()))
        token = statements.sign(Kind.SESSION, proof, self._keys.signs)
        session = await self.client.post("/api/session", SessionBody(token.decode()), Session)
        self.client.token = session.token

    @property
    def keys(self) -> KeyPair:
        """This owner's keys."""
        return self._keys

    @property
    def doorbell(self) -> PairedDoorbell:
        """The doorbell this session is at."""
        return self._doorbell

    async def owners(self) -> bytes:
        """The owner set in force, verbatim."""
        return (await self.client.get("/api/status", Status)).owners.encode()

    async def requests(self) -> list[RequestRow]:
        """Everything that was asked, newest first."""
        return (await self.client.get("/api/requests", Requests)).requests

    async def request(self, request: str) -> tuple[RequestDetail, FootageRequest]:
        """One request, its statement verified here too: the doorbell's word alone is not enough to seal keys on."""
        detail = await self.client.get(f"/api/requests/{request}", RequestDetail)
        requester = identity.read_requester_statement(detail.requester.encode())
        keys = identity.public_key(from_b64u(requester.signs, 32))
        said = statements.read(Kind.REQUEST, detail.request.encode(), keys, FootageRequest)
        if said.key != requester.opens or said.requester.id != requester.id:
            raise Refused("wrong-requester", "the request asks for the keys to be sealed to somebody else")
        return detail, said

    async def open_clip(self, clip: str) -> OpenedClip:
        """A clip's facts and keys, its manifest and header checked. Corrupt if it is not sealed to this owner."""
        detail = await self.client.get(f"/api/clips/{clip}", ClipDetail)
        header = from_b64u(detail.header)
        said = read_header(header)
        if said.clip != clip or detail.manifest is None:
            raise Refused("unfinished", f"clip {clip} is still being recorded; try again when it has ended")
        device = identity.public_key(from_b64u(self._doorbell.key, 32))[self._doorbell.id]
        manifest = read_manifest(detail.manifest.encode(), device)
        if manifest.header != b64u(header_hash(header)):
            raise Corrupt(f"the manifest of clip {clip} belongs to another clip")
        clip_key = unwrap(header, from_b64u(detail.wraps), opener(self._keys, said.recipients))
        records = {track: _headers(detail, track, header) for track in Track}
        facts = ClipFacts(
            clip=clip,
            header_hash=manifest.header,
            begins=_begins(said, detail.summary),
            records=records,
            hashes={track: manifest.hashes(track) for track in Track},
        )
        return OpenedClip(detail, facts, ClipKeys(clip_key, header_hash(header)))

    async def share(self, request: str, choices: list[Choice], *, sound: bool) -> RequestRow:
        """Sign a yes to `choices` (every matching clip, if none), each cut to the span asked for, and send it."""
        detail, said = await self.request(request)
        asked = _asked(detail, said)
        wanted = choices or [Choice(clip.id, None) for clip in detail.clips if clip.state != "recording"]
        shared: list[SharedClip] = []
        keys: list[ClipKeys] = []
        for choice in wanted:
            opened = await self.open_clip(choice.clip)
            part = share_clip(opened.facts, _within(asked.span, choice), sound=sound)
            if part is None and choices:
                raise BadInput(f"no video of clip {choice.clip} lies in {_within(asked.span, choice)}")
            if part is not None:
                shared.append(part)
                keys.append(opened.keys)
        if not shared:
            raise BadInput("there is nothing to share: no clip of this request has video in the span asked for")
        status = await self.client.get("/api/status", Status)
        decision = build_decision(
            asked, self._doorbell.id, shared, now_ns=self._now(), undo_ns=round(status.undo_s * 1e9)
        )
        token = sign_decision(decision, self._keys.signs)
        releases = seal_releases(token, decision, keys, from_b64u(said.key, 32))
        return await self._send(request, token, releases)

    async def decline(self, request: str) -> RequestRow:
        """Sign a no."""
        detail, said = await self.request(request)
        decision = build_decision(_asked(detail, said), self._doorbell.id, [], now_ns=self._now(), undo_ns=0)
        return await self._send(request, sign_decision(decision, self._keys.signs), [])

    async def _send(self, request: str, token: bytes, releases: list[bytes]) -> RequestRow:
        body = DecisionBody(token.decode(), [b64u(release) for release in releases])
        return await self.client.post(f"/api/requests/{request}/decision", body, RequestRow)

    async def delete(self, clip: str) -> ClipSummary:
        """Delete a clip for good; what it was."""
        return await self.client.delete(f"/api/clips/{clip}", ClipSummary)

    async def step(self, request: str, name: str) -> RequestRow:
        """undo, hold, resume or stop."""
        return await self.client.post(f"/api/requests/{request}/{name}", None, RequestRow)

    async def settings(self) -> SettingsAnswer:
        """What is set about requests, and who may ask."""
        return await self.client.get("/api/settings", SettingsAnswer)

    async def change(self, change: Change) -> SettingsAnswer:
        """Make one change of the settings."""
        return await self.client.post("/api/settings", SettingsBody(change), SettingsAnswer)

    async def fragments(self, opened: OpenedClip, span: Span | None, *, sound: bool) -> dict[Track, list[bytes]]:
        """Init segment and fragments of a clip's tracks, of `span` with its run-in; BadInput if no video is in it.

        Sound is among them if the clip has it and `sound` is wanted.
        """
        part = share_clip(opened.facts, span or _ALWAYS, sound=sound)
        if part is None:
            raise BadInput(f"no video of clip {opened.facts.clip} lies in {span or 'it'}")
        chosen = {Track[found.track.upper()]: found.indexes for found in part.tracks}
        return {track: await self.records(opened, track, indexes) for track, indexes in chosen.items()}

    async def records(self, opened: OpenedClip, track: Track, indexes: list[int]) -> list[bytes]:
        """Records of a track, fetched and opened."""
        places = [place for place in opened.detail.records if place.track == track.name.lower()]
        found = []
        for place in (places[index] for index in indexes):
            record = await self.client.stretch(f"/api/clips/{opened.facts.clip}/sealed", place.offset, place.length)
            secret = opened.keys.record_secret(track, place.index)
            header = parse_record(record)
            if (header.track, header.index) != (track, place.index):
                raise Corrupt(f"the doorbell sent another record of clip {opened.facts.clip} than was asked for")
            found.append(open_record(secret, record))
        return found


def opener(keys: KeyPair, recipients: list[str]) -> X25519PrivateKey:
    """The key of `keys` that a clip with these recipients (kids) opens with."""
    older = keys.older
    if older is not None and key_id(keys.opens_public) not in recipients:
        return older
    return keys.opens


def _headers(detail: ClipDetail, track: Track, header: bytes) -> list[RecordHeader]:
    places = [place for place in detail.records if place.track == track.name.lower()]
    hh = header_hash(header)
    if [place.index for place in places] != list(range(len(places))):
        raise Corrupt("the doorbell's list of records has holes")
    return [
        RecordHeader(
            hh, track, p.flags, p.index, p.start_ns, p.duration_ns, p.length - RECORD_OVERHEAD_BYTES + TAG_BYTES
        )
        for p in places
    ]


def _begins(header: ClipHeader, told: ClipSummary) -> Span:
    """When a clip began: as its signed header says, unless the clock was not set yet then."""
    if header.trust != Trust.PROVISIONAL.value:
        start_ns = parse_time(header.start)
        return Span(start_ns, start_ns)
    earliest_ns, latest_ns = (None if text is None else parse_time(text) for text in (told.earliest, told.latest))
    return looked_for(parse_time(told.start), earliest_ns, latest_ns, Trust(told.time_trust))


def _asked(detail: RequestDetail, said: FootageRequest) -> Asked:
    return Asked(
        hash=b64u(statements.digest(detail.request.encode())),
        requester=said.requester.id,
        key=key_id(from_b64u(said.key, 32)),
        purpose=said.purpose,
        span=said.span,
    )


def _within(asked: Span, choice: Choice) -> Span:
    if choice.span is None:
        return asked
    start, end = max(asked.start_ns, choice.span.start_ns), min(asked.end_ns, choice.span.end_ns)
    if end <= start:
        raise BadInput(f"{choice.span} lies outside the span that was asked for, {asked}")
    return Span(start, end)
