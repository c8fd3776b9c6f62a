"""HTTP by hand: for what a good client would never do, and to see chunks as they come."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

RECV_S = 20.0


class RawHttp:
    """A connection, and the response that is being read from it.

    Attributes:
        status: of the last response.
        headers: of the last response, names in lower case, repeated ones joined by commas.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}

    async def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: str | bytes = b"",
        http: str = "1.1",
    ) -> None:
        """Send a request. `Content-Length` is added where the method has a body, unless given."""
        data = body.encode() if isinstance(body, str) else body
        sent = {"Host": "test.example", **(headers or {})}
        if method in ("POST", "PUT"):
            sent.setdefault("Content-Length", str(len(data)))
        lines = "".join([f"{name}: {value}\r\n" for name, value in sent.items()])
        self._writer.write(f"{method} {path} HTTP/{http}\r\n{lines}\r\n".encode() + data)
        await self._writer.drain()

    async def write(self, data: bytes) -> None:
        """Send more of a body."""
        self._writer.write(data)
        await self._writer.drain()

    async def read_head(self) -> "RawHttp":
        """Read status line and headers."""
        async with asyncio.timeout(RECV_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin1")
        status_line, *lines = head.rstrip().split("\r\n")
        self.status = int(status_line.split(" ")[1])
        self.headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            before = self.headers.get(name.lower())
            self.headers[name.lower()] = f"{before}, {value.strip()}" if before else value.strip()
        return self

    async def read_body(self) -> str:
        """Read what belongs to the response, however its end is told."""
        async with asyncio.timeout(RECV_S):
            if self.headers.get("transfer-encoding") == "chunked":
                chunks = []
                while chunk := await self.read_chunk():
                    chunks.append(chunk)
                return "".join(chunks)
            if "content-length" in self.headers:
                size = int(self.headers["content-length"])
                return (await self._reader.readexactly(size)).decode()
            if self.status in (101, 204, 304):
                return ""
            return (await self._reader.read()).decode()

    async def read_chunk(self) -> str:
        """The next chunk; empty at the end."""
        async with asyncio.timeout(RECV_S):
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            return (await self._reader.readexactly(size + 2))[:-2].decode()

    async def read(self, size: int) -> bytes:
        """So many bytes."""
        async with asyncio.timeout(RECV_S):
            return await self._reader.readexactly(size)

    async def ended(self) -> None:
        """Wait for the connection's end.

        Raises:
            AssertionError: something else comes.
        """
        async with asyncio.timeout(RECV_S):
            rest = await self._reader.read()
        if rest:
            raise AssertionError(f"the connection should have ended: {rest!r}")

    async def is_open(self, for_s: float = 0.2) -> bool:
        """Whether the connection neither ends nor brings anything for a while."""
        try:
            async with asyncio.timeout(for_s):
                await self._reader.read(1)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        """Drop the connection."""
        self._writer.transport.abort()


@asynccontextmanager
async def raw_http(address: str) -> AsyncIterator[RawHttp]:
    """Connect."""
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**24)
    connection = RawHttp(reader, writer)
    try:
        yield connection
    finally:
        connection.close()
