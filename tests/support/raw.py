"""A WebSocket client that only does what it is told to: no pong, no close, no reading by itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from tests.support.documents import check_frame
from tests.support.sockets import RECV_S, socket_path
from tests.support.tokens import token as signed_token


class RawClient:
    """The `websockets` library's protocol without its input and output; see `raw_client`.

    Attributes:
        protocol: RFC 6455 as the library implements it.
        frames: every frame that was received, in order.
        received: every byte that was received since the handshake began.
        ended: whether the server has ended the TCP connection.
    """

    def __init__(
        self, protocol: ClientProtocol, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.protocol = protocol
        self.frames: list[Frame] = []
        self.received = bytearray()
        self.ended = False
        self._reader = reader
        self._writer = writer

    async def flush(self) -> None:
        """Send what the protocol has to say, pongs and close frames included."""
        for data in self.protocol.data_to_send():
            self._writer.write(data)
        await self._writer.drain()

    async def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    async def receive(self) -> None:
        """Read once. What the protocol would answer waits until `flush`."""
        data = await self._reader.read(65536)
        self.received += data
        if data:
            self.protocol.receive_data(data)
        else:
            self.ended = True
            self.protocol.receive_eof()
        frames = [event for event in self.protocol.events_received() if isinstance(event, Frame)]
        for frame in frames:
            if frame.opcode is Opcode.TEXT and frame.fin:
                check_frame(json.loads(bytes(frame.data)))
        self.frames += frames

    async def receive_until(self, opcode: Opcode, timeout_s: float = RECV_S) -> Frame:
        """Read until a frame of this kind has come after those that were there before."""
        seen = len(self.frames)
        async with asyncio.timeout(timeout_s):
            while True:
                for frame in self.frames[seen:]:
                    if frame.opcode is opcode:
                        return frame
                if self.ended:
                    raise ConnectionError(f"the connection ended without a {opcode.name}")
                await self.receive()

    async def receive_all(self, timeout_s: float = RECV_S) -> None:
        """Read until the server ends the connection."""
        async with asyncio.timeout(timeout_s):
            while not self.ended:
                await self.receive()


@asynccontextmanager
async def raw_client(
    address: str, project_id: str, *, user: str = "raw", token: str | None = None
) -> AsyncIterator[RawClient]:
    """Connect, and do nothing by itself from then on."""
    protocol = ClientProtocol(parse_uri(f"ws://{address}{socket_path(project_id)}"), max_size=None)
    request = protocol.connect()
    request.headers["Authorization"] = f"Bearer {token or signed_token(user)}"
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    client = RawClient(protocol, reader, writer)
    try:
        protocol.send_request(request)
        await client.flush()
        async with asyncio.timeout(RECV_S):
            while protocol.state is State.CONNECTING:
                await client.receive()
        yield client
    finally:
        writer.transport.abort()


__all__ = ["Opcode", "RawClient", "raw_client"]
