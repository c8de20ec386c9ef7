"""A workload that says what it was promised, and a judge of what is left of it after any crash.

`python -m tests.crash ROOT ACKS ROUNDS` runs the workload over the state directory ROOT that `Crashed.at` made, and
writes one line to the file ACKS after each operation that returned. The keys of its people follow from a fixed seed.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from agent.core.consent import Event, State
from agent.core.frame import Track
from agent.core.identity import KeyPair
from agent.core.sealing import ClipKeys, header_hash, open_record, read_header, unwrap_clip_key
from agent.core.timeline import Span
from agent.store.check import Checker
from agent.store.database import connect
from agent.store.ledger import Ledger
from agent.store.recording import Fragment
from agent.store.ring import ClipReader, Ring
from agent.store.state import StateDirectory
from tests.household import NOW, SECOND, Household

Ack = Callable[[str], None]
BUDGET = 150_000
RECORDS = 4


def keys_of(name: str) -> KeyPair:
    return KeyPair.from_seeds(sha256(f"{name} opens".encode()).digest(), sha256(f"{name} signs".encode()).digest())


def make(root: Path) -> None:
    """A state directory with an owner, and a first clip in it. Nothing is open afterwards."""
    with contextlib.closing(Household.at(root).db) as db:
        db.execute("DELETE FROM owner_sets")
        home = opened(root)
        home.ledger.put_owners(1, home.owner_set_statement, NOW)
        home.db.close()


def opened(root: Path) -> Household:
    """The household in `root`, by one connection of the ledger's kind."""
    state = StateDirectory(root)
    owner, recovery, requester = (keys_of(name) for name in ("owner", "recovery", "requester"))
    return Household(state, connect(state.database), state.device_key(), owner, recovery, requester)


def work(root: Path, ack: Ack, rounds: int) -> None:
    """Record, hold, evict and delete, as recorder and desk do: over a connection each."""
    home = opened(root)
    recorder = replace(home, db=connect(home.state.database, cache_only=True))
    home.clips.recover()
    for number in range(rounds):
        clip = recorder.begin_clip(NOW + number * 60 * SECOND)
        sequence = clip.row.sequence
        ack(f"clip {sequence} {clip.row.id}")
        clip.add_init(Track.VIDEO, b"init of the video")
        ack(f"record {sequence} 1 0")
        for n in range(RECORDS):
            for row in recorder.keeper(BUDGET).make_room(clip.row.bytes, 5000):
                ack(f"gone {row.sequence}")
            data = bytes([number % 256, n]) * (300 + 331 * ((number + n) % 4))
            clip.add(Track.VIDEO, Fragment(data, n % 2 == 0, n * 3 * SECOND, 3 * SECOND))
            ack(f"record {sequence} 1 {n + 1}")
        clip.close([(0, SECOND)], [], ["person"])
        ack(f"record {sequence} 0 0")
        if number % 5 == 1:
            asked, _ = home.admit(Span(NOW, NOW + 36_000 * SECOND), NOW + number * 60 * SECOND, {sequence})
            ack(f"request {asked.id}")
        if number % 5 == 3:
            (waiting,) = home.ledger.in_state(State.ASKED)
            home.ledger.move(waiting.id, Event.EXPIRE, NOW + number * 60 * SECOND, "expired")
        if number % 5 == 4:
            home.keeper().delete(clip.row.id, home.owner.kid)
            ack(f"gone {sequence}")
    recorder.db.close()
    home.db.close()


def judge(root: Path, acks: Iterable[str]) -> int:
    """After a crash: start, check, open with the owner's key all that was promised. How many records there were."""
    home = opened(root)
    try:
        mended = home.clips.recover().mended
        assert all(row.state in ("cut", "closed") for row in mended)
        wrong = list(Checker(Ring(home.state.ring), home.state.clock, home.db, home.device).findings())
        assert not wrong, wrong
        promised = [line.split() for line in acks]
        present = openable(home)
        let_go = {line.split('"')[3] for line in audited(home)}
        ids = {int(words[1]): words[2] for words in promised if words[0] == "clip"}
        for words in promised:
            if words[0] == "record" and ids[int(words[1])] not in let_go:
                assert tuple(map(int, words[1:])) in present, f"{words} was acknowledged and is lost"
            elif words[0] == "gone":
                assert not home.clips.ring.path(int(words[1])).exists(), f"{words} came back"
                assert home.clips.index.by_sequence(int(words[1])) is None
            elif words[0] == "request":
                home.ledger.request(words[1])
        assert home.clips.recover().mended == []
        assert home.record_clip(NOW + 10**6 * SECOND).sequence > max(ids, default=0), "a number was used twice"
        assert not list(Checker(Ring(home.state.ring), home.state.clock, home.db, home.device).findings())
        return len(present)
    finally:
        home.db.close()


def audited(home: Household) -> list[str]:
    return [e.details for e in Ledger(home.db).entries() if e.what in ("evicted", "deleted")]


def openable(home: Household) -> set[tuple[int, int, int]]:
    """(sequence, track, index) of every record that opens with the owner's key."""
    found = set()
    for sequence in home.clips.ring.sequences():
        clip = home.clips.ring.read(sequence)
        assert read_header(clip.header).sequence == sequence
        secrets = ClipKeys(unwrap_clip_key(clip.header, clip.wraps, home.owner.opens), header_hash(clip.header))
        with ClipReader(clip.path) as reader:
            for r in clip.records:
                secret = secrets.record_secret(r.header.track, r.header.index)
                open_record(secret, reader.read(r.offset, r.length))
                found.add((sequence, int(r.header.track), r.header.index))
    return found


def acknowledge_in(path: Path) -> Ack:
    """Lines into a file, each by one write: they survive the process."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def ack(line: str) -> None:
        os.write(handle, line.encode() + b"\n")

    return ack


if __name__ == "__main__":
    work(Path(sys.argv[1]), acknowledge_in(Path(sys.argv[2])), int(sys.argv[3]))
