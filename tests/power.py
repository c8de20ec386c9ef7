"""What a disk may hold after a power cut: a recorded series of changes, up to any of them, with what was not synced yet
kept, dropped, torn or reordered.

A file's bytes are certain once it was synced, a name once its folder was. Everything else may have happened or not, in
any order; of a write any sectors may have arrived, and what they hold may be damaged. That is less than ext4 promises:
it orders names itself, and keeps a new file's name when the file is synced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

SECTOR = 512


@dataclass(frozen=True, slots=True)
class Change:
    """One system call: write, truncate, sync, create, remove or folder, with the path it is about."""

    what: str
    path: str
    data: bytes = b""
    at: int = 0


@dataclass(slots=True)
class Disk:
    """Changes in the order they were made."""

    changes: list[Change] = field(default_factory=list)

    def moments(self) -> Iterator[int]:
        """How many changes were made when the power is cut: before and after each sync, where certainty changes."""
        told = {n for n, change in enumerate(self.changes) if change.what == "sync"}
        yield from sorted(told | {n + 1 for n in told})

    def leave(self, root: Path, cut: int, fate: str, dice: Random) -> None:
        """Make `root`, a copy of the state before all changes, what is left after `cut` of them."""
        certain, pending = self._split(cut)
        for change in certain:
            _apply(root, change)
        kept = [c for c in pending if fate == "everything" or (fate.startswith("some") and dice.random() < 0.5)]
        if fate.startswith("some"):
            dice.shuffle(kept)
        for change in kept:
            if "torn" in fate and change.what == "write":
                for piece in _torn(change, dice, flipped="flipped" in fate):
                    _apply(root, piece)
            else:
                _apply(root, change)
        for shm in root.glob("*.db-shm"):
            shm.unlink()  # memory that processes share: not on the disk after a cut

    def _split(self, cut: int) -> tuple[list[Change], list[Change]]:
        """(what is certain, what is not) of the first `cut` changes."""
        certain: set[int] = set()
        open_changes: dict[str, list[int]] = {}
        for n, change in enumerate(self.changes[:cut]):
            if change.what == "sync":
                certain.update(open_changes.pop(change.path, []))
            elif change.what in ("create", "remove", "folder"):
                open_changes.setdefault(str(Path(change.path).parent), []).append(n)
            else:
                open_changes.setdefault(change.path, []).append(n)
        made = range(cut)
        return (
            [self.changes[n] for n in made if n in certain],
            [self.changes[n] for n in made if n not in certain and self.changes[n].what != "sync"],
        )


def _apply(root: Path, change: Change) -> None:
    path = root / change.path
    if change.what == "folder":
        path.mkdir(exist_ok=True)
    elif change.what == "create":
        if path.parent.is_dir():
            _restore(path)
    elif change.what == "remove":
        if path.exists():
            path.rename(_nameless(path))
    else:
        target = path if path.exists() else _nameless(path)
        target.parent.mkdir(exist_ok=True)
        with open(target, "r+b" if target.exists() else "w+b") as file:
            if change.what == "truncate":
                file.truncate(change.at)
            else:
                file.seek(change.at)
                file.write(change.data)


def _nameless(path: Path) -> Path:
    """Where the bytes of a file lie whose name did not come to the disk: nobody finds them there."""
    return path.with_name(f".nameless-{path.name}")


def _restore(path: Path) -> None:
    if _nameless(path).exists():
        _nameless(path).rename(path)
    else:
        path.touch()


def _torn(change: Change, dice: Random, *, flipped: bool) -> Iterator[Change]:
    """Some sectors of a write, in any order, perhaps not as they were sent."""
    sectors = []
    start = 0
    while start < len(change.data):
        end = min(len(change.data), start + SECTOR - (change.at + start) % SECTOR)
        sectors.append((start, end))
        start = end
    dice.shuffle(sectors)
    for start, end in sectors[: dice.randrange(len(sectors) + 1)]:
        data = bytearray(change.data[start:end])
        if flipped and dice.random() < 0.3:
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        yield Change("write", change.path, bytes(data), change.at + start)


_CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)(?:<(.*)>)?")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def _text(hexed: str) -> bytes:
    return bytes.fromhex(hexed.replace("\\x", ""))


def read_trace(trace: Path, root: Path, acks: Path) -> tuple[Disk, list[tuple[int, str]]]:
    """The changes below `root` from strace's `-y -xx` output, and each line written to `acks` with the count before."""
    disk, promised = Disk(), []
    for line in trace.read_text().splitlines():
        found = _CALL.match(line)
        if found is None or int(found[3]) < 0:
            continue
        call, arguments, result, _ = found.groups()
        texts = [_text(hexed) for hexed in _TEXT.findall(arguments)]
        named = re.match(r"\d+<([^>]*)>", arguments)
        place = _text(named[1]).decode() if named and named[1].startswith("\\x") else named[1] if named else ""
        if call == "write" and place == str(acks):
            promised += [(len(disk.changes), each) for each in texts[0].decode().splitlines()]
            continue
        change = _change(call, arguments, texts, place, int(result))
        if change is not None and change.path.startswith(str(root)):
            path = str(Path(change.path).relative_to(root))
            disk.changes.append(Change(change.what, path, change.data, change.at))
    return disk, promised


def _change(call: str, arguments: str, texts: list[bytes], place: str, result: int) -> Change | None:
    numbers = [int(n) for n in re.findall(r", (\d+)", arguments)]
    if call == "openat" and "O_CREAT" in arguments:
        return Change("create", texts[-1].decode())
    if call == "mkdir":
        return Change("folder", texts[0].decode())
    if call in ("unlink", "unlinkat"):
        return Change("remove", texts[-1].decode())
    if call in ("fsync", "fdatasync"):
        return Change("sync", place)
    if call == "ftruncate":
        return Change("truncate", place, at=numbers[-1])
    if call == "pwrite64":
        return Change("write", place, texts[0][:result], numbers[-1])
    assert call not in ("rename",) or not place, f"{call} is not expected here"
    return None  # write() goes to the lock, the log and the acknowledgements
