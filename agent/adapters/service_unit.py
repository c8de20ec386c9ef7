"""Starts the doorbell's service, or starts it anew, by systemctl(1); what it is doing is `vitals.service`'s to say."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Final

from agent.core.errors import Unavailable

START: Final = ("systemctl", "enable", "--now", "doorward")
RESTART: Final = ("systemctl", "restart", "doorward")
_PATIENCE_S: Final = 150  # longer than the unit's TimeoutStartSec


def order(command: Sequence[str]) -> None:
    """START or RESTART; returns when the doorbell has said that it is ready. Unavailable where it does not."""
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_PATIENCE_S)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(
            f"'{' '.join(command)}' did not start the doorbell; 'journalctl -u doorward -n 20' says why"
        ) from error
