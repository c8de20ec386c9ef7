"""Time → clips. A cache of the ring and the clock statements: what it says can be rebuilt from those files alone.

Owns the `clips` table, where the times of clips recorded before the clock was set come from (`unset_clips`), and
eviction's view of them; never reads what is sealed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.core import boot_clock, statements
from agent.core.boot_clock import BootClock
from agent.core.encoding import b64u, parse_time
from agent.core.errors import Corrupt
from agent.core.frame import Track
from agent.core.manifest import Manifest, read_manifest
from agent.core.sealing import CLIP_LIMIT_NS, header_hash, read_header
from agent.core.statements import Kind
from agent.core.timeline import MAY_LIE_WITHIN_NS, Span, Trust, looked_for
from agent.store.database import together, transaction
from agent.store.ring import ClipFile


@dataclass(frozen=True, slots=True)
class ClipRow:
    """What is known of a clip without opening it. Times are UTC ns; motion times are None for a clip cut off.

    `earliest_ns`, `latest_ns`: for a clip recorded before the clock was set, between which moments it began, as far as
    that is known. `boot`, `boot_us` as in the header.
    """

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
    boot: str = ""
    boot_us: int = 0
    earliest_ns: int | None = None
    latest_ns: int | None = None

    def begins(self) -> Span:
        """Between which moments it is looked for."""
        return looked_for(self.start_ns, self.earliest_ns, self.latest_ns, Trust(self.trust))


_COLUMNS = (
    "sequence, id, header_hash, start_ns, end_ns, motion_start_ns, motion_end_ns, bytes, records, trust, state, "
    "EXISTS (SELECT 1 FROM holds WHERE holds.sequence = clips.sequence AND active) AS held, "
    "COALESCE(unset.boot, '') AS boot, COALESCE(unset.boot_us, 0) AS boot_us, unset.earliest_ns, unset.latest_ns"
)
_CLIPS = "clips LEFT JOIN unset_clips AS unset USING (sequence)"


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
        boot=header.boot,
        boot_us=header.boot_us,
    )


def _placed(row: ClipRow, clock: BootClock | None) -> ClipRow:
    """A row as the header has it, its times moved to where the clock statement of its boot places them."""
    found = boot_clock.clip_time(row.start_ns, Trust(row.trust), row.boot_us, clock)
    return _moved(
        replace(row, earliest_ns=found.earliest_ns, latest_ns=found.latest_ns, trust=found.trust.value), found.start_ns
    )


def _moved(row: ClipRow, start_ns: int) -> ClipRow:
    by_ns = start_ns - row.start_ns
    motion = [None if ns is None else ns + by_ns for ns in (row.motion_start_ns, row.motion_end_ns)]
    return replace(
        row, start_ns=start_ns, end_ns=row.end_ns + by_ns, motion_start_ns=motion[0], motion_end_ns=motion[1]
    )


class Index:
    """The `clips` table over one connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def put(self, row: ClipRow) -> None:
        """Insert or replace what is known of a clip, its times as its header has them: they are placed here."""
        if row.trust != Trust.PROVISIONAL.value:
            self._put(row)
            return
        with together(self._db):  # with what the clock was worth: that may be told anew meanwhile
            written_ns, row = row.start_ns, self.placed(row)
            values = (row.sequence, row.boot, row.boot_us, written_ns, row.earliest_ns, row.latest_ns)
            self._db.execute("INSERT OR REPLACE INTO unset_clips VALUES (?,?,?,?,?,?)", values)
            self._put(row)

    def placed(self, row: ClipRow) -> ClipRow:
        """A row whose times are those of its header, with the best times known."""
        return _placed(row, self.boot(row.boot)) if row.trust == Trust.PROVISIONAL.value else row

    def _put(self, row: ClipRow) -> None:
        values = (
            row.sequence, row.id, row.header_hash, row.start_ns, row.end_ns, row.motion_start_ns,
            row.motion_end_ns, row.bytes, row.records, row.trust, row.state,
        )  # fmt: skip
        self._db.execute(_PUT, values)

    def at_once(self) -> AbstractContextManager[None]:
        """Let what is put and removed inside be one commit: a wait for the disk for each clip takes minutes."""
        return transaction(self._db)

    def extend(self, row: ClipRow) -> None:
        """The clip being recorded has grown: one page of the database is written, not one for each of its indexes."""
        self._db.execute(
            "UPDATE clips SET end_ns = start_ns + ?, bytes = ?, records = ? WHERE sequence = ?",
            (row.end_ns - row.start_ns, row.bytes, row.records, row.sequence),
        )

    def remove(self, sequence: int) -> None:
        """Forget a clip. Its number is not used again."""
        self._db.execute("DELETE FROM clips WHERE sequence = ?", (sequence,))
        self._db.execute("DELETE FROM unset_clips WHERE sequence = ?", (sequence,))
        self._db.execute("DELETE FROM leaving WHERE sequence = ?", (sequence,))

    def leaving(self) -> list[int]:
        """The numbers of clips that were marked to leave the ring and may still be there."""
        return [int(row[0]) for row in self._db.execute("SELECT sequence FROM leaving ORDER BY sequence")]

    # -- clocks

    def boot(self, boot: str) -> BootClock | None:
        """What the clock of a boot was worth, if that is known; verified when it was put here."""
        statement = self.clock_statement(boot)
        return statements.unverified(Kind.CLOCK, statement, BootClock) if statement is not None else None

    def clock_statement(self, boot: str) -> bytes | None:
        """The clock statement of a boot, verbatim."""
        found = self._db.execute("SELECT statement FROM boots WHERE boot = ?", (boot,)).fetchone()
        return bytes(found[0]) if found else None

    def put_boots(self, boots: Sequence[tuple[BootClock, bytes]]) -> int:
        """Take over verified clock statements, and with them the times of their clips: one transaction.

        Returns how many clips got another time or trust.
        """
        changed = 0
        with transaction(self._db):
            for clock, token in boots:
                values = (clock.boot, clock.number, token)
                self._db.execute("INSERT OR REPLACE INTO boots VALUES (?,?,?)", values)
                changed += self._correct(clock)
        return changed

    def _correct(self, clock: BootClock) -> int:
        query = f"SELECT {_COLUMNS}, written_ns FROM {_CLIPS} WHERE unset.boot = ?"  # noqa: S608
        changed = 0
        for found in self._db.execute(query, (clock.boot,)).fetchall():
            fields = dict(found)
            written_ns = fields.pop("written_ns")
            now = _row(fields)
            new = _placed(_moved(replace(now, trust=Trust.PROVISIONAL.value), written_ns), clock)
            if new == now:
                continue
            changed += (new.start_ns, new.trust) != (now.start_ns, now.trust)
            self._db.execute(
                "UPDATE clips SET start_ns = ?, end_ns = ?, motion_start_ns = ?, motion_end_ns = ?, trust = ? "
                "WHERE sequence = ?",
                (new.start_ns, new.end_ns, new.motion_start_ns, new.motion_end_ns, new.trust, new.sequence),
            )
            self._db.execute(
                "UPDATE unset_clips SET earliest_ns = ?, latest_ns = ? WHERE sequence = ?",
                (new.earliest_ns, new.latest_ns, new.sequence),
            )
        return changed

    def unneeded_boots(self, newest: int) -> list[tuple[str, int]]:
        """(boot, number) of those no clip needs any more, the `newest` ones not among them."""
        rows = self._db.execute(
            "SELECT boot, number FROM boots WHERE boot NOT IN (SELECT boot FROM unset_clips) "
            "AND number <= (SELECT MAX(number) FROM boots) - ?",
            (newest,),
        )
        return [(str(row[0]), int(row[1])) for row in rows]

    def needed_boots(self) -> list[tuple[str, int]]:
        """(boot, number) of those whose statement dates a clip."""
        rows = self._db.execute("SELECT boot, number FROM boots WHERE boot IN (SELECT boot FROM unset_clips)")
        return [(str(row[0]), int(row[1])) for row in rows]

    def forget_boot(self, boot: str) -> None:
        """Forget a clock statement."""
        self._db.execute("DELETE FROM boots WHERE boot = ?", (boot,))

    # -- looking

    def overlapping(self, span: Span, limit: int = -1) -> list[ClipRow]:
        """Clips that share a moment with `span` by their best times, or may do so (MAY_LIE_WITHIN_NS); oldest first."""
        # A clip is never longer than the limit, so that a range of starts finds all without a scan.
        touches = "start_ns > :from - :long AND start_ns < :to AND end_ns > :from"
        query = (
            f"SELECT {_COLUMNS} FROM {_CLIPS} WHERE {touches} UNION ALL "  # noqa: S608
            f"SELECT {_COLUMNS} FROM unset_clips AS unset CROSS JOIN clips USING (sequence) "
            "WHERE latest_ns IS NOT NULL AND earliest_ns > :from - :long - :within AND earliest_ns < :to "
            "AND latest_ns - earliest_ns <= :within AND latest_ns + end_ns - start_ns > :from "
            f"AND trust = 'provisional' AND NOT ({touches}) ORDER BY start_ns, sequence LIMIT :limit"
        )
        values = {
            "from": _sql(span.start_ns), "to": _sql(span.end_ns), "limit": limit, "long": 2 * CLIP_LIMIT_NS,
            "within": MAY_LIE_WITHIN_NS,
        }  # fmt: skip
        return [_row(dict(r)) for r in self._db.execute(query, values)]

    def newest(self, limit: int) -> list[ClipRow]:
        """The newest clips, newest first."""
        return list(self._clips("ORDER BY start_ns DESC, sequence DESC LIMIT ?", limit))

    def all(self) -> Iterator[ClipRow]:
        """Every clip by sequence."""
        return self._clips("ORDER BY sequence")

    def by_id(self, clip: str) -> ClipRow | None:
        """The clip with this id."""
        return next(self._clips("WHERE id = ?", clip), None)

    def by_sequence(self, sequence: int) -> ClipRow | None:
        """The clip with this number."""
        return next(self._clips("WHERE sequence = ?", sequence), None)

    def _clips(self, which: str, *values: int | str) -> Iterator[ClipRow]:
        for found in self._db.execute(f"SELECT {_COLUMNS} FROM {_CLIPS} {which}", values):  # noqa: S608
            yield _row(dict(found))

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

    def staying_bytes(self) -> int:
        """Bytes of all clips that ended and are not marked to leave."""
        leaving = "SELECT COALESCE(SUM(bytes), 0) FROM clips WHERE sequence IN (SELECT sequence FROM leaving)"
        return int(self._db.execute(f"SELECT bytes - ({leaving}) FROM ended").fetchone()[0])  # noqa: S608

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
        return self._clips(f"{_EVICTABLE} ORDER BY sequence")

    def still_evictable(self, sequences: Sequence[int]) -> set[int]:
        """Which of these are such clips."""
        numbers = ",".join(str(int(sequence)) for sequence in sequences)
        which = f"SELECT sequence FROM clips {_EVICTABLE} AND sequence IN ({numbers})"  # noqa: S608
        return {int(row[0]) for row in self._db.execute(which)}

    def evictable_bytes(self) -> int:
        """Bytes of all those."""
        return int(self._db.execute(f"SELECT COALESCE(SUM(bytes), 0) FROM clips {_EVICTABLE}").fetchone()[0])  # noqa: S608

    def up_to_dated(self, before_ns: int) -> list[ClipRow]:
        """Ended clips up to the newest whose time is known and before `before_ns`, oldest first."""
        which = (
            "WHERE state != 'recording' AND sequence NOT IN (SELECT sequence FROM leaving) AND sequence <= "
            "(SELECT MAX(sequence) FROM clips WHERE start_ns < ? AND end_ns < ? "
            "AND trust IN ('synchronised', 'corrected')) ORDER BY sequence"
        )
        return list(self._clips(which, before_ns, before_ns))


_EVICTABLE = (
    "WHERE state != 'recording' AND sequence NOT IN (SELECT sequence FROM holds WHERE active) "
    "AND sequence NOT IN (SELECT sequence FROM leaving)"
)


def _sql(utc_ns: int) -> int:
    """SQLite's integers have 64 bits: years outside 1677 to 2262 mean before or after everything."""
    return max(-(2**62), min(utc_ns, 2**63 - 1))


def _row(fields: dict[str, Any]) -> ClipRow:
    return ClipRow(**{**fields, "held": bool(fields["held"])})
