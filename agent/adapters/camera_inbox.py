"""Between the camera's threads, which must never wait, and the recorder's, which may be slow.

Owns what is given up when the recorder cannot keep up: brightness planes first, then packets up to the next key frame,
with a mark where they are missing. Never looks into a packet.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Final

from agent.core.frame import LumaFrame

MAX_LUMA: Final = 3
MAX_PACKETS: Final = 1024
MAX_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CameraPacket:
    """One access unit as the encoder gave it (start codes), and when the picture was taken (boot clock)."""

    data: bytes
    time_ns: int
    key: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """Packets are missing here. What follows begins with a key frame."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The camera cannot go on."""

    reason: str


InboxItem = CameraPacket | LumaFrame | Lost | Failed


class Inbox:
    """First in, first out, bounded. `put_*` and `fail` may be called from any thread and never wait."""

    def __init__(self) -> None:
        self._items: deque[InboxItem] = deque()
        self._changed = threading.Condition()
        self._packets = 0
        self._bytes = 0
        self._lumas = 0
        self._losing = False

    def put_packet(self, packet: CameraPacket) -> None:
        """Kept, or lost with all that follow it until a key frame comes while half of the room is free."""
        with self._changed:
            if self._losing:
                self._losing = not (packet.key and self._packets < MAX_PACKETS // 2 and self._bytes < MAX_BYTES // 2)
            elif self._packets >= MAX_PACKETS or self._bytes + len(packet.data) > MAX_BYTES:
                self._losing = True
                self._items.append(Lost("recording could not keep up with the camera"))
            if not self._losing:
                self._packets += 1
                self._bytes += len(packet.data)
                self._items.append(packet)
                self._changed.notify()

    def put_luma(self, frame: LumaFrame) -> None:
        """Kept if few wait already: looking later would only be later still."""
        with self._changed:
            if self._lumas < MAX_LUMA:
                self._lumas += 1
                self._items.append(frame)
                self._changed.notify()

    def fail(self, reason: str) -> None:
        """The camera's thread is about to end."""
        with self._changed:
            self._items.append(Failed(reason))
            self._changed.notify()

    def take(self, timeout_s: float) -> InboxItem | None:
        """The next item, or None after `timeout_s` without one."""
        with self._changed:
            if not self._items and not self._changed.wait_for(lambda: self._items, timeout_s):
                return None
            item = self._items.popleft()
            if isinstance(item, CameraPacket):
                self._packets -= 1
                self._bytes -= len(item.data)
            elif isinstance(item, LumaFrame):
                self._lumas -= 1
            return item
