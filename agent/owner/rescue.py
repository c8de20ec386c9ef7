"""A card taken out of a doorbell, opened on another computer with the recovery code and nothing else.

Reads a state directory, never writes into it: a doorbell that died leaves its clips to their owner.
Source: docs/spec/identity.md "Coming back"; docs/spec/sealed-clip.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.core.encoding import parse_time
from agent.core.errors import BadInput, Corrupt, Unavailable
from agent.core.frame import Track
from agent.core.identity import KeyPair
from agent.core.plain_mp4 import FilmSound, remux_plain
from agent.core.sealing import ClipKeys, header_hash, open_record, read_header, unwrap_clip_key
from agent.store.durable import write_pieces
from agent.store.ring import ClipFile, ClipReader, Ring


@dataclass(frozen=True, slots=True)
class Rescued:
    """One clip: the film written, or why there is none. `start` RFC 3339, as the doorbell's clock had it."""

    clip: str
    start: str
    file: str | None
    problem: str | None


def ring_of(card: Path) -> Ring:
    """The ring on a card: in a state directory, or the ring's own directory. BadInput when there is none."""
    for place in (card / "ring", card, card / "var" / "lib" / "doorward" / "ring"):
        if place.is_dir() and next(iter(Ring(place).sequences()), None) is not None:
            return Ring(place)
    raise BadInput(f"there are no clips under {card}; name the doorbell's state directory or where its card is mounted")


def rescue(ring: Ring, keys: KeyPair, out: Path) -> Iterator[Rescued]:
    """Open every clip into an MP4 in `out`, oldest first. A clip that does not open is told of, not passed over."""
    owner = _folder(out)
    for sequence in ring.sequences():
        try:
            clip = ring.read(sequence)
        except Corrupt as e:
            yield Rescued("", "", None, str(e))
            continue
        header = read_header(clip.header)
        try:
            film = list(_film(clip, keys))
        except (Corrupt, BadInput) as e:
            yield Rescued(header.clip, header.start, None, str(e))
            continue
        path = out / f"{_file_name(header.start)}-{header.clip[:6]}.mp4"
        write_pieces(path, film, mode=0o600, owner=owner)
        yield Rescued(header.clip, header.start, path.name, None)


def _folder(out: Path) -> tuple[int, int] | None:
    """Make `out`. User and group its films are for, where root works for somebody else: whose the folder above is."""
    missing = [place for place in (out.absolute(), *out.absolute().parents) if not place.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        if os.geteuid() != 0:
            return None
        found = (missing[-1].parent if missing else out).stat()
        for place in missing:
            os.chown(place, found.st_uid, found.st_gid)
    except OSError as e:
        raise Unavailable(f"{out} cannot be made: {e.strerror}; name a folder you may write to") from e
    return found.st_uid, found.st_gid


def _film(clip: ClipFile, keys: KeyPair) -> Iterator[bytes]:
    secrets = ClipKeys(unwrap_clip_key(clip.header, clip.wraps, keys.opens), header_hash(clip.header))
    with ClipReader(clip.path) as reader:
        video, sound = (
            [
                open_record(secrets.record_secret(track, r.header.index), reader.read(r.offset, r.length))
                for r in clip.track(track)
            ]
            for track in (Track.VIDEO, Track.AUDIO)
        )
    if len(video) < 2:
        raise BadInput("it ended before its first second of video was written")
    heard = FilmSound(sound[0], sound[1:]) if len(sound) > 1 else None
    yield from remux_plain(video[0], video[1:], heard)


def _file_name(start: str) -> str:
    parse_time(start)  # from a header anybody could have written: nothing but a time becomes a file's name
    return start.replace(":", "-")
