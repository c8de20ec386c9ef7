"""Whose the state directory's files are: the service's user's, also where root ran a command on them.

Changes owners and nothing else. What root made there, the doorbell could not open, and would stop at its next start.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from pathlib import Path

log = logging.getLogger(__name__)


def hand_to_owner(root: Path) -> None:
    """Give what is root's below `root` to the user who has `root` itself; nothing where that is root or is not there.

    Follows no link, and leaves files with a second name alone: that user may have linked them from elsewhere. What root
    may not give away (in a container, say) stays root's, and the log says so once; the command has done its work.
    """
    refused: list[tuple[str, str]] = []
    with contextlib.suppress(FileNotFoundError, PermissionError):  # where root may not look, it made nothing
        owner = root.stat()
        if owner.st_uid != 0:
            for folder, directories, files, handle in os.fwalk(root):
                for name in (*directories, *files):
                    try:
                        _hand_over(name, handle, owner)
                    except OSError as e:
                        refused.append((os.path.join(folder, name), e.strerror or str(e)))
    if refused:
        path, reason = refused[0]
        more = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
        log.warning(
            "%s%s: still root's, though %s is another user's (%s). The doorbell may fail to open what is not its own; "
            "run commands as that user, or change the owner from outside this container.",
            path, more, root, reason,
        )  # fmt: skip


def _hand_over(name: str, directory: int, owner: os.stat_result) -> None:
    with contextlib.suppress(FileNotFoundError):  # the ring is a running doorbell's
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if found.st_uid == 0 and (stat.S_ISDIR(found.st_mode) or found.st_nlink == 1):
            os.chown(name, owner.st_uid, owner.st_gid, dir_fd=directory, follow_symlinks=False)
