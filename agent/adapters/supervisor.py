"""Signs of life to systemd: ready, what is going on, and that nothing is stuck (sd_notify(3)).

Owns the socket systemd named in the environment, and knows whether what is printed is kept in systemd's journal. Where
nobody started us that way, everything here does nothing.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)

_STATUS_LIMIT = 200
_MORE_US = 60_000_000


class Supervisor:
    """`watchdog_s`: systemd ends the process after so many seconds without `alive`; None where it does not watch."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        interval_us = environment.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(interval_us) / 1e6 if self._address and interval_us.isdecimal() else None

    def starting(self, status: str) -> None:
        """Not ready yet, but on the way: systemd is to wait for another minute."""
        self._tell(f"EXTEND_TIMEOUT_USEC={_MORE_US}\nSTATUS={_line(status)}")

    def ready(self, status: str) -> None:
        """Started, and answering."""
        self._tell(f"READY=1\nSTATUS={_line(status)}")

    def status(self, text: str) -> None:
        """What `systemctl status` shows."""
        self._tell(f"STATUS={_line(text)}")

    def alive(self) -> None:
        """Nothing is stuck."""
        self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """On the way out."""
        self._tell("STOPPING=1")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            try:
                channel.sendto(message.encode(), self._address)
            except OSError as e:
                log.error("systemd cannot be told anything: %s", e)


def journaled(environment: Mapping[str, str], fd: int) -> bool:
    """Whether what is written to `fd` is kept in the journal (systemd.exec(5), JOURNAL_STREAM)."""
    found = os.fstat(fd)
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _line(text: str) -> str:
    return text.replace("\n", " ")[:_STATUS_LIMIT]
