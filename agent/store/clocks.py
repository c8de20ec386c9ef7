"""The clock statements on the disk, one file a boot: the truth about clips recorded before the clock was set.

The index's `boots` table is a cache of them. Written before the index hears of them, replaced whole, verified when
read. Source: docs/spec/clock.md, docs/design/time.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core.boot_clock import BootClock, read_clock, sign_clock
from agent.core.errors import Corrupt, Refused
from agent.store.durable import write_file
from agent.store.index import Index

_NEWEST_KEPT = 16


@dataclass(slots=True)
class FoundClocks:
    """The readable statements by number, each as read and verbatim, and what is wrong with the other files.

    `last_number`: the highest that any of the files has, readable or not.
    """

    clocks: list[tuple[BootClock, bytes]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    last_number: int = 0


class ClockFolder:
    """`clock/` of a state directory."""

    def __init__(self, directory: Path, device: Ed25519PrivateKey) -> None:
        self._directory = directory
        self._device = device

    def path(self, number: int) -> Path:
        """Where the statement of boot `number` lies or would lie."""
        return self._directory / f"{number:09d}.jws"

    def read(self) -> FoundClocks:
        """Every statement there is; a damaged one is named and left where it is."""
        found = FoundClocks()
        for path in sorted(self._directory.glob("*.jws")):
            if path.stem.isdecimal():
                found.last_number = max(found.last_number, int(path.stem))
            try:
                token = path.read_bytes()
                clock = read_clock(token, self._device.public_key())
                if path != self.path(clock.number):
                    raise Corrupt(f"it is the statement of boot {clock.number}: it was moved or copied")
            except (OSError, Refused, Corrupt) as e:
                found.unreadable.append(f"{path} cannot be used: {e}")
                continue
            found.clocks.append((clock, token))
        return found

    def write(self, clock: BootClock) -> bytes:
        """Sign a statement and put it in place of the one before, durably; returns it. Unavailable by the disk."""
        token = sign_clock(clock, self._device)
        write_file(self.path(clock.number), token)
        return token

    def prune(self, index: Index) -> None:
        """Delete what no clip needs any more. The index must know every clip of the ring."""
        for boot, number in index.unneeded_boots(_NEWEST_KEPT):
            self.path(number).unlink(missing_ok=True)
            index.forget_boot(boot)
