"""What an owner's clips show: labels and posters, opened on this computer. Source: docs/spec/sealed-clip.md."""

from __future__ import annotations

import msgspec

from agent.core.about import check_poster, read_about
from agent.core.encoding import format_time
from agent.core.errors import NotARecipient, Unavailable
from agent.core.frame import Track
from agent.core.owner_api import Clips, ClipSummary
from agent.owner.session import OpenedClip, OwnerSession


async def labels(session: OwnerSession, opened: OpenedClip) -> list[str]:
    """What a clip's close record says it shows; nothing for a clip that was cut off."""
    if not opened.facts.hashes[Track.ABOUT]:
        return []
    (data,) = await session.records(opened, Track.ABOUT, [0])
    return read_about(data).labels


async def poster(session: OwnerSession, opened: OpenedClip) -> bytes:
    """A clip's poster, a JPEG file; Unavailable where it has none."""
    if not opened.facts.hashes[Track.PICTURE]:
        raise Unavailable(f"clip {opened.facts.clip} has no poster: it was cut off, or its source gave no pictures")
    (data,) = await session.records(opened, Track.PICTURE, [0])
    return check_poster(data)


async def clips(session: OwnerSession, start_ns: int | None, end_ns: int | None, limit: int) -> list[ClipSummary]:
    """The newest clips (between two moments of UTC), newest first, with their labels.

    Labels stay None where this owner cannot open the clip: it is being recorded, or is older than the pairing.
    """
    query = f"?limit={limit}"
    for name, moment_ns in (("from", start_ns), ("to", end_ns)):
        if moment_ns is not None:
            query += f"&{name}={format_time(moment_ns)}"
    found = (await session.client.get(f"/api/clips{query}", Clips)).clips
    return [await _with_labels(session, clip) for clip in found]


async def _with_labels(session: OwnerSession, clip: ClipSummary) -> ClipSummary:
    if clip.state == "recording":
        return clip
    try:
        opened = await session.open_clip(clip.id)
    except NotARecipient:
        return clip
    return msgspec.structs.replace(clip, labels=await labels(session, opened))
