"""A line to a server on loopback that can go dead: a TCP proxy in a thread of its own."""

import asyncio
import contextlib
import threading
from collections import Counter
from types import TracebackType
from typing import Literal, Self

Direction = Literal["up", "down"]


class Gate:
    """Forwards bytes; after `stop_after` nothing passes in that direction, and no connection closes, until `release`.

    `up` is from the client to the server.
    """

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self.stuck = threading.Event()
        """Set when bytes wait that may not pass."""
        self._server_port = server_port
        self._left: dict[Direction, int] = {}
        self._moved: Counter[Direction] = Counter()
        self._connections: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._connect, "127.0.0.1", 0), self._loop
        ).result(10)
        self.port = server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def stop_after(self, n_bytes: int, direction: Direction) -> None:
        """Let so many more bytes pass, in all connections together."""
        self.stuck.clear()
        self._left[direction] = n_bytes

    def release(self) -> None:
        """Close every connection, as a client that died does, and let new ones pass."""

        async def close() -> None:
            self._left.clear()
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(10)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
            try:
                ways = (self._forward(reader, server_writer, "up"), self._forward(server_reader, writer, "down"))
                await asyncio.gather(*ways)
            finally:
                writer.close()
                server_writer.close()
                self._connections.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Direction) -> None:
        while data := await reader.read(2**14):
            passing = data[: max(0, self._left.get(way, len(data)))]
            if way in self._left:
                self._left[way] -= len(data)
            writer.write(passing)
            await writer.drain()
            if len(passing) < len(data):
                self.stuck.set()
                await asyncio.Event().wait()
        writer.write_eof()
