"""Released records opened one at a time, and the film they make.

Owns a `.records` file as received: which records it holds and where. Never keeps more than one opened record.
Source: docs/spec/sealed-clip.md, docs/spec/fragment.md "The plain file".
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, overload

from agent.core.errors import Corrupt
from agent.core.frame import Track
from agent.core.plain_mp4 import FilmSound, remux_plain
from agent.core.sealing import RECORDS_LIMIT, RecordHeader, open_record, parse_record


class RecordFile:
    """The records of one track, joined, as they came. Corrupt unless whole records fill it to its last byte."""

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as e:
            raise Corrupt(f"it is missing, empty or cannot be read ({e})") from e
        self.headers: list[RecordHeader] = []
        self._starts: list[int] = []
        at = 0
        while at < len(self._data):
            header = parse_record(self._data[at : at + 128])
            if at + header.total_bytes > len(self._data) or len(self.headers) >= RECORDS_LIMIT:
                raise Corrupt("it ends inside a record, or has too many")
            self.headers.append(header)
            self._starts.append(at)
            at += header.total_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._data.close()

    def record(self, position: int) -> bytes:
        """The bytes of the record at `position` in the file."""
        start = self._starts[position]
        return self._data[start : start + self.headers[position].total_bytes]


class OpenedFragments(Sequence[bytes]):
    """The fragments of a track after its init segment, each opened when it is looked at."""

    def __init__(self, records: RecordFile, secrets: Mapping[int, bytes]) -> None:
        self._records = records
        self._secrets = secrets

    def __len__(self) -> int:
        return len(self._records.headers) - 1

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        if not 0 <= at < len(self):
            raise IndexError(at)
        return self.open(at + 1)

    def open(self, position: int) -> bytes:
        """The content of the record at `position` (0 is the init segment). Corrupt unless its key opens it."""
        return open_record(self._secrets[self._records.headers[position].index], self._records.record(position))

    def film(self, sound: OpenedFragments | None) -> Iterator[bytes]:
        """Pieces of the plain MP4 that exactly these records of pictures make, and those of `sound`."""
        return remux_plain(self.open(0), self, FilmSound(sound.open(0), sound) if sound is not None else None)


@contextmanager
def opened_tracks(
    files: Mapping[Track, Path], keys: Mapping[Track, Mapping[int, bytes]]
) -> Iterator[dict[Track, OpenedFragments]]:
    """The records of each track with their keys, while the context is entered. Corrupt if a key is missing."""
    with ExitStack() as stack:
        found = {}
        for track, path in files.items():
            records = stack.enter_context(RecordFile(path))
            missing = [header.index for header in records.headers if header.index not in keys[track]]
            if missing:
                raise Corrupt(f"it holds record {missing[0]}, to which no key was released")
            found[track] = OpenedFragments(records, keys[track])
        yield found
