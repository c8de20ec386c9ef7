"""A clip as lists of clips tell it, on the page and in a terminal. Owns nothing; reads a row of the index."""

from __future__ import annotations

from agent.core.encoding import format_time
from agent.core.owner_api import ClipSummary
from agent.store.index import ClipRow


def summary(row: ClipRow) -> ClipSummary:
    """A clip's row as the owner API tells it."""

    def told(utc_ns: int | None) -> str | None:
        return None if utc_ns is None else format_time(utc_ns)

    return ClipSummary(
        id=row.id,
        start=format_time(row.start_ns),
        end=format_time(row.end_ns),
        motion_start=told(row.motion_start_ns),
        motion_end=told(row.motion_end_ns),
        bytes=row.bytes,
        records=row.records,
        labels=None,
        held=row.held,
        time_trust=row.trust,
        earliest=told(row.earliest_ns),
        latest=told(row.latest_ns),
        state=row.state,
    )
