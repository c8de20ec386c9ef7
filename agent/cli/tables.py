"""Tables and times for people: local time, sizes in words, a strip that shows where in a clip something moved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.markup import escape
from rich.table import Table

from agent.core.encoding import parse_time
from agent.core.owner_api import ClipSummary, RequestRow

_STRIP_CELLS = 16
_ID_CELLS = 22


def local_time(utc: str) -> str:
    """An RFC 3339 time as this machine's wall clock shows it, to the second."""
    return datetime.fromtimestamp(parse_time(utc) / 1e9).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def short_time(utc: str) -> str:
    """The same in 15 characters, for tables: clips are days old, not years."""
    return datetime.fromtimestamp(parse_time(utc) / 1e9).astimezone().strftime("%d %b %H:%M:%S")


def _short_span(start: str, end: str) -> str:
    """From when to when, to the minute, the day once where it is one."""
    days, times = zip(*((said[:6], said[7:12]) for said in map(short_time, (start, end))), strict=True)
    return f"{days[0]} {times[0]} – {times[1] if days[0] == days[1] else f'{days[1]} {times[1]}'}"


def size(count: int) -> str:
    """Bytes in words."""
    if count < 1000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count / 1000:.0f} kB"
    return f"{count / 1_000_000:.1f} MB" if count < 1_000_000_000 else f"{count / 1_000_000_000:.2f} GB"


def counted(count: int, noun: str, several: str | None = None) -> str:
    """A number of things: 1 clip, 2 clips; `several` where that is more than an s."""
    return f"{count} {noun}" if count == 1 else f"{count} {several or noun + 's'}"


def strip(clip: ClipSummary) -> str:
    """A clip as a line: thin where nothing moved, thick where something did."""
    start, end = parse_time(clip.start), parse_time(clip.end)
    if clip.motion_start is None or clip.motion_end is None or end <= start:
        return "·" * _STRIP_CELLS
    first, last = parse_time(clip.motion_start), parse_time(clip.motion_end)
    cells = []
    for n in range(_STRIP_CELLS):
        at = start + (end - start) * (2 * n + 1) // (2 * _STRIP_CELLS)
        cells.append("━" if first <= at <= last else "─")
    return "".join(cells)


def clip_table(rows: Sequence[ClipSummary]) -> Table:
    """Clips, oldest first."""
    table = Table(box=None, pad_edge=False)
    table.add_column("clip", no_wrap=True, min_width=_ID_CELLS)  # half an id is of no use to any command
    for name in ("from", "s", "motion", "size", ""):
        table.add_column(name, no_wrap=True, justify="right" if name in ("s", "size") else "left")
    for row in rows:
        seconds = (parse_time(row.end) - parse_time(row.start)) / 1e9
        marks = " ".join(
            word
            for word, shown in (
                (row.state, row.state != "closed"),
                ("time uncertain", row.time_trust == "provisional"),
                ("held", row.held),
                *((n, True) for n in row.labels or ()),
            )
            if shown
        )
        table.add_row(row.id, short_time(row.start), f"{seconds:.1f}", strip(row), size(row.bytes), escape(marks))
    return table


def request_table(rows: Sequence[RequestRow]) -> Table:
    """Requests, newest first."""
    table = Table(box=None, pad_edge=False)
    table.add_column("request", no_wrap=True, min_width=_ID_CELLS)
    for name in ("who", "case", "about", "clips", "state"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(
            row.id,
            escape(row.agency),
            escape(row.case_number),
            _short_span(row.from_, row.to),
            str(row.clips),
            row.state,
        )
    return table
