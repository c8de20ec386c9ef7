"""The ring: one file a clip, appended record by record, each on the disk before anybody hears of it.

Owns the files below `ring/` and how they are read (docs/spec/sealed-clip.md "File in the ring"); `clip_writer` writes
them. It has no keys: what it reads is sealed already. The ring is the truth; the database's index is a cache of it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from isal.isal_zlib import crc32

from agent.core.errors import Corrupt, Unavailable
from agent.core.frame import Track
from agent.core.sealing import (
    HEADER_LIMIT,
    RECORD_HEADER_BYTES,
    RECORDS_LIMIT,
    WRAP_BYTES,
    RecordHeader,
    header_hash,
    parse_record,
    read_header,
    record_hash,
)
from agent.core.statements import Kind
from agent.store.clip_writer import CLIP_MAGIC, MANIFEST_MAGIC, U32, ClipWriter, manifest_frame, to_page_end
from agent.store.durable import sync_directory

_RECORD_MAGIC = b"DWRC"
_CLIPS_A_DIRECTORY = 1000
_LOOK_BYTES = 1024 * 1024
_PROBE = bytes(64 * 1024)
_PROBE_BYTES = 4 * 1024 * 1024  # less would only let the next clip fail at once
_HEADER_AT = len(CLIP_MAGIC) + U32.size


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """Where a record lies in its clip file. `digest` is known only where the bytes were read."""

    header: RecordHeader
    offset: int
    digest: bytes | None

    @property
    def length(self) -> int:
        """Bytes of the record, without the frame's CRC."""
        return self.header.total_bytes


@dataclass(slots=True)
class ClipFile:
    """What a clip file holds up to its first damaged byte (`good_bytes`); `file_bytes` is how long it is.

    `unread`: there the disk failed, which it may not do another time.
    """

    path: Path
    header: bytes
    wraps: bytes
    records: list[StoredRecord] = field(default_factory=list)
    manifest: bytes | None = None
    good_bytes: int = 0
    file_bytes: int = 0
    counts: dict[Track, int] = field(default_factory=dict)
    unread: bool = False

    @property
    def damaged(self) -> bool:
        """Whether something lies behind the last whole frame."""
        return self.good_bytes != self.file_bytes

    def track(self, track: Track) -> list[StoredRecord]:
        """The records of `track` in order of index."""
        return [record for record in self.records if record.header.track is track]

    def digests(self) -> dict[Track, list[bytes]]:
        """Record hashes by track; the file must have been read in full."""
        found: dict[Track, list[bytes]] = {}
        for record in self.records:
            assert record.digest is not None, "a file whose layout alone was read has no digests"
            found.setdefault(record.header.track, []).append(record.digest)
        return found


class ClipReader:
    """An open clip file for reading stretches of it; stays readable if the clip is evicted meanwhile."""

    def __init__(self, path: Path) -> None:
        try:
            self._handle = os.open(path, os.O_RDONLY)
        except OSError as e:
            raise Unavailable(f"clip {path} cannot be read: {e.strerror}") from e

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; Corrupt when the file is shorter, Unavailable when the disk fails."""
        try:
            data = os.pread(self._handle, length, offset)
        except OSError as e:
            raise Unavailable(f"a clip file cannot be read: {e.strerror}; check the disk's health") from e
        if len(data) != length:
            raise Corrupt("a clip file is shorter than its records")
        return data

    def close(self) -> None:
        """Let the file go."""
        os.close(self._handle)

    def __enter__(self) -> ClipReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Ring:
    """The clip files below one directory, named by sequence number."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, sequence: int) -> Path:
        """Where clip `sequence` lies or would lie."""
        return self._directory / f"{sequence // _CLIPS_A_DIRECTORY:06d}" / f"{sequence:09d}.clip"

    def sequences(self) -> Iterator[int]:
        """The numbers of all clips, rising."""
        return self.sequences_from(0)

    def sequences_from(self, first: int) -> Iterator[int]:
        """The numbers from `first` on, without listing the folders before it."""
        for folder in sorted(self._directory.glob("[0-9]*")):
            if folder.name.isdecimal() and int(folder.name) >= first // _CLIPS_A_DIRECTORY:
                yield from (int(p.stem) for p in sorted(folder.glob("*.clip")) if p.stem.isdecimal())

    def create(self, sequence: int, header: bytes, wraps: bytes) -> ClipWriter:
        """Begin a clip. OSError passes through: the recorder decides what a full or failing disk means."""
        return ClipWriter(self.path(sequence), header, wraps)

    def probe(self) -> None:
        """Whether the disk takes something now: writes, syncs and removes a file. OSError says what it refuses."""
        path = self._directory / ".probe"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            for _ in range(_PROBE_BYTES // len(_PROBE)):
                if os.write(handle, _PROBE) < len(_PROBE):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(handle)
        finally:
            os.close(handle)
            path.unlink(missing_ok=True)

    def delete(self, *sequences: int) -> None:
        """Remove clips, durably; one that is gone already is no error."""
        paths = [self.path(sequence) for sequence in sequences]
        for path in paths:
            path.unlink(missing_ok=True)
        for folder in sorted({path.parent for path in paths}):
            if folder.is_dir():
                sync_directory(folder)

    def size(self, sequences: Iterable[int]) -> int:
        """Bytes of those clips of which there still is a file."""
        total = 0
        for sequence in sequences:
            with contextlib.suppress(FileNotFoundError):
                total += self.path(sequence).stat().st_size
        return total

    def free_bytes(self) -> int:
        """What the disk has left for this process."""
        disk = os.statvfs(self._directory)
        return disk.f_bavail * disk.f_frsize

    def read(self, sequence: int) -> ClipFile:
        """All of a clip's frames, CRCs and record hashes checked. Corrupt if even the preamble is unusable."""
        return _read_clip(self.path(sequence), with_digests=True)

    def layout(self, sequence: int) -> ClipFile:
        """Where the records lie, without reading their bodies: quick, for a clip known to be whole."""
        return _read_clip(self.path(sequence), with_digests=False)

    def recover(self, sequence: int, sign_cut: Callable[[ClipFile], bytes]) -> ClipFile:
        """Cut a clip without a manifest back to its last whole frame and append the manifest `sign_cut` makes.

        A clip that has its manifest is returned as it is, its records' bodies unread. Corrupt if the preamble is
        unusable (power was lost before the first record: there is nothing to keep). A clip with whole frames behind
        damaged ones, or in a bad sector, is no torn tail: it is returned without a manifest, and nothing is cut off.
        """
        clip = self.layout(sequence)
        if clip.manifest is not None:
            return clip
        clip = self.read(sequence)
        if clip.manifest is not None or self.damaged_within(clip):
            return clip
        manifest = sign_cut(clip)
        with open(clip.path, "r+b") as file:
            file.truncate(clip.good_bytes)
            file.seek(clip.good_bytes)
            file.write(manifest_frame(manifest))
            file.flush()
            os.fsync(file.fileno())
        return self.read(sequence)

    def holds_frames(self, sequence: int) -> bool:
        """Whether anything in the file looks like a record or a manifest, or cannot be read, whatever became of its
        beginning."""
        path = self.path(sequence)
        try:
            with ClipReader(path) as reader:
                return any(True for _ in _places(reader, (_RECORD_MAGIC, MANIFEST_MAGIC), 0, path.stat().st_size))
        except Unavailable:
            return True

    def damaged_within(self, clip: ClipFile) -> bool:
        """Whether a whole frame lies behind the first damaged byte, or something that the disk cannot read: what was
        cut off in writing has none there."""
        if not clip.damaged:
            return False
        names = (_RECORD_MAGIC + header_hash(clip.header), MANIFEST_MAGIC)
        try:
            with ClipReader(clip.path) as reader:
                places = _places(reader, names, clip.good_bytes + 1, clip.file_bytes)
                return clip.unread or any(_whole_frame_at(reader, at, clip.file_bytes) for at in places)
        except Unavailable:
            return True


def _places(reader: ClipReader, names: tuple[bytes, ...], start: int, end: int) -> Iterator[int]:
    """Where one of `names` stands between two offsets. Not through mmap: a bad sector would end the process."""
    overlap = max(map(len, names)) - 1
    for at in range(start, end, _LOOK_BYTES):
        data = reader.read(at, min(_LOOK_BYTES + overlap, end - at))
        for name in names:
            found = data.find(name)
            while found >= 0:
                yield at + found
                found = data.find(name, found + 1)


def _whole_frame_at(reader: ClipReader, at: int, end: int) -> bool:
    head = reader.read(at, min(RECORD_HEADER_BYTES, end - at))
    if head.startswith(MANIFEST_MAGIC):
        length = 8 + int.from_bytes(head[4:8], "big")
    else:
        try:
            length = parse_record(head).total_bytes
        except Corrupt:
            return False  # the name of a frame, and no frame behind it
    if at + length + U32.size > end:
        return False
    frame = reader.read(at, length + U32.size)
    return frame[length:] == U32.pack(crc32(frame[:length]))


def _read_clip(path: Path, *, with_digests: bool) -> ClipFile:
    with ClipReader(path) as reader:
        size = path.stat().st_size
        try:
            clip = _read_preamble(path, reader, size)
        except Unavailable as e:
            raise Corrupt(f"the beginning of {path}: {e}") from e
        hh = header_hash(clip.header)
        while clip.good_bytes < size and clip.manifest is None and len(clip.records) <= RECORDS_LIMIT:
            try:
                if not _read_frame(clip, reader, hh, with_digests=with_digests):
                    break
            except Unavailable:
                clip.unread = True
                break
    return clip


def _read_preamble(path: Path, reader: ClipReader, size: int) -> ClipFile:
    head = reader.read(0, min(size, _HEADER_AT))
    if len(head) < _HEADER_AT or not head.startswith(CLIP_MAGIC):
        raise Corrupt(f"{path} does not begin like a clip")
    (header_bytes,) = U32.unpack_from(head, len(CLIP_MAGIC))
    if header_bytes > HEADER_LIMIT or _HEADER_AT + header_bytes > size:
        raise Corrupt(f"{path} is cut off inside its header")
    header = reader.read(_HEADER_AT, header_bytes)
    wraps_at = _HEADER_AT + header_bytes
    end = wraps_at + WRAP_BYTES * len(read_header(header).recipients)
    if end + U32.size > size:
        raise Corrupt(f"{path} is cut off inside its wraps")
    preamble = reader.read(0, end + U32.size)
    if crc32(preamble[:-4]) != U32.unpack(preamble[-4:])[0]:
        raise Corrupt(f"the beginning of {path} is damaged")
    return ClipFile(path, header, preamble[wraps_at:end], good_bytes=len(preamble), file_bytes=size)


def _read_frame(clip: ClipFile, reader: ClipReader, hh: bytes, *, with_digests: bool) -> bool:
    """Take in the frame, or the filling, at `good_bytes`; False where neither lies there whole."""
    at = clip.good_bytes
    head = reader.read(at, min(RECORD_HEADER_BYTES, clip.file_bytes - at))
    if head.startswith(b"\0"):
        return _read_filling(clip, reader)
    if head.startswith(MANIFEST_MAGIC) and len(head) >= 8:
        (length,) = U32.unpack_from(head, 4)
        end = at + 8 + length
        if length > Kind.MANIFEST.limit or end + 4 > clip.file_bytes:
            return False
        frame = reader.read(at, end + 4 - at)
        if crc32(frame[:-4]) != U32.unpack(frame[-4:])[0]:
            return False
        clip.manifest = frame[8:-4]
        clip.good_bytes = end + 4
        return True
    try:
        header = parse_record(head)
    except Corrupt:
        return False  # a torn tail is what this loop looks for, not an error
    end = at + header.total_bytes
    expected = clip.counts.get(header.track, 0)
    if end + 4 > clip.file_bytes or header.header_hash != hh or header.index != expected:
        return False
    digest = None
    if with_digests:
        frame = reader.read(at, end + 4 - at)
        if crc32(frame[:-4]) != U32.unpack(frame[-4:])[0]:
            return False
        digest = record_hash(memoryview(frame)[:-4])
    clip.records.append(StoredRecord(header, at, digest))
    clip.counts[header.track] = expected + 1
    clip.good_bytes = end + 4
    return True


def _read_filling(clip: ClipFile, reader: ClipReader) -> bool:
    """Take in the zeros from `good_bytes` to the end of its page; False where they do not reach it."""
    missing = to_page_end(clip.good_bytes)
    if not missing or clip.good_bytes + missing > clip.file_bytes:
        return False
    if any(reader.read(clip.good_bytes, missing)):
        return False
    clip.good_bytes += missing
    return True
