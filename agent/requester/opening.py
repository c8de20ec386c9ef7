"""From a complete bundle to evidence: taken apart, opened with the requester's key, verified, signed for, reported.

Every step can be done again: after a power cut it starts over from `bundle.part`, which goes last.
Source: docs/spec/transfer.md "Receipt", "Evidence folder".
"""

from __future__ import annotations

from agent.core import statements
from agent.core.bundle import Offer, Receipt, read_offer
from agent.core.encoding import b64u, format_time, from_b64u, to_json
from agent.core.errors import BadInput, Corrupt, Refused
from agent.core.frame import Track
from agent.core.identity import public_key
from agent.core.release import Decision, open_release, read_decision
from agent.core.statements import Kind
from agent.requester import folder as names
from agent.requester.evidence import Check, Evidence, examine
from agent.requester.film import opened_tracks
from agent.requester.folder import PartialBundle, TransferFolder, clip_file, film_name
from agent.requester.key_file import RequesterIdentity
from agent.requester.report import report_html, report_json


def open_bundle(folder: TransferFolder, identity: RequesterIdentity, now_ns: int) -> Evidence:
    """Make the evidence folder of a complete bundle. What does not verify gets a report that says so, and no receipt.

    Unavailable when the disk fails; the bundle stays and can be opened again. Corrupt or Refused when there is no good
    offer in the folder any more.
    """
    token = folder.read(names.OFFER)
    offer = read_offer(token)
    folder.remove(names.REPORT_HTML)  # one of a former try would make the folder complete as soon as it has a receipt
    with PartialBundle(folder, offer.size) as partial:
        partial.split(folder, offer)
    found = Evidence()
    try:
        _open_clips(folder, identity, offer)
        folder.write(names.RECEIPT, _receipt(token, offer, identity, now_ns))
        found = examine(folder)
    except (Refused, Corrupt, BadInput) as e:
        found.checks.append(Check("open", names.OFFER, False, str(e)))
    if not found.verified:
        folder.remove(names.RECEIPT)
    write_reports(folder, found)
    if found.verified:
        folder.remove(names.PARTIAL)
    return found


def write_reports(folder: TransferFolder, found: Evidence) -> None:
    """Both reports, the one for people last: with the receipt it marks the folder complete."""
    folder.write(names.REPORT_JSON, report_json(found))
    folder.write(names.REPORT_HTML, report_html(found))


def verify_folder(folder: TransferFolder) -> Evidence:
    """Every check, and that the reports in the folder are the ones this evidence makes."""
    found = examine(folder)
    if not found.verified:
        return found
    for name, made in ((names.REPORT_JSON, report_json(found)), (names.REPORT_HTML, report_html(found))):
        check = _check_report(folder, name, made)
        found.checks.append(check)
        if not check.ok:
            break
    return found


def _check_report(folder: TransferFolder, name: str, made: bytes) -> Check:
    try:
        there = folder.read(name)
    except Corrupt as e:
        return Check("report", name, False, str(e))
    if there != made:
        return Check("report", name, False, "it does not say what the evidence says, or another version wrote it")
    return Check("report", name, True, f"{name} says what the evidence says.")


def _receipt(token: bytes, offer: Offer, identity: RequesterIdentity, now_ns: int) -> bytes:
    receipt = Receipt(
        transfer=offer.transfer,
        request=offer.request,
        decision=offer.decision,
        offer=b64u(statements.digest(token)),
        bytes=offer.size,
        received=format_time(now_ns),
    )
    return statements.sign(Kind.RECEIPT, receipt, identity.keys.signs)


def _open_clips(folder: TransferFolder, identity: RequesterIdentity, offer: Offer) -> None:
    """Open each release and write its keys and its film."""
    token = folder.read(names.DECISION)
    decision: Decision = read_decision(token, public_key(from_b64u(offer.owner, 32)))
    for k, shared in enumerate(decision.clips):
        keys = open_release(token, shared, folder.read(clip_file(k, "release")), identity.keys.opens)
        texts = {t.name.lower(): {i: b64u(secret) for i, secret in found.items()} for t, found in keys.items()}
        folder.write(clip_file(k, "keys.json"), to_json(texts))
        files = {track: folder.path / clip_file(k, f"{track.name.lower()}.records") for track in keys}
        with opened_tracks(files, keys) as tracks:
            folder.write_pieces(film_name(k), tracks[Track.VIDEO].film(tracks.get(Track.AUDIO)))
