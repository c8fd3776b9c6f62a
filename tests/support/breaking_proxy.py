"""A proxy in front of a worker that breaks what a test says: connections, or ways in."""

import asyncio
import threading
from collections.abc import Callable

START_S = 30.0
CHUNK_BYTES = 65_536


class BreakingProxy:
    """Passes bytes both ways, in a thread of its own; `with` runs it.

    Attributes:
        address: host and port where it listens.
    """

    def __init__(self, worker_port: Callable[[], int]) -> None:
        """Make one.

        Args:
            worker_port: of 127.0.0.1, asked anew for each connection.
        """
        self._worker_port = worker_port
        self._blocked: tuple[str, ...] = ()
        self._open: dict[asyncio.StreamWriter, str] = {}
        self._up = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run()), name="breaking-proxy", daemon=True
        )
        self.address = ""

    def block(self, *prefixes: str) -> None:
        """Cut every request whose path begins so, also those under way; none: block nothing."""
        done = threading.Event()

        def run() -> None:
            self._block(prefixes)
            done.set()

        if self._loop is None:
            raise RuntimeError("the proxy was not started")
        self._loop.call_soon_threadsafe(run)
        if not done.wait(START_S):
            raise TimeoutError("the proxy hangs")

    def _block(self, prefixes: tuple[str, ...]) -> None:
        self._blocked = prefixes
        for writer, path in self._open.items():
            if path.startswith(prefixes):
                writer.transport.abort()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._up.set()
        await self._stop.wait()
        server.close()
        self._block(("",))
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=START_S)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = ""
        try:
            above_reader, above = await asyncio.open_connection("127.0.0.1", self._worker_port())
        except OSError:  # nobody is there: the client is told by the end of its connection
            self._end(writer)
            return
        there = asyncio.create_task(self._forward(reader, writer, above))
        back = asyncio.create_task(self._back(above_reader, writer))
        await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        there.cancel()
        back.cancel()
        await asyncio.gather(there, back, return_exceptions=True)
        self._end(writer)
        above.transport.abort()

    def _end(self, writer: asyncio.StreamWriter) -> None:
        del self._open[writer]
        writer.transport.abort()

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        above: asyncio.StreamWriter,
    ) -> None:
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                # Browsers don't pipeline: a request's first line begins a chunk.
                parts = chunk[:2048].partition(b"\r\n")[0].split(b" ")
                if len(parts) == 3 and parts[2].startswith(b"HTTP/"):
                    path = self._open[writer] = parts[1].decode("latin-1")
                    if path.startswith(self._blocked):
                        return
                above.write(chunk)
                await above.drain()
        except OSError:
            return  # cut, by either side

    async def _back(self, above: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await above.read(CHUNK_BYTES):
                writer.write(chunk)
                await writer.drain()
        except OSError:
            return  # cut, by either side

    def __enter__(self) -> "BreakingProxy":
        self._thread.start()
        if not self._up.wait(START_S):
            raise RuntimeError("the proxy did not start")
        return self

    def __exit__(self, *_error: object) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_S)
