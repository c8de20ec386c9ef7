"""The clips of one doorbell: ring and index together. Begins clips, recovers them, gives out their facts.

Owns the order of things: the ring first, the index after it. What leaves the ring is `keeping`'s to say.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core import statements
from agent.core.encoding import b64u, format_time, key_id, new_id, parse_time
from agent.core.errors import Corrupt, Refused, Unavailable
from agent.core.frame import Track
from agent.core.identity import OwnerSet
from agent.core.manifest import Clock, Manifest, track_records
from agent.core.release import ClipFacts
from agent.core.sealing import CLIP_FORMAT, SUITE, ClipHeader, header_hash, read_header
from agent.core.statements import Kind
from agent.core.timeline import Span, Trust
from agent.store.index import ClipRow, Index, describe
from agent.store.ledger import Ledger
from agent.store.recording import OpenClip
from agent.store.ring import ClipFile, ClipReader, Ring
from agent.store.state import device_id

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClipStart:
    """What a new clip needs to know. Random bytes come from the caller: 16 for the id, 32 for the clip key."""

    start_ns: int
    trust: Trust
    boot: str
    boot_us: int
    clip_id: bytes
    clip_key: bytes


@dataclass(slots=True)
class Recovery:
    """What a start found: clips a crash had cut off, now closed; and files that are not clips, left alone."""

    mended: list[ClipRow] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


class ClipStore:
    """Ring and index over one connection; one instance a thread."""

    def __init__(self, ring: Ring, db: sqlite3.Connection, device: Ed25519PrivateKey) -> None:
        self.ring = ring
        self.index = Index(db)
        self._db = db
        self._device = device

    def begin(self, start: ClipStart, owners: OwnerSet, owners_hash: bytes) -> OpenClip:
        """A new clip, sealed to `owners`. OSError where the disk does not take it."""
        recipients = owners.recipients()
        sequence = self.index.last_used() + 1
        while self.ring.path(sequence).exists():  # unreadable, and left where it is
            sequence += 1
        header = ClipHeader(
            format=CLIP_FORMAT,
            suite=SUITE,
            clip=new_id(start.clip_id),
            device=device_id(self._device),
            sequence=sequence,
            previous=self._manifest_hash(sequence - 1),
            start=format_time(start.start_ns),
            trust=start.trust.value,
            boot=start.boot,
            boot_us=start.boot_us,
            owners=b64u(owners_hash),
            recipients=[key_id(public) for public in recipients],
        )
        return OpenClip(self.ring, self._db, self._device, header, recipients, start.clip_key, start.start_ns)

    def _manifest_hash(self, sequence: int) -> str:
        """Of the clip before; "" where it has left or cannot be read: that must not keep the next from beginning."""
        try:
            manifest = self.ring.layout(sequence).manifest if sequence else None
        except (Unavailable, Corrupt) as e:
            if self.ring.path(sequence).exists():
                log.warning("the next clip will not name the one before it, which cannot be read: %s", e)
            manifest = None
        return b64u(statements.digest(manifest)) if manifest else ""

    def probe(self) -> None:
        """Whether the disk takes something now; OSError or Unavailable says what is wrong."""
        self.ring.probe()

    def recover(self, progress: Callable[[int, int], None] = lambda _done, _all: None) -> Recovery:
        """Close what a crash left open, and index what the ring holds beyond the index.

        That is one clip, or all of them where the index is lost: `progress` hears of each, of how many there are.
        """
        self.forget(self.index.leaving())
        last = self.index.last_sequence()
        beyond = (sequence for sequence in self.ring.sequences_from(last) if sequence > last)
        found = Recovery()
        todo = sorted({*self.index.unfinished(), *beyond})
        rows: dict[int, ClipRow | None] = {}
        for done, sequence in enumerate(todo, 1):
            progress(done, len(todo))
            rows[sequence] = self._recover_one(sequence, found) if self.ring.path(sequence).exists() else None
        with self.index.at_once():  # not around the reading: the owner's page writes beside a recorder that recovers
            for sequence, row in rows.items():
                if row is None:
                    self.index.remove(sequence)
                else:
                    self.index.put(row)
        return found

    def _recover_one(self, sequence: int, found: Recovery) -> ClipRow | None:
        """What the index is to say of a clip; None of one that it is to forget."""
        try:
            clip = self.ring.recover(sequence, self.sign_cut)
            row = describe(sequence, clip, self._device.public_key())
        except (Corrupt, Refused) as e:
            if not self.ring.holds_frames(sequence):
                self.ring.delete(sequence)  # cut off inside its preamble: no record was ever acknowledged in it
            else:
                found.unreadable.append(str(e))  # left where it is: 'doorward check' names it
            return None
        if clip.manifest is None:
            row = replace(row, state="cut")  # up to the damage it can be opened; what lies behind is kept as well
            found.unreadable.append(f"{clip.path} is damaged {clip.good_bytes} bytes from its beginning")
        found.mended.append(row)
        return row

    def sign_cut(self, clip: ClipFile) -> bytes:
        """The manifest of a clip that a crash cut off."""
        header = read_header(clip.header)
        media = [r.header for r in clip.records if r.header.track in (Track.VIDEO, Track.AUDIO)]
        manifest = Manifest(
            clip=header.clip,
            header=b64u(header_hash(clip.header)),
            ended="cut",
            records=track_records(clip.digests()),
            duration_ns=max((h.start_ns + h.duration_ns for h in media), default=0),
            motion=[],
            gaps=[],
            clock=Clock(header.start, header.trust),
        )
        return statements.sign(Kind.MANIFEST, manifest, self._device)

    def forget(self, sequences: Sequence[int]) -> None:
        """Take clips that are marked as leaving off the disk, then out of the index; a crash between is finished by
        `recover`."""
        self.ring.delete(*sequences)
        if sequences:
            with self.index.at_once():
                for sequence in sequences:
                    self.index.remove(sequence)

    def overlapping(self, span: Span) -> list[ClipRow]:
        """Clips that share a moment with `span`, oldest first."""
        return self.index.overlapping(span)

    def facts(self, row: ClipRow) -> ClipFacts:
        """What a decision over this clip is checked against, from the ring itself (every byte read)."""
        clip = self.ring.read(row.sequence)
        return clip_facts(clip, row.begins())

    @contextmanager
    def reader(self, row: ClipRow) -> Iterator[ClipReader]:
        """The clip's file, open for reading stretches."""
        with ClipReader(self.ring.path(row.sequence)) as reader:
            yield reader


def clip_facts(clip: ClipFile, begins: Span | None = None) -> ClipFacts:
    """Facts of a clip file that was read in full. `begins` where it is known otherwise than by the header alone."""
    header = read_header(clip.header)
    start_ns = parse_time(header.start)
    return ClipFacts(
        clip=header.clip,
        header_hash=b64u(header_hash(clip.header)),
        begins=begins or Span(start_ns, start_ns),
        records={track: [r.header for r in clip.track(track)] for track in Track},
        hashes=clip.digests(),
    )


def owner_set_in_force(ledger: Ledger) -> bytes:
    """The owner set clips are sealed to; Unavailable where nobody has paired and no recovery code was made."""
    statement = ledger.owners()
    if statement is None:
        raise Unavailable("nobody can open what this doorbell would record yet; pair a phone first ('doorward pair')")
    return statement
