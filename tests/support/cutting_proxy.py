"""A proxy in front of MongoDB that loses connections at the worst moment."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import unquote, urlsplit

MESSAGE_HEADER_BYTES = 16
COMMAND_AT = MESSAGE_HEADER_BYTES + 10
"""Where the name of an OP_MSG's first element begins: the command."""


class CuttingProxy:
    """Forwards whole MongoDB messages, and cuts the connection around some of them.

    Attributes:
        command: the command that is waited for, such as `insert`.
        seen: how many of it were forwarded.
        cuts_after: of the next so many, the answer does not come back although it was done.
        cuts_before: the next so many are not even forwarded.
        held: set when an answer has come and is held back until `release`.
        release: None where answers are not held back.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._connections: set[asyncio.Task[None]] = set()
        self.command = "insert"
        self.seen = 0
        self.cuts_after = 0
        self.cuts_before = 0
        self.held = asyncio.Event()
        self.release: asyncio.Event | None = None
        self.uri = ""

    async def start(self) -> asyncio.Server:
        """Listen on a free port."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        return server

    async def stop(self) -> None:
        """End all connections."""
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(list(self._connections))

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        # Here and not in the task, which may be cancelled before it has begun.
        task.add_done_callback(lambda _: writer.close())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        above_reader, above = await asyncio.open_unix_connection(self._path)
        meant: set[bytes] = set()
        ways = {
            asyncio.ensure_future(self._forward(reader, above, meant)),
            asyncio.ensure_future(self._back(above_reader, writer, meant)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            above.close()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _forward(
        self, reader: asyncio.StreamReader, above: asyncio.StreamWriter, meant: set[bytes]
    ) -> None:
        while True:
            request = await _message(reader)
            if request.startswith(f"{self.command}\x00".encode(), COMMAND_AT):
                if self.cuts_before:
                    self.cuts_before -= 1
                    return
                self.seen += 1
                meant.add(request[4:8])  # its number
            above.write(request)

    async def _back(
        self, above: asyncio.StreamReader, writer: asyncio.StreamWriter, meant: set[bytes]
    ) -> None:
        while True:
            answer = await _message(above)
            if answer[8:12] in meant:  # the number of what it answers
                meant.discard(answer[8:12])
                if self.release is not None:
                    self.held.set()
                    await self.release.wait()
                if self.cuts_after:
                    self.cuts_after -= 1
                    return
            writer.write(answer)


async def _message(reader: asyncio.StreamReader) -> bytes:
    """One message of the MongoDB wire protocol: its first four bytes are its length."""
    head = await reader.readexactly(MESSAGE_HEADER_BYTES)
    return head + await reader.readexactly(int.from_bytes(head[:4], "little") - len(head))


@contextlib.asynccontextmanager
async def cutting_proxy(uri: str) -> AsyncIterator[CuttingProxy]:
    """A proxy to the MongoDB that listens on the Unix socket of a URI."""
    proxy = CuttingProxy(unquote(urlsplit(uri).netloc))
    server = await proxy.start()
    try:
        yield proxy
    finally:
        server.close()
        await proxy.stop()
        await server.wait_closed()
