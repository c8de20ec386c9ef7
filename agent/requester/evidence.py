"""Verifies an evidence folder, offline and from the files alone; every check has a name and a file.

Owns the order of the checks and what they find; writes nothing. It trusts no key beforehand: it shows that the same
device, owner and requester signed throughout, and names their keys, so that they can be compared with known ones.
Source: docs/spec/transfer.md "Evidence folder".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from agent.core import identity, statements
from agent.core.boot_clock import BootClock, clip_time, read_clock
from agent.core.bundle import Bundle, Offer, Part, Receipt, Stretch, read_offer, read_receipt
from agent.core.encoding import b64u, format_time, from_b64u, from_json, key_id, parse_time, to_json
from agent.core.errors import BadInput, Corrupt, Refused
from agent.core.frame import Track
from agent.core.identity import RequesterStatement, read_requester_statement
from agent.core.manifest import Manifest, read_manifest, span_digest
from agent.core.release import Decision, SharedClip, TrackSpan, read_decision
from agent.core.request import FootageRequest, check_shape
from agent.core.sealing import HEADER_LIMIT, KEY_BYTES, ClipHeader, header_hash, read_header, record_hash
from agent.core.statements import Kind
from agent.core.timeline import Trust
from agent.requester import folder as names
from agent.requester.film import OpenedFragments, RecordFile, opened_tracks
from agent.requester.folder import TransferFolder, clip_file, film_name

_FILMS = (
    *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".f4v", ".mkv", ".webm", ".avi", ".wmv", ".asf", ".flv", ".mxf"),
    *(".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".m2v", ".vob", ".ogv", ".ogm", ".h264", ".264", ".h265", ".265"),
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its name, the file it is about, whether it passed, and a sentence."""

    name: str
    file: str
    ok: bool
    text: str


@dataclass(frozen=True, slots=True)
class FilmTime:
    """When a film was really recorded, by the clock statement of its boot. UTC ns; bounds are of the film's beginning,
    None where nothing is known."""

    start_ns: int
    end_ns: int
    earliest_ns: int | None
    latest_ns: int | None
    trust: Trust


@dataclass(frozen=True, slots=True)
class ClipEvidence:
    """One film and where it comes from: times as sealed, and in `time` as corrected where a clock statement came with
    it. Times UTC ns; hashes raw."""

    film: str
    film_sha256: bytes
    shared: SharedClip
    header: ClipHeader
    manifest: Manifest
    start_ns: int
    end_ns: int
    time: FilmTime | None

    @property
    def sound(self) -> bool:
        """Whether sound was released with it."""
        return any(span.track == "audio" for span in self.shared.tracks)


@dataclass(slots=True)
class Evidence:
    """What the folder says, as far as it was verified; later parts are missing when a check before them failed."""

    requester: RequesterStatement | None = None
    request: FootageRequest | None = None
    offer: Offer | None = None
    decision: Decision | None = None
    clips: list[ClipEvidence] = field(default_factory=list)
    receipt: Receipt | None = None
    hashes: dict[str, str] = field(default_factory=dict)  # file → hash of the statement, b64u
    checks: list[Check] = field(default_factory=list)

    @property
    def verified(self) -> bool:
        """Every check was made and passed."""
        return bool(self.checks) and all(check.ok for check in self.checks)

    @property
    def failed(self) -> Check | None:
        """The first check that failed; those after it were not made."""
        return next((check for check in self.checks if not check.ok), None)


class _Stop(Exception):
    """A check failed, and the rest depends on it."""


def examine(folder: TransferFolder) -> Evidence:
    """Make every check on the evidence, in order, up to the first that fails. The readable report is not among them."""
    found = Evidence()
    try:
        _statements(folder, found)
        for k in range(len(_there(found.decision).clips)):
            _clip(folder, found, k)
        with check(found, "bundle", names.OFFER, "Every file is, byte for byte, what the doorbell offered."):
            _bundle(folder, _there(found.offer))
        _receipt(folder, found)
        _nothing_else(folder, found)
    except _Stop:
        pass
    return found


@contextmanager
def check(found: Evidence, name: str, file: str, passed: str) -> Iterator[None]:
    """One check: what is raised inside makes it fail and ends the examination."""
    try:
        yield
    except (Refused, Corrupt, BadInput, OSError) as e:
        found.checks.append(Check(name, file, False, str(e)))
        raise _Stop from e
    found.checks.append(Check(name, file, True, passed))


def read_keys(folder: TransferFolder, k: int, shared: SharedClip) -> dict[Track, dict[int, bytes]]:
    """The released record keys of clip `k`; Corrupt unless they are exactly those of the agreed records."""
    data = folder.read(clip_file(k, "keys.json"))
    texts = from_json(data, dict[str, dict[int, str]], "the file of released keys")
    if {t: sorted(keys) for t, keys in texts.items()} != {span.track: span.indexes for span in shared.tracks}:
        raise Corrupt("the released keys are not those of exactly the agreed records")
    if to_json(texts) != data:
        raise Corrupt("the file of released keys is not written the one way it can be")
    return {Track[t.upper()]: {i: from_b64u(text, KEY_BYTES) for i, text in keys.items()} for t, keys in texts.items()}


def _there(value: T | None) -> T:
    assert value is not None, "an earlier check provides it"
    return value


def _statements(folder: TransferFolder, found: Evidence) -> None:
    with check(found, "requester", names.REQUESTER, "The requester's statement is signed with its own key."):
        found.requester = requester = read_requester_statement(_read(folder, found, names.REQUESTER))
    with check(found, "request", names.REQUEST, "The request is signed with the requester's key."):
        found.request = _request(_read(folder, found, names.REQUEST), requester)
    with check(found, "offer", names.OFFER, "The offer is signed by the doorbell and answers this request."):
        found.offer = offer = read_offer(_read(folder, found, names.OFFER))
        _same("the offer", "request", offer.request, found.hashes[names.REQUEST])
        _same("the offer", "requester", offer.requester, requester.id)
    for name, length in offer.parts:
        path = folder.path / name
        if not path.is_file() or path.stat().st_size != length:
            with check(found, "files", name, ""):
                raise Corrupt(f"it is missing, or not the {length} bytes long that the doorbell offered")
    with check(found, "decision", names.DECISION, "An owner of the doorbell agreed to exactly these records."):
        found.decision = _decision(_read(folder, found, names.DECISION), found)


def _read(folder: TransferFolder, found: Evidence, name: str) -> bytes:
    token = folder.read(name)
    found.hashes[name] = b64u(statements.digest(token))
    return token


def _same(what: str, name: str, value: str, expected: str) -> None:
    if value != expected:
        raise Corrupt(f"{what} names another {name} than the one in this folder")


def _request(token: bytes, requester: RequesterStatement) -> FootageRequest:
    keys = identity.public_key(from_b64u(requester.signs, 32))
    request = statements.read(Kind.REQUEST, token, keys, FootageRequest)
    check_shape(request)
    request.area.check()
    _same("the request", "requester", request.requester.id, requester.id)
    _same("the request", "agency", request.requester.agency, requester.agency)
    _same("the request", "key", request.key, requester.opens)
    return request


def _bundle(folder: TransferFolder, offer: Offer) -> None:
    """The files joined are the bundle whose digests the offer carries."""
    bundle = Bundle([Part(name, (Stretch(name, 0, length),)) for name, length in offer.parts])

    def read(name: str, offset: int, length: int) -> bytes:
        with (folder.path / name).open("rb") as file:
            file.seek(offset)
            return file.read(length)

    if [b64u(hashlib.sha256(page).digest()) for page in bundle.pages(read)] != offer.pages:
        raise Corrupt("a release is not as the doorbell offered it (all other files were checked by themselves)")


def _decision(token: bytes, found: Evidence) -> Decision:
    offer, request = _there(found.offer), _there(found.request)
    _same("the offer", "decision", offer.decision, found.hashes[names.DECISION])
    decision = read_decision(token, identity.public_key(from_b64u(offer.owner, 32)))
    if decision.answer != "share":
        raise Corrupt("the decision is not to share")
    _same("the decision", "request", decision.request, found.hashes[names.REQUEST])
    _same("the decision", "doorbell", decision.device, key_id(from_b64u(offer.device, 32)))
    _same("the decision", "requester", decision.requester, request.requester.id)
    _same("the decision", "key", decision.key, key_id(from_b64u(request.key, 32)))
    _same("the decision", "purpose", decision.purpose, request.purpose)
    clocks = {
        clip_file(k, names.CLOCK) for k in range(len(decision.clips))
    }  # what a clip needs to be dated, no more of it
    if {name for name, _ in offer.parts} - clocks != _agreed_parts(decision):
        raise Corrupt("the offer does not hold exactly the clips and tracks that were agreed to")
    if not parse_time(decision.not_before) <= parse_time(offer.issued) < parse_time(decision.expires):
        raise Corrupt("it was offered before the owner's time to think again was over, or after the decision expired")
    return decision


def _agreed_parts(decision: Decision) -> set[str]:
    found = {names.DECISION}
    for k, shared in enumerate(decision.clips):
        files = ["header.json", "manifest.jws", "release", *(f"{span.track}.records" for span in shared.tracks)]
        found.update(clip_file(k, file) for file in files)
    return found


def _clip(folder: TransferFolder, found: Evidence, k: int) -> None:
    offer, shared = _there(found.offer), _there(found.decision).clips[k]
    title = f"clip {k + 1}"
    with check(found, f"{title}: header", clip_file(k, "header.json"), "It is the clip that was agreed to."):
        raw = folder.read(clip_file(k, "header.json"), HEADER_LIMIT)
        header = read_header(raw)
        _same("the decision", "clip header", shared.header, b64u(header_hash(raw)))
        _same("the decision", "clip", shared.clip, header.clip)
        _same("the header", "doorbell", header.device, key_id(from_b64u(offer.device, 32)))
    with check(found, f"{title}: manifest", clip_file(k, "manifest.jws"), "The doorbell signed what it recorded."):
        token = _read(folder, found, clip_file(k, "manifest.jws"))
        manifest = read_manifest(token, identity.public_key(from_b64u(offer.device, 32))[header.device])
        _same("the manifest", "clip", manifest.clip, header.clip)
        _same("the manifest", "clip header", manifest.header, shared.header)
        clip_start_ns = parse_time(manifest.clock.start)
    with check(found, f"{title}: keys", clip_file(k, "keys.json"), "Keys were released for the agreed records only."):
        keys = read_keys(folder, k, shared)
    for span in shared.tracks:
        file = clip_file(k, f"{span.track}.records")
        passed = "Each record is the one recorded and agreed to, and opens unaltered."
        with check(found, f"{title}: {span.track}", file, passed), _records(folder, file) as records:
            _track(records, span, manifest, header_hash(raw), keys[Track[span.track.upper()]])
            if span.track == "video":
                start_ns, end_ns = _shown(records, clip_start_ns)
    time = _clock(folder, found, k, header, (start_ns, end_ns))
    film = film_name(k)
    what = "pictures and sound" if Track.AUDIO in keys else "pictures"
    files = {track: folder.path / clip_file(k, f"{track.name.lower()}.records") for track in keys}
    with (
        check(found, f"{title}: film", film, f"The film holds exactly these records' {what}, unaltered."),
        opened_tracks(files, keys) as tracks,
    ):
        digest = _film(folder, film, tracks[Track.VIDEO].film(tracks.get(Track.AUDIO)))
    found.clips.append(ClipEvidence(film, digest, shared, header, manifest, start_ns, end_ns, time))


def _clock(
    folder: TransferFolder, found: Evidence, k: int, header: ClipHeader, sealed: tuple[int, int]
) -> FilmTime | None:
    """The times of clip `k`'s film by the clock statement that came with it, None where none did.

    `sealed`: when it begins and ends by the clip's header, UTC ns.
    """
    file, offer = clip_file(k, names.CLOCK), _there(found.offer)
    if file not in {name for name, _ in offer.parts}:
        return None
    passed = "The doorbell signed what its clock was worth when it recorded this clip."
    with check(found, f"clip {k + 1}: clock", file, passed):
        clock = read_clock(_read(folder, found, file), identity.public_key(from_b64u(offer.device, 32))[header.device])
        _same("the clock statement", "start of the machine", clock.boot, header.boot)
        if header.trust != Trust.PROVISIONAL.value:
            raise Corrupt("the time of this clip was known when it was recorded; nothing corrects it")
    return _placed(clock, header, *sealed)


def _placed(clock: BootClock, header: ClipHeader, start_ns: int, end_ns: int) -> FilmTime:
    """The times of a film as the clip's clock statement corrects them."""
    sealed_ns = parse_time(header.start)
    clip = clip_time(sealed_ns, Trust(header.trust), header.boot_us, clock)
    into_ns = start_ns - sealed_ns
    earliest_ns, latest_ns = (None if ns is None else ns + into_ns for ns in (clip.earliest_ns, clip.latest_ns))
    moved_ns = clip.start_ns - sealed_ns
    return FilmTime(start_ns + moved_ns, end_ns + moved_ns, earliest_ns, latest_ns, clip.trust)


def _records(folder: TransferFolder, file: str) -> RecordFile:
    return RecordFile(folder.path / file)


def _track(
    records: RecordFile, span: TrackSpan, manifest: Manifest, clip_header_hash: bytes, keys: dict[int, bytes]
) -> None:
    track = Track[span.track.upper()]
    if [h.index for h in records.headers] != span.indexes:
        raise Corrupt("it does not hold exactly the agreed records, in order")
    recorded = manifest.hashes(track)
    opened = OpenedFragments(records, keys)
    for position, header in enumerate(records.headers):
        if header.header_hash != clip_header_hash or header.track is not track:
            raise Corrupt(f"record {header.index} belongs to another clip or track")
        if header.index >= len(recorded) or record_hash(records.record(position)) != recorded[header.index]:
            raise Corrupt(f"record {header.index} is not the one the doorbell recorded")
        try:
            opened.open(position)
        except Corrupt as e:
            raise Corrupt(f"record {header.index}: {e}") from e
    if b64u(span_digest(recorded, span.first, span.last)) != span.digest:
        raise Corrupt("the records are not those the owner looked at and agreed to")


def _shown(records: RecordFile, clip_start_ns: int) -> tuple[int, int]:
    """UTC ns of the first and behind the last picture released."""
    shown = records.headers[1:]
    start_ns = clip_start_ns + min(h.start_ns for h in shown)
    end_ns = clip_start_ns + max(h.start_ns + h.duration_ns for h in shown)
    format_time(start_ns), format_time(end_ns)  # refuses what no calendar has
    return start_ns, end_ns


def _film(folder: TransferFolder, name: str, pieces: Iterator[bytes]) -> bytes:
    """SHA-256 of the film; Corrupt unless it is exactly what the records make."""
    digest = hashlib.sha256()
    try:
        with (folder.path / name).open("rb") as file:
            for piece in pieces:
                if file.read(len(piece)) != piece:
                    raise Corrupt("the film is not the one these records make")
                digest.update(piece)
            if file.read(1):
                raise Corrupt("the film goes on after the records end")
    except OSError as e:
        raise Corrupt(f"the film is missing or cannot be read ({e.strerror})") from e
    return digest.digest()


def _receipt(folder: TransferFolder, found: Evidence) -> None:
    with check(found, "receipt", names.RECEIPT, "The requester signed for what it received."):
        token = _read(folder, found, names.RECEIPT)
        keys = identity.public_key(from_b64u(_there(found.requester).signs, 32))
        found.receipt = read_receipt(token, folder.read(names.OFFER), keys)


def _nothing_else(folder: TransferFolder, found: Evidence) -> None:
    """A film or clip file beside those verified would be taken for evidence."""
    expected = {name for name, _ in _there(found.offer).parts} | {clip.film for clip in found.clips}
    expected |= {clip_file(k, "keys.json") for k in range(len(found.clips))}
    for name in folder.files():
        if name not in expected and (name.startswith("clips/") or name.lower().endswith(_FILMS)):
            with check(found, "nothing added", name, ""):
                raise Corrupt("this file is not part of what was agreed to; remove it from the folder")
    found.checks.append(Check("nothing added", ".", True, "The folder holds no other film."))
