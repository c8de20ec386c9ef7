"""A clip file while it is written: frame after frame, each on the disk before anybody hears of it.

Owns the framing (docs/spec/sealed-clip.md "File in the ring") as it is written, and how little it costs: records are
sealed in memory that is used again, large ones are hashed in a thread once they are durable, the file's blocks are
asked for some megabytes ahead, so that a sync has less to note down about them, and a record of video ends where a page
does, so that the next one does not write that page again. Has no keys.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from isal.isal_zlib import crc32

from agent.core.frame import Track
from agent.core.sealing import record_hash
from agent.store.durable import sync_directory

CLIP_MAGIC = b"DWCLIP\x00\x01"
MANIFEST_MAGIC = b"DWMF"
U32 = struct.Struct(">I")
PAGE_BYTES = 4096  # of the spec: what ext4 writes as a whole, also where memory has pages of 16 KiB (Pi 5)

_WORTH_A_THREAD_BYTES = 32 * 1024
_AHEAD_BYTES = 4 * 1024 * 1024
_FALLOC_FL_KEEP_SIZE = 1  # linux/falloc.h
_fallocate = ctypes.CDLL(None).fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def to_page_end(at: int) -> int:
    """How many bytes are missing from `at` to the end of its page: 0 to 4095."""
    return -at % PAGE_BYTES


def framed(frame: bytes) -> bytes:
    """`frame` and its CRC-32."""
    return frame + U32.pack(crc32(frame))


def manifest_frame(manifest: bytes) -> bytes:
    """The last frame of a clip file, CRC included."""
    return framed(MANIFEST_MAGIC + U32.pack(len(manifest)) + manifest)


class _Hasher:
    """Makes a record's hash in a thread of its own. Handing over costs a fraction of what an executor's future does."""

    def __init__(self) -> None:
        self._records: SimpleQueue[memoryview | None] = SimpleQueue()
        self._hashes: SimpleQueue[bytes] = SimpleQueue()
        self._thread = Thread(target=self._run, name="record-hash", daemon=True)
        self._thread.start()

    def begin(self, record: memoryview) -> None:
        self._records.put(record)

    def result(self) -> bytes:
        return self._hashes.get()

    def end(self) -> None:
        self._records.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (record := self._records.get()) is not None:
            self._hashes.put(record_hash(record))


class ClipWriter:
    """One clip being recorded. Every method returns after the bytes are on the disk; OSError passes through."""

    def __init__(self, path: Path, header: bytes, wraps: bytes) -> None:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        self.path = path
        self._handle = self._create()
        self._hasher = _Hasher()
        self._place = memoryview(bytearray())
        self._digests: dict[Track, list[bytes]] = {}
        self._hashing: Track | None = None
        self._allocated = 0
        self.bytes_written = 0
        try:
            self._append(framed(CLIP_MAGIC + U32.pack(len(header)) + header + wraps))
            sync_directory(path.parent)
            sync_directory(path.parent.parent)
        except OSError:
            self.close()
            path.unlink(missing_ok=True)  # nothing was acknowledged in it
            raise

    def _create(self) -> int:
        """The clip's file, new and empty, open for writing."""
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    @property
    def digests(self) -> dict[Track, list[bytes]]:
        """The hashes of the records written, by track."""
        self._settle()
        return self._digests

    def append(self, track: Track, size: int, seal: Callable[[memoryview], None]) -> None:
        """Write a record of `size` bytes, which `seal` puts into the memory it is given."""
        self._settle()
        crc_end = size + U32.size
        end = crc_end + (to_page_end(self.bytes_written + crc_end) if track is Track.VIDEO else 0)
        if len(self._place) < end:
            self._place = memoryview(bytearray(end))
        record = self._place[:size]
        seal(record)
        U32.pack_into(self._place, size, crc32(record))
        self._place[crc_end:end] = bytes(end - crc_end)
        self._write(self._place[:end])
        self._sync(end)
        # The manifest needs the hash much later, and the disk wants the other core while it syncs.
        if size >= _WORTH_A_THREAD_BYTES:
            self._hashing = track
            self._hasher.begin(record)
        else:
            self._digests.setdefault(track, []).append(record_hash(record))

    def finish(self, manifest: bytes) -> None:
        """Write the manifest and let the file go."""
        self._append(manifest_frame(manifest))
        os.ftruncate(self._handle, self.bytes_written)  # gives back the blocks asked for and not used
        self.close()

    def close(self) -> None:
        """Let the file go without a manifest: the next start makes one that says `cut`."""
        self._hasher.end()
        handle, self._handle = self._handle, -1
        if handle >= 0:
            # Over a network or FUSE closing may fail, too. What counts was synced, and the file is closed all the same.
            with contextlib.suppress(OSError):
                os.close(handle)

    def cut_back(self) -> None:
        """Take away what lies behind the last acknowledged byte. OSError passes through."""
        if self.path.exists():
            with open(self.path, "r+b") as file:
                file.truncate(self.bytes_written)
                os.fsync(file.fileno())

    def _settle(self) -> None:
        """Take in the hash of the record before: its memory is used again now."""
        if self._hashing is not None:
            self._digests.setdefault(self._hashing, []).append(self._hasher.result())
            self._hashing = None

    def _append(self, frame: bytes) -> None:
        self._write(memoryview(frame))
        self._sync(len(frame))

    def _write(self, data: memoryview) -> None:
        at = self.bytes_written
        self._allocate(at + len(data))
        while data:
            written = os.pwrite(self._handle, data, at)
            at += written
            data = data[written:]

    def _sync(self, written: int) -> None:
        os.fdatasync(self._handle)
        self.bytes_written += written

    def _allocate(self, end: int) -> None:
        """Ask for blocks up to `end` and some beyond, without making the file longer.

        Only speed hangs on it: where it is refused, by the file system's kind or for want of room, the write itself
        asks for its blocks, and says what is wrong.
        """
        if end > self._allocated:
            _fallocate(self._handle, _FALLOC_FL_KEEP_SIZE, self._allocated, end + _AHEAD_BYTES - self._allocated)
            self._allocated = end + _AHEAD_BYTES
