"""The report of an evidence folder: `report.json` for programs, `report.html` for people, both made from the evidence
alone, so that the same folder always gives the same report.

The page is one file without scripts, plays the films beside it, prints, and follows the reader's light or dark screen.
Everything that came from outside is escaped. Source: docs/spec/transfer.md "Evidence folder".
"""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

import msgspec

from agent import __version__
from agent.core.area import Circle
from agent.core.encoding import NS_PER_S, b64u, format_time, from_b64u, key_id, parse_time, to_json
from agent.core.request import FootageRequest
from agent.core.timeline import Trust
from agent.requester import folder as names
from agent.requester.evidence import ClipEvidence, Evidence, FilmTime
from agent.requester.report_style import STYLE

FORMAT = "doorward.report.v1"
WRITTEN_BY = f"doorward {__version__}"

_TRUST = {
    "synchronised": "the doorbell's clock was set by the network",
    "provisional": "the doorbell's clock had not been set yet; the time may be wrong",
    "replayed": "the recording was replayed; whoever replayed it named the time",
}
_ENDED = {"closed": "complete", "cut": "cut short by a loss of power"}


def report_json(found: Evidence) -> bytes:
    """The report for programs."""
    document = {
        "format": FORMAT,
        "written_by": WRITTEN_BY,
        "verified": found.verified,
        "failed": msgspec.to_builtins(found.failed),
        "request": _request_facts(found),
        "agreed": _agreed_facts(found),
        "clips": [_clip_facts(clip) for clip in found.clips],
        "received": found.receipt.received if found.receipt else None,
        "hashes": found.hashes,
        "checks": found.checks,
    }
    return msgspec.json.format(to_json(document), indent=1) + b"\n"


def report_html(found: Evidence) -> bytes:
    """The report for people."""
    sections = [
        _verdict(found),
        _films(found),
        _request(found),
        _custody(found),
        _checks(found),
        _proof(found),
        _keys(found),
    ]
    title = f"Footage for case {found.request.case_number}" if found.request else "Footage report"
    return (
        "<!doctype html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<header><p class=kind>Report of released footage</p>\n<h1>{escape(title)}</h1></header>\n"
        + "".join(sections)
        + f"<footer>Written by {escape(WRITTEN_BY)} from the files in this folder. "
        "All times are UTC.</footer>\n</main>\n</body>\n</html>\n"
    ).encode()


def _request_facts(found: Evidence) -> dict[str, object] | None:
    request = found.request
    if request is None:
        return None
    return {
        "id": request.id,
        "requester": request.requester,
        "case_number": request.case_number,
        "incident_type": request.incident_type,
        "from": request.span_from,
        "to": request.span_to,
        "issued": request.issued,
    }


def _agreed_facts(found: Evidence) -> dict[str, object] | None:
    decision, offer = found.decision, found.offer
    if decision is None or offer is None:
        return None
    owner = key_id(from_b64u(offer.owner, 32))
    return {"device": decision.device, "owner": owner, "issued": decision.issued, "not_before": decision.not_before}


def _clip_facts(clip: ClipEvidence) -> dict[str, object]:
    return {
        "film": clip.film,
        "sha256": clip.film_sha256.hex(),
        "clip": clip.shared.clip,
        "from": format_time(clip.start_ns),
        "to": format_time(clip.end_ns),
        "time_trust": clip.manifest.clock.trust,
        "corrected": corrected_facts(clip.time),
        "recorded": clip.manifest.ended,
        "tracks": clip.shared.tracks,
        "gaps": clip.manifest.gaps,
    }


def corrected_facts(time: FilmTime | None) -> dict[str, object] | None:
    """A film's time by its clock statement, for programs; None where none came with it."""
    if time is None:
        return None
    return {
        "from": format_time(time.start_ns),
        "to": format_time(time.end_ns),
        "earliest": None if time.earliest_ns is None else format_time(time.earliest_ns),
        "latest": None if time.latest_ns is None else format_time(time.latest_ns),
        "time_trust": time.trust.value,
    }


def _verdict(found: Evidence) -> str:
    failed = found.failed
    if failed is not None or not found.verified:
        what = (
            f"The check <b>{escape(failed.name)}</b> of <code>{escape(failed.file)}</code> failed: " if failed else ""
        )
        why = escape(failed.text) if failed else "not every check could be made"
        return f'<section class="verdict bad"><h2>Not verified</h2><p>{what}{why}.</p></section>\n'
    return (
        '<section class="verdict good"><h2>Verified</h2>'
        f"<p>{_summary(found)} All {len(found.checks)} checks passed: the films were recorded by one doorbell, "
        "released by an owner of it for this request, and have not been altered since.</p></section>\n"
    )


def _summary(found: Evidence) -> str:
    """Who asked for what, who agreed when, in one sentence."""
    if found.request is None or found.decision is None or found.offer is None:
        return ""
    asker = found.request.requester
    owner = key_id(from_b64u(found.offer.owner, 32))
    return (
        f"{escape(asker.agency)} asked for video of {_span(found.request.span.start_ns, found.request.span.end_ns)}; "
        f"an owner of the doorbell (key {_code(owner)}) agreed on {_time(parse_time(found.decision.issued))}."
    )


def _films(found: Evidence) -> str:
    return "".join(_film(clip) for clip in found.clips)


def _film(clip: ClipEvidence) -> str:
    length_s = (clip.end_ns - clip.start_ns) / NS_PER_S
    spans = ", ".join(f"{span.track} {span.first} to {span.last}" for span in clip.shared.tracks)
    gaps = "; ".join(f"{(e - s) / NS_PER_S:.1f} s missing: {escape(why)}" for s, e, why in clip.manifest.gaps)
    rows = [
        *_when(clip),
        ("Length", f"{length_s:.3f} seconds, {'with' if clip.sound else 'without'} sound"),
        ("Recording", f"{_ENDED.get(clip.manifest.ended, clip.manifest.ended)}; records released: {spans}"),
        ("Gaps in the recording", gaps or "none"),
        ("Clip id", _code(clip.shared.clip)),
        ("SHA-256 of the film", _code(clip.film_sha256.hex())),
    ]
    name = escape(clip.film, quote=True)
    return (
        f"<section class=film><h2>{name}</h2>\n"
        f'<video controls preload="metadata" src="{name}"></video>\n{_table(rows)}</section>\n'
    )


def _when(clip: ClipEvidence) -> list[tuple[str, str]]:
    """What time it shows: as sealed, and as its clock statement corrects it, with how far either can be trusted."""
    sealed, named = _span(clip.start_ns, clip.end_ns), clip.manifest.clock.trust
    trust = _TRUST.get(named, escape(named))
    time = clip.time
    if time is None:
        return [("Shows", sealed), ("Time", trust)]
    if time.trust is Trust.CORRECTED and time.latest_ns is not None:
        within_s = -(-(time.latest_ns - time.start_ns) // NS_PER_S)
        how = (
            f"corrected by the doorbell's clock statement, right to within {within_s} seconds: the network set its "
            "clock at another time, and it had counted the seconds in between"
        )
    else:
        how = f"still uncertain: {_bounds(time)}"
    return [("Shows", _span(time.start_ns, time.end_ns)), ("Time", how), ("Time as sealed", f"{sealed}; {trust}")]


def _bounds(time: FilmTime) -> str:
    earliest = None if time.earliest_ns is None else f"not before {_time(time.earliest_ns)}"
    latest = None if time.latest_ns is None else f"not after {_time(time.latest_ns)}"
    known = " and ".join(bound for bound in (earliest, latest) if bound)
    return f"the film began {known}" if known else "nothing is known of when the film began but the time as sealed"


def _request(found: Evidence) -> str:
    request = found.request
    if request is None:
        return ""
    asker = request.requester
    rows = [
        ("Agency", escape(asker.agency)),
        ("Officer", escape(asker.officer)),
        ("Contact", escape(asker.contact)),
        ("Case number", escape(request.case_number)),
        ("Incident", escape(request.incident_type)),
        ("Message", f"<span class=text>{escape(request.message)}</span>"),
        ("Time asked about", _span(request.span.start_ns, request.span.end_ns)),
        ("Area asked about", _area(request)),
        ("Purpose", escape(request.purpose)),
        ("How long it is kept", escape(request.retention)),
    ]
    shown = [(name, value or "<i>not stated</i>") for name, value in rows]
    return f"<section><h2>What was asked, and by whom</h2>\n{_table(shown)}</section>\n"


def _area(request: FootageRequest) -> str:
    size = f"{request.area.square_miles():.3f} square miles"
    if isinstance(request.area, Circle):
        lon, lat = request.area.center
        return f"within {request.area.radius_m:g} m of latitude {lat:.6f}, longitude {lon:.6f} ({size})"
    corners = "; ".join(f"{lat:.6f}, {lon:.6f}" for lon, lat in request.area.coordinates[0][:-1])
    return f"{size}, with the corners (latitude, longitude) {corners}"


def _custody(found: Evidence) -> str:
    """Who did what when, each with the file that shows it."""
    steps: list[tuple[int, str, str]] = []
    for k, clip in enumerate(found.clips):
        what = f"the doorbell recorded what {clip.film} shows"
        shown = names.CLOCK if clip.time else "manifest.jws"
        steps.append(((clip.time or clip).start_ns, what, names.clip_file(k, shown)))
    if found.request:
        asker = found.request.requester
        what = f"{asker.agency} asked and signed its request"
        steps.append((parse_time(found.request.issued), what, names.REQUEST))
    if found.decision:
        what = f"an owner agreed to {len(found.decision.clips)} clip(s) and signed for exactly these records"
        steps.append((parse_time(found.decision.issued), what, names.DECISION))
        what = "the owner's time to think again was over"
        steps.append((parse_time(found.decision.not_before), what, names.DECISION))
    if found.offer:
        what = "the doorbell offered what had been agreed to, and signed the offer"
        steps.append((parse_time(found.offer.issued), what, names.OFFER))
    if found.receipt:
        what = f"{found.receipt.bytes:,} bytes had been received and verified; the requester signed for them"
        steps.append((parse_time(found.receipt.received), what, names.RECEIPT))
    rows = "".join(
        f"<tr><td class=time>{_time(at)}</td><td>{escape(what)}</td><td>{_code(file)}</td></tr>\n"
        for at, what, file in sorted(steps, key=lambda step: step[0])
    )
    head = "<tr><th>When</th><th>What</th><th>Shown by</th></tr>"
    return f"<section><h2>Chain of custody</h2>\n<table class=list>{head}\n{rows}</table></section>\n"


def _checks(found: Evidence) -> str:
    rows = "".join(
        f'<tr class="{"ok" if c.ok else "no"}"><td>{"✓" if c.ok else "✗"}</td><td>{escape(c.name)}</td>'
        f"<td>{escape(c.text)}</td><td>{_code(c.file)}</td></tr>\n"
        for c in found.checks
    )
    head = "<tr><th></th><th>Check</th><th>Result</th><th>File</th></tr>"
    return f"<section><h2>Checks</h2>\n<table class=list>{head}\n{rows}</table></section>\n"


def _proof(found: Evidence) -> str:
    if not found.verified:
        return ""
    return (
        "<section><h2>What this shows, and what it does not</h2>\n<ul>"
        "<li>The films hold the pictures as the doorbell's camera encoded them, without new compression. Nothing was "
        "added, left out or altered between the first and the last record released.</li>"
        "<li>An owner's key signed for exactly these records, in answer to exactly this request, and only their keys "
        "were released: nothing else of what the doorbell recorded can be opened with them.</li>"
        "<li>Whose home it is, and whose hand made the owner's signature, are not in these files. Compare the keys "
        "below with those the home's doorbell shows.</li>"
        "<li>The times are the doorbell's own; each film says how its clock was set.</li>"
        "<li>Copies called <code>…-c2pa.mp4</code>, where the requester made some, are for programs that show content "
        "credentials. The requester signs for those, with a certificate of its own making that chains to no authority; "
        "nothing on this page depends on them.</li>"
        "<li>Anyone can repeat every check without a key and without a network: "
        "<code>doorward requester verify FOLDER</code>.</li></ul></section>\n"
    )


def _keys(found: Evidence) -> str:
    rows: list[tuple[str, str]] = []
    if found.requester:
        rows.append(("Requester's key", _code(found.requester.id)))
    if found.offer:
        rows.append(("Doorbell's key", _code(b64u(from_b64u(found.offer.device, 32)))))
        rows.append(("Doorbell's key id", _code(key_id(from_b64u(found.offer.device, 32)))))
        rows.append(("Key of the owner who agreed", _code(b64u(from_b64u(found.offer.owner, 32)))))
        rows.append(("Its key id", _code(key_id(from_b64u(found.offer.owner, 32)))))
    rows += [(f"SHA-256 of {escape(name)}", _code(from_b64u(text, 32).hex())) for name, text in found.hashes.items()]
    return f"<section><h2>Keys and hashes</h2>\n{_table(rows)}</section>\n" if rows else ""


def _table(rows: list[tuple[str, str]]) -> str:
    """Rows of (name, HTML that is escaped already)."""
    body = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>\n" for name, value in rows)
    return f"<table class=facts>\n{body}</table>"


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _span(start_ns: int, end_ns: int) -> str:
    """Both times, the date once where it is the same day."""
    (first_day, first), (last_day, last) = _day_and_time(start_ns), _day_and_time(end_ns)
    return f"{first_day}, {first} to {last if first_day == last_day else f'{last_day}, {last}'} UTC"


def _time(utc_ns: int) -> str:
    """`23 November 2026, 14:12:10.250 UTC`."""
    day, time = _day_and_time(utc_ns)
    return f"{day}, {time} UTC"


def _day_and_time(utc_ns: int) -> tuple[str, str]:
    seconds, rest_ns = divmod(utc_ns, NS_PER_S)
    moment = datetime.fromtimestamp(seconds, UTC)
    fraction = f".{rest_ns // 1_000_000:03d}" if rest_ns else ""
    return f"{moment.day} {moment:%B %Y}", f"{moment:%H:%M:%S}{fraction}"
