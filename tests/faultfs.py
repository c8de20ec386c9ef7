"""A file system that passes through to a folder and fails where told: python -m tests.faultfs ROOT MOUNT FAULTS.

FAULTS is a file: lines "operation ERRNO" (`write EIO`), empty or absent for none. FUSE by mfusepy and fuse3.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import mfusepy


class FaultFs(mfusepy.Operations):
    """Handles are the descriptors of the files below."""

    use_ns = True

    def __init__(self, root: str, faults: Path) -> None:
        self._root = root
        self._faults = faults

    def _below(self, path: str) -> str:
        return self._root + path

    def _may(self, operation: str) -> None:
        lines = self._faults.read_text().split("\n") if self._faults.exists() else []
        for line in lines:
            if line.split(" ")[0] == operation:
                raise mfusepy.FuseOSError(getattr(errno, line.split(" ")[1]))

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = os.lstat(self._below(path))
        names = ("st_mode", "st_nlink", "st_size", "st_uid", "st_gid", "st_ino")
        times = ("st_atime", "st_mtime", "st_ctime")
        return {name: getattr(found, name) for name in names} | {name: getattr(found, f"{name}_ns") for name in times}

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self._below(path))]

    def open(self, path: str, flags: int) -> int:
        self._may("open")
        return os.open(self._below(path), flags & ~os.O_APPEND)

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        self._may("create")
        return os.open(self._below(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        self._may("read")
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._may("write")
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        self._may("truncate")
        os.truncate(self._below(path), length)

    def fsync(self, path: str, datasync: int, fh: int) -> None:
        self._may("fsync")
        os.fsync(fh)

    def fsyncdir(self, path: str, datasync: int, fh: int) -> None:
        self._may("fsync")

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._below(path))
        return {name: getattr(found, name) for name in ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail")}

    def unlink(self, path: str) -> None:
        self._may("unlink")
        os.unlink(self._below(path))

    def mkdir(self, path: str, mode: int) -> None:
        self._may("mkdir")
        os.mkdir(self._below(path), mode)

    def rename(self, old: str, new: str, flags: int = 0) -> None:
        os.rename(self._below(old), self._below(new))

    def flush(self, path: str, fh: int) -> None:
        self._may("flush")

    def release(self, path: str, fh: int) -> None:
        os.close(fh)


if __name__ == "__main__":
    root, mount, faults = sys.argv[1:]
    mfusepy.FUSE(FaultFs(root, Path(faults)), mount, foreground=True, nothreads=True)
