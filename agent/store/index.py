"""Time → clips. A cache of the ring: what it says can be rebuilt from the clip files alone.

Owns the `clips` table and eviction's view of it; never reads what is sealed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.core.encoding import b64u, parse_time
from agent.core.errors import Corrupt
from agent.core.frame import Track
from agent.core.manifest import Manifest, read_manifest
from agent.core.sealing import CLIP_LIMIT_NS, header_hash, read_header
from agent.core.timeline import Span
from agent.store.ring import ClipFile


@dataclass(frozen=True, slots=True)
class ClipRow:
    """What is known of a clip without opening it. Times are UTC ns; motion times are None for a clip cut off."""

    sequence: int
    id: str
    header_hash: str
    start_ns: int
    end_ns: int
    motion_start_ns: int | None
    motion_end_ns: int | None
    bytes: int
    records: int
    trust: str
    state: str
    held: bool = False


_COLUMNS = (
    "sequence, id, header_hash, start_ns, end_ns, motion_start_ns, motion_end_ns, bytes, records, trust, state, "
    "EXISTS (SELECT 1 FROM holds WHERE holds.sequence = clips.sequence AND active) AS held"
)


_PUT = (
    "INSERT INTO clips VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (sequence) DO UPDATE SET id = excluded.id, "
    "header_hash = excluded.header_hash, start_ns = excluded.start_ns, end_ns = excluded.end_ns, "
    "motion_start_ns = excluded.motion_start_ns, motion_end_ns = excluded.motion_end_ns, bytes = excluded.bytes, "
    "records = excluded.records, trust = excluded.trust, state = excluded.state"
)


def describe(sequence: int, clip: ClipFile, device: Ed25519PublicKey) -> ClipRow:
    """The row of a clip file as the ring has it. Corrupt or Refused where header or manifest are not this device's."""
    header = read_header(clip.header)
    start_ns = parse_time(header.start)
    manifest: Manifest | None = read_manifest(clip.manifest, device) if clip.manifest is not None else None
    motion = manifest.motion if manifest else []
    fragments = [r.header for r in clip.records if r.header.track in (Track.VIDEO, Track.AUDIO)]
    end_ns = max((h.start_ns + h.duration_ns for h in fragments), default=0)
    if header.sequence != sequence:
        raise Corrupt(f"{clip.path} holds clip {header.sequence}: it was moved or copied")
    if manifest and manifest.header != b64u(header_hash(clip.header)):
        raise Corrupt(f"the manifest in {clip.path} belongs to another clip")
    return ClipRow(
        sequence=sequence,
        id=header.clip,
        header_hash=b64u(header_hash(clip.header)),
        start_ns=start_ns,
        end_ns=start_ns + end_ns,
        motion_start_ns=start_ns + motion[0][0] if motion else None,
        motion_end_ns=start_ns + motion[-1][1] if motion else None,
        bytes=clip.good_bytes,
        records=len(clip.records),
        trust=header.trust,
        state=manifest.ended if manifest else "recording",
    )


class Index:
    """The `clips` table over one connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def put(self, row: ClipRow) -> None:
        """Insert or replace what is known of a clip."""
        values = (
            row.sequence, row.id, row.header_hash, row.start_ns, row.end_ns, row.motion_start_ns,
            row.motion_end_ns, row.bytes, row.records, row.trust, row.state,
        )  # fmt: skip
        self._db.execute(_PUT, values)

    def extend(self, row: ClipRow) -> None:
        """The clip being recorded has grown: one page of the database is written, not one for each of its indexes."""
        self._db.execute(
            "UPDATE clips SET end_ns = ?, bytes = ?, records = ? WHERE sequence = ?",
            (row.end_ns, row.bytes, row.records, row.sequence),
        )

    def remove(self, sequence: int) -> None:
        """Forget a clip. Its number is not used again."""
        self._db.execute("DELETE FROM clips WHERE sequence = ?", (sequence,))
        self._db.execute("DELETE FROM leaving WHERE sequence = ?", (sequence,))

    def leaving(self) -> list[int]:
        """The numbers of clips that were marked to leave the ring and may still be there."""
        return [int(row[0]) for row in self._db.execute("SELECT sequence FROM leaving ORDER BY sequence")]

    def overlapping(self, span: Span, limit: int = -1) -> list[ClipRow]:
        """Clips that share a moment with `span`, oldest first."""
        # A clip is never longer than the limit, so that a range of starts finds all without a scan.
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM clips WHERE start_ns > ? AND start_ns < ? AND end_ns > ? "  # noqa: S608
            "ORDER BY start_ns, sequence LIMIT ?",
            (_sql(span.start_ns - 2 * CLIP_LIMIT_NS), _sql(span.end_ns), _sql(span.start_ns), limit),
        )
        return [_row(r) for r in rows]

    def newest(self, limit: int) -> list[ClipRow]:
        """The newest clips, newest first."""
        query = f"SELECT {_COLUMNS} FROM clips ORDER BY start_ns DESC, sequence DESC LIMIT ?"  # noqa: S608
        return [_row(r) for r in self._db.execute(query, (limit,))]

    def all(self) -> Iterator[ClipRow]:
        """Every clip by sequence."""
        for row in self._db.execute(f"SELECT {_COLUMNS} FROM clips ORDER BY sequence"):  # noqa: S608
            yield _row(row)

    def by_id(self, clip: str) -> ClipRow | None:
        """The clip with this id."""
        found = self._db.execute(f"SELECT {_COLUMNS} FROM clips WHERE id = ?", (clip,)).fetchone()  # noqa: S608
        return _row(found) if found else None

    def by_sequence(self, sequence: int) -> ClipRow | None:
        """The clip with this number."""
        query = f"SELECT {_COLUMNS} FROM clips WHERE sequence = ?"  # noqa: S608
        found = self._db.execute(query, (sequence,)).fetchone()
        return _row(found) if found else None

    def last_sequence(self) -> int:
        """The highest number in use, 0 for none."""
        return int(self._db.execute("SELECT COALESCE(MAX(sequence), 0) FROM clips").fetchone()[0])

    def last_used(self) -> int:
        """The highest number that was ever in use, also of a clip that has left."""
        found = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'clips'").fetchone()
        return int(found[0]) if found else 0

    def unfinished(self) -> list[int]:
        """Clips that are being recorded, or were when the process died."""
        return [int(row[0]) for row in self._db.execute("SELECT sequence FROM clips WHERE state = 'recording'")]

    def ended(self) -> tuple[int, int]:
        """(clips, bytes) of all clips but those being recorded."""
        row = self._db.execute("SELECT clips, bytes FROM ended").fetchone()
        return int(row[0]), int(row[1])

    def sum_up(self) -> bool:
        """Count `ended` anew; whether it was wrong."""
        before = self.ended()
        self._db.execute(
            "UPDATE ended SET (clips, bytes) = "
            "(SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM clips WHERE state != 'recording')"
        )
        return self.ended() != before

    def totals(self) -> tuple[int, int, int | None]:
        """(clips, bytes, start of the oldest in UTC ns or None)."""
        clips, size = self.ended()
        row = self._db.execute(
            "SELECT COUNT(*), COALESCE(SUM(bytes), 0), (SELECT MIN(start_ns) FROM clips) FROM clips "
            "WHERE state = 'recording'"
        ).fetchone()
        return clips + int(row[0]), size + int(row[1]), None if row[2] is None else int(row[2])

    def evictable(self) -> Iterator[ClipRow]:
        """Ended clips nobody holds and that are not leaving already, oldest first."""
        query = (
            f"SELECT {_COLUMNS} FROM clips WHERE state != 'recording' "  # noqa: S608
            "AND sequence NOT IN (SELECT sequence FROM holds WHERE active) "
            "AND sequence NOT IN (SELECT sequence FROM leaving) ORDER BY sequence"
        )
        for row in self._db.execute(query):
            yield _row(row)

    def up_to_dated(self, before_ns: int) -> list[ClipRow]:
        """Ended clips up to the newest whose synchronised time is before `before_ns`, oldest first."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM clips WHERE state != 'recording' "  # noqa: S608
            "AND sequence NOT IN (SELECT sequence FROM leaving) AND sequence <= "
            "(SELECT MAX(sequence) FROM clips WHERE start_ns < ? AND end_ns < ? AND trust = 'synchronised') "
            "ORDER BY sequence",
            (before_ns, before_ns),
        )
        return [_row(r) for r in rows]


def _sql(utc_ns: int) -> int:
    """SQLite's integers have 64 bits: years outside 1677 to 2262 mean before or after everything."""
    return max(-(2**63), min(utc_ns, 2**63 - 1))


def _row(found: sqlite3.Row) -> ClipRow:
    return ClipRow(**{**dict(found), "held": bool(found["held"])})
