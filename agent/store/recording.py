"""One clip while it is being recorded: seals each fragment, appends it, and tells the index how far it has come.

Holds the clip key, the only place in the doorbell that does, and drops it when the clip ends. A clip is never
continued by another process: what a crash left is closed as `cut` by `clips.ClipStore`.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core import statements
from agent.core.about import write_about
from agent.core.encoding import b64u, to_json
from agent.core.errors import Unavailable
from agent.core.frame import Track
from agent.core.manifest import Clock, Manifest, track_records
from agent.core.sealing import (
    FLAG_INIT,
    FLAG_KEY,
    TAG_BYTES,
    ClipHeader,
    ClipKeys,
    RecordHeader,
    header_hash,
    seal_record,
    wrap_clip_key,
)
from agent.core.statements import Kind
from agent.store.clip_writer import ClipWriter
from agent.store.index import ClipRow, Index
from agent.store.ring import Ring

# The index hears of a clip when it begins, when it ends, and so often in between. A page of the database a record would
# be more than 1 % of what a camera of 500 kbit/s records; a start reads an unfinished clip from the ring anyway.
_TOLD_EVERY_NS = 10_000_000_000


@dataclass(frozen=True, slots=True)
class Fragment:
    """What one record will hold: fragment bytes and their time in the clip, ns."""

    data: bytes
    key: bool
    start_ns: int
    duration_ns: int


class OpenClip:
    """A clip that is being written. After every call what it was given is durable. OSError passes through."""

    def __init__(
        self,
        ring: Ring,
        db: sqlite3.Connection,
        device: Ed25519PrivateKey,
        header: ClipHeader,
        recipients: list[bytes],
        clip_key: bytes,
        start_ns: int,
    ) -> None:
        data = to_json(header)
        self._device = device
        self._header = header
        self._index = Index(db)
        self._keys = ClipKeys(clip_key, header_hash(data))
        self._counts: dict[Track, int] = {}
        self._end_ns = 0
        self._writer: ClipWriter = ring.create(header.sequence, data, wrap_clip_key(clip_key, data, recipients))
        self._row = ClipRow(
            sequence=header.sequence,
            id=header.clip,
            header_hash=b64u(self._keys.header_hash),
            start_ns=start_ns,
            end_ns=start_ns,
            motion_start_ns=None,
            motion_end_ns=None,
            bytes=self._writer.bytes_written,
            records=0,
            trust=header.trust,
            state="recording",
            boot=header.boot,
            boot_us=header.boot_us,
        )
        self._told_ns = 0
        try:
            self._index.put(self._row)
        except Unavailable:
            self._writer.close()
            raise

    @property
    def row(self) -> ClipRow:
        """What is durable of the clip."""
        return replace(
            self._row,
            end_ns=self._row.start_ns + self._end_ns,
            bytes=self._writer.bytes_written,
            records=sum(self._counts.values()),
        )

    @property
    def bytes_written(self) -> int:
        """How long the clip's file is."""
        return self._writer.bytes_written

    def add_init(self, track: Track, data: bytes) -> None:
        """Record 0 of a track: how to decode it."""
        self._seal(track, FLAG_INIT, Fragment(data, key=False, start_ns=0, duration_ns=0))

    def add(self, track: Track, fragment: Fragment) -> None:
        """The next fragment of a track."""
        self._seal(track, FLAG_KEY if fragment.key else 0, fragment)
        self._end_ns = max(self._end_ns, fragment.start_ns + fragment.duration_ns)
        if self._end_ns - self._told_ns >= _TOLD_EVERY_NS:
            self._told_ns = self._end_ns
            self._index.extend(self.row)

    def add_poster(self, jpeg: bytes, at_ns: int) -> None:
        """The clip's picture, of the moment `at_ns` in it (brought within the clip); once, at the end."""
        moment_ns = min(max(0, at_ns), self._end_ns)
        self._seal(Track.PICTURE, 0, Fragment(jpeg, key=False, start_ns=moment_ns, duration_ns=0))

    def close(self, motion: list[tuple[int, int]], gaps: list[tuple[int, int, str]], labels: list[str]) -> bytes:
        """Close record and manifest; returns the manifest. Times in ns from the clip's time zero."""
        self._seal(Track.ABOUT, 0, Fragment(write_about(labels, motion), False, self._end_ns, duration_ns=0))
        manifest = statements.sign(
            Kind.MANIFEST,
            Manifest(
                clip=self._header.clip,
                header=self._row.header_hash,
                ended="closed",
                records=track_records(self._writer.digests),
                duration_ns=self._end_ns,
                motion=motion,
                gaps=gaps,
                clock=Clock(self._header.start, self._header.trust),
            ),
            self._device,
        )
        self._writer.finish(manifest)
        times = (self._row.start_ns + motion[0][0], self._row.start_ns + motion[-1][1]) if motion else (None, None)
        self._row = replace(self._row, motion_start_ns=times[0], motion_end_ns=times[1], state="closed")
        self._index.put(self.row)
        return manifest

    def abandon(self) -> None:
        """Let go after a failed disk; what is durable is closed as `cut` at the next recovery."""
        self._writer.close()

    def cut_back(self) -> None:
        """Take away what a failing disk never acknowledged: after a failed sync, memory may show what the disk lost."""
        self._writer.cut_back()

    def _seal(self, track: Track, flags: int, fragment: Fragment) -> None:
        index = self._counts.get(track, 0)
        header = RecordHeader(
            self._keys.header_hash,
            track,
            flags,
            index,
            fragment.start_ns,
            fragment.duration_ns,
            len(fragment.data) + TAG_BYTES,
        )
        self._writer.append(
            track, header.total_bytes, lambda place: seal_record(self._keys, header, fragment.data, place)
        )
        self._counts[track] = index + 1
