"""Every message that clients send to a broker, seen by somebody in the middle, whatever becomes of the broker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterator

PUBLISH = 3


class Said:
    """Messages in order, (topic, payload), their bytes on the disk: there are hundreds of megabytes of them."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - as long as this is
        self._places: list[tuple[str, int, int]] = []
        self._end = 0

    def append(self, topic: str, payload: bytes) -> None:
        os.pwrite(self._file.fileno(), payload, self._end)
        self._places.append((topic, self._end, len(payload)))
        self._end += len(payload)

    @property
    def topics(self) -> list[str]:
        return [topic for topic, _, _ in self._places]

    def payload(self, number: int) -> bytes:
        _, at, length = self._places[number]
        return os.pread(self._file.fileno(), length, at)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        return ((topic, self.payload(number)) for number, topic in enumerate(self.topics))


class Wire:
    """Between the clients of its `port` and a broker. `messages`: as they were sent, MQTT 3.1.1."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self._ends: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.messages = Said()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = {writer}
        self._ends |= ends
        try:
            with contextlib.suppress(OSError):  # the broker is away, or a client was killed
                up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._broker_port)
                ends.add(up_writer)
                self._ends |= ends
                pumps = (self._up(reader, up_writer), self._down(up_reader, writer))
                tasks = [asyncio.create_task(pump) for pump in pumps]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._ends -= ends
            for end in ends:
                end.transport.abort()

    async def _up(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while head := await source.read(1):
            packet = bytearray(head)
            length, shift = 0, 0
            while shift == 0 or packet[-1] & 128:
                packet += await source.readexactly(1)
                length |= (packet[-1] & 127) << shift
                shift += 7
            body = await source.readexactly(length)
            if packet[0] >> 4 == PUBLISH:
                at = 2 + int.from_bytes(body[:2], "big")
                numbered = packet[0] & 0b110 != 0
                self.messages.append(body[2:at].decode(), body[at + 2 * numbered :])
            sink.write(bytes(packet) + body)
            await sink.drain()

    async def _down(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Wire]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for end in list(self._ends):
                end.transport.abort()
