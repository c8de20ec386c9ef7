"""The state directory: where ring, database and identity live, and who may write there.

Nothing else on the machine is written. One process at a time writes (flock on `lock`); readers need no lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core.encoding import key_id
from agent.core.errors import Corrupt, Unavailable
from agent.core.statements import raw_public
from agent.store.durable import write_file


class StateDirectory:
    """Paths below one directory. `create` makes what is missing; without it a missing directory is Unavailable."""

    def __init__(self, root: Path, *, create: bool = False) -> None:
        self.root = root
        self.ring = root / "ring"
        self.database = root / "doorward.db"
        self.identity = root / "identity"
        self.clock = root / "clock"
        if create:
            try:
                for directory in (root, self.ring, self.identity, self.clock):
                    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as e:
                raise Unavailable(
                    f"{root} cannot be used as the state directory: {e.strerror}; name another with --state"
                ) from e
        elif not self.database.exists():
            raise Unavailable(f"{root} holds no doorbell yet; 'doorward run' or 'doorward replay FILE' makes one")

    def device_key(self, new_seed: bytes | None = None) -> Ed25519PrivateKey:
        """The device's key; made from `new_seed` (32 random bytes) where there is none yet."""
        path = self.identity / "device.key"
        if new_seed is not None and not path.exists():
            write_file(path, new_seed)
        try:
            seed = path.read_bytes()
        except OSError as e:
            raise Unavailable(f"the doorbell's key {path} cannot be read: {e.strerror}; restore it from a copy") from e
        if len(seed) != 32:
            raise Corrupt(f"{path} is not a device key: it has {len(seed)} bytes instead of 32; restore it from a copy")
        return Ed25519PrivateKey.from_private_bytes(seed)


def device_id(key: Ed25519PrivateKey) -> str:
    """The kid of the device's key."""
    return key_id(raw_public(key))


class WriterLock:
    """Holds the state directory for writing while entered; Unavailable says which process has it."""

    def __init__(self, state: StateDirectory, what: str) -> None:
        self._path = state.root / "lock"
        self._what = what
        self._handle: int | None = None

    @staticmethod
    def holder(state: StateDirectory) -> str | None:
        """The process that writes there now, like "doorward run (process 7)"; None where there is none."""
        try:
            handle = os.open(state.root / "lock", os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return os.pread(handle, 200, 0).decode("utf-8", "replace").strip() or "another process"
        finally:
            os.close(handle)
        return None

    def __enter__(self) -> WriterLock:
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as e:
            raise Unavailable(
                f"{self._path} cannot be written: {e.strerror}; check the disk's health and its rights"
            ) from e
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            holder = os.pread(handle, 200, 0).decode("utf-8", "replace").strip() or "another process"
            os.close(handle)
            raise Unavailable(f"{self._path.parent} is in use by {holder}; stop it first") from e
        self._handle = handle
        with contextlib.suppress(OSError):  # a full disk has no room for the name; the lock is held all the same
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"doorward {self._what} (process {os.getpid()})\n".encode(), 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            with contextlib.suppress(OSError):  # the name counts only while the lock is held
                os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = None
