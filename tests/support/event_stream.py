"""A client of event streams on a bare TCP connection: it sees every byte as it comes."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.support.documents import check_frame
from tests.support.people import People
from tests.support.tokens import token as signed_token

RECV_S = 20.0

Frame = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two empty lines of an event stream.

    Attributes:
        fields: the fields by name.
        comments: the lines that start with a colon.
        last_event_id: the client's Last-Event-ID after this block.
    """

    fields: dict[str, str] = field(default_factory=dict)
    comments: tuple[str, ...] = ()
    last_event_id: str = ""

    @property
    def event(self) -> str | None:
        """The event's type; None for a block that dispatches none."""
        return self.fields.get("event", "message") if "data" in self.fields else None

    @property
    def frame(self) -> Frame:
        """The data, read as JSON."""
        frame: Frame = json.loads(self.fields["data"])
        return frame


class StreamEndedError(Exception):
    """The server ended the stream while something else was waited for."""


class EventStreamClient:
    """One stream.

    Attributes:
        status: of the response.
        headers: of the response, names in lower case.
        blocks: all that came so far, but for `presence`, which comes at any time.
        people: what the `presence` events say.
        last_event_id: what a browser would send when it reconnects.
        is_whole: the last chunk of a chunked body has come.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._text = b""
        self.writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.blocks: list[Block] = []
        self.people = People()
        self.last_event_id = ""
        self.is_whole = False

    async def read_head(self) -> None:
        """Read the status line and the headers."""
        async with asyncio.timeout(RECV_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin1")
        status_line, *lines = head.strip().split("\r\n")
        self.status = int(status_line.split(" ")[1])
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()

    async def body(self) -> bytes:
        """All that is left of the response."""
        async with asyncio.timeout(RECV_S):
            if "content-length" in self.headers:
                return await self._reader.readexactly(int(self.headers["content-length"]))
            if self._is_chunked:
                chunks = []
                while chunk := await self._read_chunk():
                    chunks.append(chunk)
                return b"".join(chunks)
            return await self._reader.read()

    @property
    def _is_chunked(self) -> bool:
        return self.headers.get("transfer-encoding") == "chunked"

    async def _read_chunk(self) -> bytes:
        size = int(await self._reader.readuntil(b"\r\n"), 16)
        data = await self._reader.readexactly(size + 2)
        if not data.endswith(b"\r\n"):
            raise AssertionError(f"a chunk of {size} bytes goes on: {data[-40:]!r}")
        return data[:-2]

    async def _read_raw_block(self) -> bytes:
        """All up to the next empty line.

        Raises:
            asyncio.IncompleteReadError: the body is over; if it is chunked, by its last chunk.
        """
        if not self._is_chunked:
            return await self._reader.readuntil(b"\n\n")
        while b"\n\n" not in self._text:
            chunk = await self._read_chunk()
            if not chunk:
                self.is_whole = True
                raise asyncio.IncompleteReadError(self._text, None)
            self._text += chunk
        block, self._text = self._text.split(b"\n\n", 1)
        return block

    async def recv_block(self, timeout_s: float = RECV_S) -> Block:
        """The next block.

        Raises:
            StreamEndedError: there is none.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while (block := await self.recv_any()).event == "presence":
                    self.people.take(block.frame)
        except (asyncio.IncompleteReadError, ConnectionResetError) as error:
            raise StreamEndedError(str([block.event for block in self.blocks[-10:]])) from error
        self.blocks.append(block)
        return block

    async def recv_any(self) -> Block:
        """The next block, whatever it is."""
        raw = await self._read_raw_block()
        fields: dict[str, str] = {}
        comments: list[str] = []
        for line in raw.decode().rstrip("\n").split("\n"):
            name, _, value = line.partition(":")
            if not name:
                comments.append(value)
            else:
                fields[name] = value.removeprefix(" ")
        self.last_event_id = fields.get("id", self.last_event_id)
        block = Block(fields, tuple(comments), self.last_event_id)
        if block.event is not None:
            check_frame(block.frame, "events")
        return block

    async def sees(self, *names: str, timeout_s: float = RECV_S) -> People:
        """Wait until exactly these users are there; what else comes is passed over."""
        async with asyncio.timeout(timeout_s):
            while self.people.names != sorted(names):
                block = await self.recv_any()
                if block.event == "presence":
                    self.people.take(block.frame)
        return self.people

    async def recv(self, wanted: str | None = None, timeout_s: float = RECV_S) -> Frame:
        """The next event's frame, or the next of this type; other blocks are passed over."""
        async with asyncio.timeout(timeout_s):
            while True:
                block = await self.recv_block(timeout_s)
                if block.event is not None and wanted in (None, block.event):
                    return block.frame

    async def recv_until_id(self, event_id: str) -> None:
        """Read on until Last-Event-ID is this."""
        async with asyncio.timeout(RECV_S):
            while self.last_event_id != event_id:
                await self.recv_block()

    async def ended(self) -> Frame:
        """Wait for the stream's end: the `closing` event, which has to be the last."""
        try:
            async with asyncio.timeout(RECV_S):
                while True:
                    await self.recv_block()
        except StreamEndedError:
            events = [block for block in self.blocks if block.event is not None]
            if not events or events[-1].event != "closing":
                raise AssertionError(f"no closing event at the end: {events[-3:]}") from None
            if self._is_chunked and not self.is_whole:
                raise AssertionError("the body was cut off") from None
            return events[-1].frame

    @property
    def events(self) -> list[Frame]:
        """The stored events that came."""
        return [block.frame for block in self.blocks if block.event and "id" in block.fields]

    async def close(self) -> None:
        """Drop the connection."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):  # the server was first
            await self.writer.wait_closed()


def events_path(proposal_id: str, query: str = "") -> str:
    """The address of a proposal's stream."""
    return f"/api/v1/proposals/{quote(proposal_id, safe='')}/events" + (query and f"?{query}")


async def request_stream(
    address: str,
    path: str,
    *,
    token: str | None = None,
    method: str = "GET",
    http: str = "1.1",
    headers: dict[str, str] | None = None,
    receive_buffer_bytes: int = 0,
) -> EventStreamClient:
    """Ask for a stream and read the head of the answer.

    Args:
        address: host and port: `Worker.address`.
        path: see `events_path`.
        token: sent in the header Authorization; ada's for every project where none is given; none
            where it is empty.
        method: of the request.
        http: version of the request.
        headers: further headers.
        receive_buffer_bytes: SO_RCVBUF, to be a client that takes little at a time.
    """
    host, _, port = address.partition(":")
    sock = socket.socket()
    if receive_buffer_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
    except BaseException:
        sock.close()
        raise
    reader, writer = await asyncio.open_connection(sock=sock, limit=receive_buffer_bytes or 2**22)
    signed = signed_token("ada") if token is None else token
    sent = {"Host": address, "Accept": "text/event-stream", **(headers or {})}
    if signed:
        sent["Authorization"] = f"Bearer {signed}"
    lines = [f"{name}: {value}\r\n" for name, value in sent.items() if value]
    writer.write(f"{method} {path} HTTP/{http}\r\n{''.join(lines)}\r\n".encode())
    client = EventStreamClient(reader, writer)
    try:
        await client.read_head()
    except BaseException:
        writer.transport.abort()
        raise
    return client


@asynccontextmanager
async def event_stream(
    address: str, proposal_id: str, query: str = "", **options: Any
) -> AsyncIterator[EventStreamClient]:
    """A stream that was welcomed; see `request_stream`."""
    client = await request_stream(address, events_path(proposal_id, query), **options)
    try:
        if client.status != 200:
            raise AssertionError(f"{client.status}: {(await client.body())!r}")
        await client.recv("welcome")
        yield client
    finally:
        await client.close()
