"""One transfer's folder: what lies where, written so that a power cut at any moment leaves it resumable.

While it is pulled it holds the offer, the request and `bundle.part`; once everything verified, the evidence of
docs/spec/transfer.md "Evidence folder". Receipt and readable report are written last and together mark it complete.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from agent.core.bundle import BLOCK_BYTES, Offer
from agent.core.errors import Corrupt, Unavailable
from agent.store.durable import sync_directory, write_file, write_pieces

OFFER = "offer.jws"
REQUEST = "request.jws"
REQUESTER = "requester.jws"
DECISION = "decision.jws"
RECEIPT = "receipt.jws"
END = "end.jws"
CLOCK = "clock.jws"
REPORT_JSON = "report.json"
REPORT_HTML = "report.html"
PARTIAL = "bundle.part"

_SMALL_FILE_LIMIT = 1024 * 1024


def film_name(k: int) -> str:
    """The name of the film of the decision's clip `k` (from 0)."""
    return f"clip-{k + 1}.mp4"


def clip_file(k: int, name: str) -> str:
    """The name of a file about the decision's clip `k` (from 0)."""
    return f"clips/{k}/{name}"


class TransferFolder:
    """Paths and durable writes within one folder. Unavailable names the file when the disk fails."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, out: Path, case_number: str, transfer: str) -> TransferFolder:
        """The folder of a transfer below `out`: case number and transfer id, so that both find it again."""
        case = re.sub(r"[^A-Za-z0-9]+", "-", case_number).strip("-")[:40]
        return cls(out / f"{case or 'case'}_{transfer}")

    @property
    def complete(self) -> bool:
        """Everything was received and verified."""
        return self.has(RECEIPT) and self.has(REPORT_HTML)

    @property
    def ended(self) -> bool:
        """The doorbell's owner ended the transfer before it was complete."""
        return self.has(END)

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return (self.path / name).is_file()

    @property
    def begun_bytes(self) -> int:
        """How much of an unfinished bundle is on the disk."""
        try:
            return (self.path / PARTIAL).stat().st_blocks * 512  # the file has holes where blocks are missing
        except FileNotFoundError:
            return 0

    @property
    def touched_ns(self) -> int:
        """When something came for it last, by the file system; 0 when it is gone."""
        try:
            return max((self.path / name).stat().st_mtime_ns for name in (OFFER, PARTIAL) if self.has(name))
        except (FileNotFoundError, ValueError):
            return 0

    def make(self) -> None:
        """Make the folder, readable by this user alone."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_directory(self.path.parent)
        except OSError as e:
            raise Unavailable(f"the folder {self.path} cannot be made: {e.strerror}") from e

    def write(self, name: str, data: bytes) -> None:
        """Replace a small file, durably."""
        path = self.path / name
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as e:
            raise Unavailable(f"the folder {path.parent} cannot be made: {e.strerror}") from e
        write_file(path, data)

    def write_pieces(self, name: str, pieces: Iterable[bytes]) -> None:
        """Replace a file that may be large, durably."""
        write_pieces(self.path / name, pieces, mode=0o666)  # the film is for others to play: umask decides

    def read(self, name: str, limit: int = _SMALL_FILE_LIMIT) -> bytes:
        """A small file's bytes; Corrupt when it is missing or larger than `limit`."""
        try:
            with (self.path / name).open("rb") as file:
                data = file.read(limit + 1)
        except OSError as e:
            raise Corrupt(f"{name} is missing or cannot be read ({e.strerror})") from e
        if len(data) > limit:
            raise Corrupt(f"{name} is larger than it can be")
        return data

    def files(self) -> list[str]:
        """All files below the folder, as names relative to it, sorted."""
        return sorted(p.relative_to(self.path).as_posix() for p in self.path.rglob("*") if not p.is_dir())

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        (self.path / name).unlink(missing_ok=True)

    def remove_all(self) -> None:
        """Remove the folder with all that is in it; the offer goes first, so that what is left begins nothing."""
        try:
            self.remove(OFFER)
            shutil.rmtree(self.path, ignore_errors=False)
        except FileNotFoundError:
            pass  # removed by hand meanwhile
        except OSError as e:
            raise Unavailable(f"the folder {self.path} cannot be removed: {e.strerror}") from e


class PartialBundle:
    """`bundle.part`: blocks at their places, and where complete, the bundle. Use as a context manager."""

    def __init__(self, folder: TransferFolder, size: int) -> None:
        self._path = folder.path / PARTIAL
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            before = os.fstat(self._file).st_size
            if before != size:
                os.truncate(self._file, size)
        except OSError as e:
            raise Unavailable(f"{self._path} cannot be opened: {e.strerror}") from e
        self.fresh = before == 0  # nothing of an earlier run is in it

    def __enter__(self) -> PartialBundle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; a second time does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def write(self, offset: int, block: bytes) -> None:
        """Put a block at its place. Unavailable when the disk does not take it."""
        try:
            if os.pwrite(self._file, block, offset) != len(block):
                raise Unavailable(f"{self._path} could not be written: the disk took only a part")
        except OSError as e:
            raise Unavailable(f"{self._path} could not be written: {e.strerror}; check the disk's space") from e

    def read(self, offset: int, length: int) -> bytes:
        """The bytes there (zeros where nothing was written yet)."""
        try:
            return os.pread(self._file, length, offset)
        except OSError as e:
            raise Unavailable(f"{self._path} could not be read: {e.strerror}") from e

    def split(self, folder: TransferFolder, offer: Offer) -> None:
        """Write the parts of the complete bundle as files of the folder, durably."""
        at = 0
        try:
            for name, length in offer.parts:
                path = folder.path / name
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with path.open("wb") as file:
                    for offset in range(at, at + length, BLOCK_BYTES):
                        file.write(self.read(offset, min(BLOCK_BYTES, at + length - offset)))
                    file.flush()
                    os.fsync(file.fileno())
                sync_directory(path.parent)
                at += length
        except OSError as e:
            raise Unavailable(f"{folder.path} could not be written: {e.strerror}; check the disk's space") from e
