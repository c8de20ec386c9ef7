"""A bad network between a client and a broker, without any privilege: throttled, and cut when told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Link:
    """A TCP link to a broker that carries `bytes_per_s` towards the client and can be cut."""

    def __init__(self, port: int, bytes_per_s: float) -> None:
        self._upstream = port
        self._bytes_per_s = bytes_per_s
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        self._writers |= {writer, up_writer}
        with contextlib.suppress(OSError):
            await asyncio.gather(self._pump(reader, up_writer, 1e12), self._pump(up_reader, writer, self._bytes_per_s))
        for end in (writer, up_writer):
            self._writers.discard(end)
            end.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, bytes_per_s: float) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.time()
        while data := await source.read(16_384):
            sink.write(data)
            await sink.drain()
            ready = max(ready, loop.time() - 0.01) + len(data) / bytes_per_s
            await asyncio.sleep(max(0.0, ready - loop.time()))
        raise ConnectionResetError

    def cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Link]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()
