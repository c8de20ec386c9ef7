"""Writing a file so that a power cut leaves either the old one or the new one, whole.

Temporary file in the same directory, fsync, rename, fsync of the directory. Errors of the disk are the caller's
Unavailable; nothing is retried.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.core.errors import Unavailable


def sync_directory(directory: Path) -> None:
    """Make a created, renamed or removed name durable."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _removed_on_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def write_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `data`, durably. Unavailable names the path and the disk's reason."""
    write_pieces(path, (data,), mode)


def rewrite_file(path: Path, data: bytes) -> None:
    """Replace what is in `path`, durably; whose it is and who may read it stays. A link stays one, too."""
    path = path.resolve()
    try:
        found = path.stat()
    except OSError as e:
        raise Unavailable(f"{path} cannot be changed: {e.strerror}") from e
    write_pieces(path, (data,), found.st_mode & 0o7777, (found.st_uid, found.st_gid))


def write_pieces(path: Path, pieces: Iterable[bytes], mode: int, owner: tuple[int, int] | None = None) -> None:
    """The same for a file that may be large: the pieces, joined, never all in memory. `owner`: its user and group.

    A pipe or device of that name, like /dev/stdout, is written to and stays what it is.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as place:
                place.writelines(pieces)
            return
        with (
            _removed_on_failure(temporary),
            open(
                os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode if owner is None else 0o600), "wb"
            ) as file,
        ):
            if owner is not None:
                os.fchown(file.fileno(), *owner)
                os.fchmod(file.fileno(), mode)
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_directory(path.parent)
    except OSError as e:
        raise Unavailable(f"{path} could not be written: {e.strerror}; {_remedy(e)}") from e


def _remedy(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "make its folder first"
    if isinstance(error, PermissionError):
        return "check that you may write there"
    return "check the disk's space and rights"
