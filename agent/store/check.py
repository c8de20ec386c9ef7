"""The checker: proves the invariants of ring and database, and mends what can be mended without losing anything.

It needs no key that opens video. It may run beside a recorder: an unfinished newest clip is nothing wrong.
The invariants, by name: docs/design/storage.md.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core import consent, identity, statements
from agent.core.audit import check_chain
from agent.core.encoding import b64u
from agent.core.errors import Corrupt, Refused, Unavailable
from agent.core.manifest import read_manifest, track_records
from agent.core.release import Decision
from agent.core.sealing import header_hash, read_header
from agent.core.statements import Kind
from agent.store.clips import ClipStore
from agent.store.clocks import ClockFolder
from agent.store.index import ClipRow, Index, describe
from agent.store.ledger import Ledger
from agent.store.ring import ClipFile, Ring
from agent.store.state import device_id


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken invariant: its name, what is wrong, and whether `--repair` can mend it."""

    invariant: str
    text: str
    mendable: bool


class Checker:
    """Looks through one state directory."""

    def __init__(self, ring: Ring, clocks: Path, db: sqlite3.Connection, device: Ed25519PrivateKey) -> None:
        self._ring = ring
        self._clocks = ClockFolder(clocks, device)
        self._index = Index(db)
        self._ledger = Ledger(db)
        self._db = db
        self._device = device

    def findings(self) -> Iterator[Finding]:
        """Everything that is not as it should be."""
        yield from self._clips()
        yield from self._totals()
        yield from self._boots()
        yield from self._owners()
        yield from self._requests()
        yield from self._audit()

    def clip_count(self) -> int:
        """How many clips the ring holds."""
        return sum(1 for _ in self._ring.sequences())

    # -- R: the ring, I: the index

    def _clips(self) -> Iterator[Finding]:
        leaving = set(self._index.leaving())  # gone already as far as the ledger is concerned
        known = {row.sequence: row for row in self._index.all() if row.sequence not in leaving}
        before: tuple[int, str] | None = None
        sequences = [sequence for sequence in self._ring.sequences() if sequence not in leaving]
        for sequence in sequences:
            row = known.pop(sequence, None)
            try:
                clip = self._ring.read(sequence)
            except Corrupt as e:
                if sequence == sequences[-1] and not self._ring.holds_frames(sequence):
                    continue  # it is just being begun, or was when power was lost: the next start clears it away
                yield Finding("R1 a clip begins with a whole preamble", str(e), mendable=False)
                continue
            except Unavailable:
                if self._ring.path(sequence).exists():
                    raise
                if row is not None:
                    known[sequence] = row
                continue
            in_the_making = sequence == sequences[-1] and (row is None or row.state == "recording")
            yield from self._clip(sequence, clip, in_the_making=in_the_making)
            yield from self._link(sequence, clip, before)
            before = (sequence, b64u(statements.digest(clip.manifest))) if clip.manifest else None
            if clip.manifest is not None:
                yield from self._indexed(sequence, clip, row)
        for sequence, row in known.items():
            if row.state != "recording" and self._now(sequence) is not None:
                text = f"clip {sequence} is in the index but not in the ring"
                yield Finding("I1 the index is what the ring says", text, mendable=True)

    def _indexed(self, sequence: int, clip: ClipFile, row: ClipRow | None) -> Iterator[Finding]:
        try:
            should = self._index.placed(describe(sequence, clip, self._device.public_key()))
        except (Corrupt, Refused) as e:
            yield Finding("R3 the manifest is this device's and fits its clip", str(e), mendable=False)
            return
        if row is None or _facts(row) != _facts(should):
            row = self._now(sequence)  # reading takes minutes: a clip may have ended or left since
            if row is None and not self._ring.path(sequence).exists():
                return
        if row is None or _facts(row) != _facts(should):
            text = f"clip {sequence}: the index {'lacks it' if row is None else 'says something else than the ring'}"
            yield Finding("I1 the index is what the ring says", text, mendable=True)

    def _now(self, sequence: int) -> ClipRow | None:
        """What the index says of a clip by now; None of one that has left or is leaving."""
        return None if sequence in self._index.leaving() else self._index.by_sequence(sequence)

    def _clip(self, sequence: int, clip: ClipFile, *, in_the_making: bool) -> Iterator[Finding]:
        if read_header(clip.header).sequence != sequence:
            yield Finding("R2 a clip lies under its own number", f"{clip.path} holds another clip", mendable=False)
        if clip.manifest is None and self._ring.damaged_within(clip):
            text = f"{clip.path} is damaged {clip.good_bytes} bytes from its beginning; the rest of it is kept"
            yield Finding("R7 no frame is damaged before a whole one", text, mendable=False)
            return
        if clip.manifest is None:
            # The newest may be in the making, or have been when power was lost: the next start closes it as cut.
            if not in_the_making:
                text = f"clip {sequence} has no manifest: it was cut off or is damaged"
                yield Finding("R4 every ended clip has a manifest", text, mendable=True)
            return
        if clip.damaged:
            text = f"{clip.path} has {clip.file_bytes - clip.good_bytes} bytes behind its manifest"
            yield Finding("R5 nothing follows a manifest", text, mendable=False)
        try:
            manifest = read_manifest(clip.manifest, self._device.public_key())
        except (Corrupt, Refused) as e:
            yield Finding("R3 the manifest is this device's and fits its clip", f"{clip.path}: {e}", mendable=False)
            return
        if manifest.records != track_records(clip.digests()) or manifest.header != b64u(header_hash(clip.header)):
            text = f"{clip.path} does not hold the records its manifest lists"
            yield Finding("R3 the manifest is this device's and fits its clip", text, mendable=False)

    def _link(self, sequence: int, clip: ClipFile, before: tuple[int, str] | None) -> Iterator[Finding]:
        previous = read_header(clip.header).previous
        if previous and before and before[0] == sequence - 1 and before[1] != previous:
            text = f"clip {sequence} does not follow the clip before it: one of them was replaced"
            yield Finding("R6 each clip names the manifest before it", text, mendable=False)

    def _totals(self) -> Iterator[Finding]:
        counted = self._db.execute(
            "SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM clips WHERE state != 'recording'"
        ).fetchone()
        if tuple(counted) != self._index.ended():
            text = f"{counted[1]} bytes in {counted[0]} clips, but the sum says {self._index.ended()[1]}"
            yield Finding("I2 the sum of the index is right", text, mendable=True)

    # -- K: clocks

    def _boots(self) -> Iterator[Finding]:
        found = self._clocks.read()
        for text in found.unreadable:
            yield Finding("K1 a clock statement is this device's and lies under its number", text, mendable=False)
        there = {clock.boot for clock, _ in found.clocks}
        for boot, number in self._index.needed_boots():
            path = self._clocks.path(number)
            if boot not in there and not path.exists():
                text = f"{path} is gone: without it a lost index could not date the clips of that start of the machine"
                yield Finding("K2 the clock statement of every clip it corrects is there", text, mendable=False)

    # -- O: owners

    def _owners(self) -> Iterator[Finding]:
        device = device_id(self._device)
        before: bytes | None = None
        for row in self._db.execute("SELECT statement FROM owner_sets ORDER BY version"):
            token = bytes(row[0])
            try:
                identity.accept_owner_set(before, token, device, authorised_here=True)
            except Refused as e:
                yield Finding("O1 each owner set follows the one before", str(e), mendable=False)
            before = token

    # -- C: consent

    def _requests(self) -> Iterator[Finding]:
        for row in self._ledger.requests(limit=-1):
            if b64u(statements.digest(row.statement)) != row.hash:
                yield Finding("C1 a request is kept as it came", f"request {row.id} was altered", mendable=False)
            active = self._db.execute("SELECT COUNT(*) FROM holds WHERE request = ? AND active", (row.id,)).fetchone()
            if active[0] and row.state not in consent.NEEDS_CLIPS:
                text = f"request {row.id} is {row.state.value} but still holds clips"
                yield Finding("C2 only an open request holds clips", text, mendable=False)
            decided = row.state in (consent.State.AGREED, consent.State.SENDING, consent.State.DELIVERED)
            answer = None
            if row.decision is not None:
                answer = statements.unverified(Kind.DECISION, row.decision, Decision).answer
            if decided and answer != "share":
                text = f"request {row.id} is {row.state.value} without a signed yes"
                yield Finding("C3 nothing is sent without a signed yes", text, mendable=False)
        missing = self._db.execute(
            "SELECT COUNT(*) FROM holds WHERE active AND sequence NOT IN (SELECT sequence FROM clips)"
        ).fetchone()[0]
        if missing:
            yield Finding("C4 a held clip is not evicted", f"{missing} held clips are gone", mendable=False)

    # -- A: the audit chain

    def _audit(self) -> Iterator[Finding]:
        try:
            check_chain(self._ledger.entries())
        except Corrupt as e:
            yield Finding("A1 the log is an unbroken chain", str(e), mendable=False)


def _facts(row: object) -> tuple[object, ...]:
    names = (
        "id",
        "header_hash",
        "start_ns",
        "end_ns",
        "motion_start_ns",
        "motion_end_ns",
        "bytes",
        "records",
        "state",
        "trust",
        "earliest_ns",
        "latest_ns",
    )
    return tuple(getattr(row, name) for name in names)


def repair(
    store: ClipStore, device: Ed25519PrivateKey, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> list[str]:
    """Mend what can be mended: close cut-off clips, write the index anew from the ring. Nothing sealed is deleted.

    Returns what was done, in words. `progress` hears of each clip, of how many there are. The caller holds the state
    directory's lock.
    """
    found = store.recover(progress)
    done = [f"clip {row.sequence} was cut off and is closed now" for row in found.mended]
    left = {row.sequence: row for row in store.index.all()}
    sequences = list(store.ring.sequences())
    for number, sequence in enumerate(sequences, 1):
        progress(number, len(sequences))
        row = left.pop(sequence, None)
        try:
            clip = store.ring.recover(sequence, store.sign_cut)
            should = describe(sequence, clip, device.public_key())
        except (Corrupt, Refused) as e:
            done.append(f"clip {sequence} was left as it is: {e}")
            continue
        if clip.manifest is None:
            done.append(f"clip {sequence} was left as it is: it is damaged in the middle")
            should = replace(should, state="cut")
        if row is None or _facts(row) != _facts(store.index.placed(should)):
            store.index.put(should)
            done.append(f"clip {sequence} is in the index as the ring has it")
    for sequence in left:
        store.index.remove(sequence)
        done.append(f"clip {sequence}, which is not in the ring, is out of the index")
    if store.index.sum_up():
        done.append("the sum of the index is right again")
    return done
