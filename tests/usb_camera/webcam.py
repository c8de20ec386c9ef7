"""A webcam on a USB bus, played by this program: what uvcvideo meets on a Pi, down to its descriptors.

The kernel's vhci-hcd carries a bus's transfers over a socket; here somebody answers them. One kind of picture each:
MJPEG, YUYV or H.264, over a bulk endpoint. Source: USB Device Class Definition for Video Devices 1.1, its payload
documents (MJPEG, uncompressed, frame-based); Documentation/usb/usbip_protocol.rst.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import deque
from pathlib import Path

WIDTH, HEIGHT, FPS = 320, 240, 5
_BUS = Path("/sys/devices/platform/vhci_hcd.0")
_HIGH_SPEED = 3
_HEADER = struct.Struct(">IIIII")
_SUBMIT, _UNLINK, _DONE, _UNLINKED = 1, 2, 3, 4
_STALL, _RESET = -32, -104
_IN = 0x80
_PAYLOAD = 65536
_INTERVAL = 10_000_000 // FPS  # of 100 ns
_YUY2 = bytes.fromhex("59555932000010008000 00aa00389b71".replace(" ", ""))
_H264 = bytes.fromhex("48323634000010008000 00aa00389b71".replace(" ", ""))


class Webcam:
    """Plugged in from when it is made until `unplug`. Shows `pictures` over and over, five a second."""

    def __init__(self, kind: str, pictures: list[bytes]) -> None:
        self._kind = kind
        self._pictures = pictures
        self._waiting: deque[tuple[int, int]] = deque()  # bulk transfers asked for: number, most bytes
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._asked = bytes(26)
        ours, theirs = socket.socketpair()
        self._socket = ours
        (_BUS / "attach").write_text(f"0 {theirs.fileno()} 1 {_HIGH_SPEED}")
        theirs.close()  # the kernel holds it
        for act in (self._answer, self._film):
            threading.Thread(target=act, daemon=True).start()

    def unplug(self) -> None:
        """Pulled out, whatever it is doing."""
        self._over.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    # -- transfers

    def _answer(self) -> None:
        while True:
            head = self._take(48)
            if len(head) < 48:
                return
            command, number, _, direction, endpoint = _HEADER.unpack_from(head)
            if command == _UNLINK:
                self._unlink(number, struct.unpack_from(">I", head, 20)[0])
                continue
            (length,) = struct.unpack_from(">i", head, 24)
            data = self._take(length) if not direction and length else b""
            if endpoint:
                with self._lock:
                    self._waiting.append((number, length))
                continue
            reply = self._control(head[40:48], data)
            self._done(number, reply[:length] if reply is not None else None, out=len(data))

    def _take(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            try:
                more = self._socket.recv(count - len(found))
            except OSError:
                more = b""
            if not more:
                break
            found += more
        return found

    def _unlink(self, number: int, unwanted: int) -> None:
        with self._lock:
            pending = [each for each in self._waiting if each[0] == unwanted]
            for each in pending:
                self._waiting.remove(each)
            self._send(_HEADER.pack(_UNLINKED, number, 0, 0, 0) + struct.pack(">i24x", _RESET if pending else 0))

    def _done(self, number: int, data: bytes | None, out: int = 0) -> None:
        """The transfer is over; None: refused."""
        with self._lock:
            self._reply(number, data, out)

    def _reply(self, number: int, data: bytes | None, out: int = 0) -> None:
        status = _STALL if data is None else 0
        body = struct.pack(">iiiii8x", status, out or len(data or b""), 0, 0, 0)
        self._send(_HEADER.pack(_DONE, number, 0, 0, 0) + body + (data or b""))

    def _send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendall(data)

    # -- what it says of itself

    def _control(self, setup: bytes, data: bytes) -> bytes | None:
        kind, request, value, index, _ = struct.unpack("<BBHHH", setup)
        if kind == _IN and request == 6:
            return self._descriptor(value >> 8, value & 0xFF)
        if kind & 0x60 == 0:  # standard: status is two zeros, all else is only to be nodded to
            return bytes(2) if kind & _IN else b""
        if index & 0xFF != 1 or value >> 8 not in (1, 2):
            return None
        if request == 1:  # what the host would like, and what it takes
            self._asked = data
            return b""
        frame = WIDTH * HEIGHT * 2
        return struct.pack("<HBBIHHHHHII", 1, 1, 1, _INTERVAL, 0, 0, 0, 0, 0, frame, _PAYLOAD)

    def _descriptor(self, kind: int, index: int) -> bytes | None:
        if kind == 1:
            return struct.pack("<BBHBBBBHHHBBBB", 18, 1, 0x0200, 0xEF, 2, 1, 64, 0x1209, 1, 0x0100, 1, 2, 0, 1)
        if kind == 2:
            return self._configuration()
        if kind == 3:
            text = {1: "Doorward", 2: "Played webcam"}.get(index, "")
            body = text.encode("utf-16-le") if index else struct.pack("<H", 0x0409)
            return bytes([2 + len(body), 3]) + body
        return None

    def _configuration(self) -> bytes:
        camera = struct.pack("<BBBBHBBHHHB3x", 18, 0x24, 2, 1, 0x0201, 0, 0, 0, 0, 0, 3)
        output = struct.pack("<BBBBHBBB", 9, 0x24, 3, 2, 0x0101, 0, 1, 0)
        control = struct.pack("<BBBHHIBB", 13, 0x24, 1, 0x0100, 13 + len(camera + output), 1_000_000, 1, 1)
        formats = self._format()
        stream = struct.pack("<BBBBHBBBBBBBB", 14, 0x24, 1, 1, 14 + len(formats), 0x81, 0, 2, 0, 0, 0, 1, 0)
        body = (
            struct.pack("<BBBBBBBB", 8, 11, 0, 2, 0x0E, 3, 0, 2)
            + struct.pack("<BBBBBBBBB", 9, 4, 0, 0, 0, 0x0E, 1, 0, 2) + control + camera + output
            + struct.pack("<BBBBBBBBB", 9, 4, 1, 0, 1, 0x0E, 2, 0, 0) + stream + formats
            + struct.pack("<BBBBHB", 7, 5, 0x81, 2, 512, 0)
        )  # fmt: skip
        return struct.pack("<BBHBBBBB", 9, 2, 9 + len(body), 2, 1, 0, 0x80, 250) + body

    def _format(self) -> bytes:
        bits = WIDTH * HEIGHT * 16 * FPS
        size = struct.pack("<BBHHII", 1, 0, WIDTH, HEIGHT, bits, bits)
        whole = struct.pack("<IIBI", WIDTH * HEIGHT * 2, _INTERVAL, 1, _INTERVAL)
        if self._kind == "mjpeg":
            return struct.pack("<11B", 11, 0x24, 6, 1, 1, 1, 1, 0, 0, 0, 0) + bytes([30, 0x24, 7]) + size + whole
        if self._kind == "yuyv":
            shape = bytes([27, 0x24, 4, 1, 1]) + _YUY2 + bytes([16, 1, 0, 0, 0, 0])
            return shape + bytes([30, 0x24, 5]) + size + whole
        shape = bytes([28, 0x24, 0x10, 1, 1]) + _H264 + bytes([16, 1, 0, 0, 0, 0, 1])
        return shape + bytes([30, 0x24, 0x11]) + size + struct.pack("<IBII", _INTERVAL, 1, 0, _INTERVAL)

    # -- pictures

    def _film(self) -> None:
        number = 0
        due = time.monotonic()
        while not self._over.is_set():
            due += 1 / FPS
            time.sleep(max(0.0, due - time.monotonic()))
            if self._send_picture(self._pictures[number % len(self._pictures)], number & 1):
                number += 1

    def _send_picture(self, picture: bytes, toggle: int) -> bool:
        """False where nobody watches. Every payload is shorter than was asked for, which ends it."""
        with self._lock:
            if not self._waiting:
                return False
        sent = 0
        while sent < len(picture) and not self._over.is_set():
            with self._lock:
                if self._waiting:
                    asked, most = self._waiting.popleft()
                    part = picture[sent : sent + most - 3]
                    sent += len(part)
                    self._reply(asked, bytes([2, 0x80 | (2 if sent == len(picture) else 0) | toggle]) + part)
                    continue
            time.sleep(0.002)
        return True
