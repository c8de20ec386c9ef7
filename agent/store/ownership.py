"""Whose the state directory's files are: the service's user's, also where root ran a command on them.

Changes owners and nothing else. What root made there, the doorbell could not open, and would stop at its next start.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path


def hand_to_owner(root: Path) -> None:
    """Give what is root's below `root` to the user who has `root` itself; nothing where that is root or is not there.

    Follows no link, and leaves files with a second name alone: that user may have linked them from elsewhere.
    """
    with contextlib.suppress(FileNotFoundError):
        owner = root.stat()
        if owner.st_uid != 0:
            for _, directories, files, handle in os.fwalk(root):
                for name in (*directories, *files):
                    _hand_over(name, handle, owner)


def _hand_over(name: str, directory: int, owner: os.stat_result) -> None:
    with contextlib.suppress(FileNotFoundError):  # the ring is a running doorbell's
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if found.st_uid == 0 and (stat.S_ISDIR(found.st_mode) or found.st_nlink == 1):
            os.chown(name, owner.st_uid, owner.st_gid, dir_fd=directory, follow_symlinks=False)
