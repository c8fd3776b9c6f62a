"""A WebSocket client that can do everything wrong: frames are put together by hand (RFC 6455)."""

import asyncio
import base64
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

RECV_S = 20.0

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


@dataclass(frozen=True, slots=True)
class ReceivedFrame:
    """A frame of the server."""

    opcode: int
    payload: bytes
    first_byte: int


class RawSocket:
    """A connection after the upgrade."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(
        self,
        opcode: int,
        payload: bytes = b"",
        *,
        fin: bool = True,
        rsv: int = 0,
        masked: bool = True,
        pieces: int = 1,
    ) -> None:
        """Send one frame.

        Args:
            opcode: any of 0 to 15.
            payload: unmasked.
            fin: whether it is the last of its message.
            rsv: the reserved bits, 0 to 7.
            masked: as a client has to.
            pieces: in how many writes it goes out.
        """
        length = len(payload)
        head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
        bit = 0x80 if masked else 0
        if length < 126:
            head += bytes([bit | length])
        elif length < 65536:
            head += bytes([bit | 126]) + struct.pack("!H", length)
        else:
            head += bytes([bit | 127]) + struct.pack("!Q", length)
        if masked:
            mask = os.urandom(4)
            repeated = (mask * (length // 4 + 1))[:length]
            head += mask
            payload = (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(
                length, "big"
            )
        data = head + payload
        size = max(1, -(-len(data) // pieces))
        for start in range(0, len(data), size):
            self.writer.write(data[start : start + size])
            await self.writer.drain()
            await asyncio.sleep(0)

    async def recv(self) -> ReceivedFrame | None:
        """The next frame; None where the connection was dropped without one."""
        async with asyncio.timeout(RECV_S):
            try:
                first, second = await self.reader.readexactly(2)
                length = second & 0x7F
                if length == 126:
                    (length,) = struct.unpack("!H", await self.reader.readexactly(2))
                elif length == 127:
                    (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
                payload = await self.reader.readexactly(length)
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
        return ReceivedFrame(first & 0x0F, payload, first)

    async def recv_close(self) -> int | None:
        """The code of the server's close frame, which has to be next; None where it has none.

        Raises:
            AssertionError: there is another frame, or something after it, or none at all.
        """
        frame = await self.recv()
        if frame is None or frame.opcode != CLOSE:
            raise AssertionError(f"not a close frame: {frame}")
        await self.dropped()
        return struct.unpack("!H", frame.payload[:2])[0] if frame.payload else None

    async def dropped(self) -> None:
        """Wait until the server ends the connection.

        Raises:
            AssertionError: it sends another frame.
        """
        frame = await self.recv()
        if frame is not None:
            raise AssertionError(f"the connection should have ended: {frame}")


@asynccontextmanager
async def raw_socket(address: str, path: str = "/ws/echo") -> AsyncIterator[RawSocket]:
    """Connect and upgrade."""
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**25)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), RECV_S)
    try:
        if not head.startswith(b"HTTP/1.1 101 "):
            raise AssertionError(head)
        yield RawSocket(reader, writer)
    finally:
        writer.transport.abort()
