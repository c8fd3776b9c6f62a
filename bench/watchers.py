"""WebSocket connections that watch iterations, in one process and with as little work as can be.

While the tokens come, frames are only put aside with the time of their arrival; they are read when
all is over. Otherwise the client would be what is measured.
"""

import asyncio
import base64
import hashlib
import json
import os
import time
from typing import cast

import msgspec

from bench.peers import HOST

ENDS = ("iteration_complete", "iteration_error", "iteration_cancelled")


class Frame(msgspec.Struct):
    """What is looked at of a frame."""

    type: str
    content: str = ""


_decode = msgspec.json.Decoder(Frame).decode


class Watcher(asyncio.Protocol):
    """One connection.

    Attributes:
        welcomed: Done with the first frame.
        ended: Done with the terminal event.

    After `read`:

    Attributes:
        end: The type of the terminal event.
        frames: How many token frames came.
        latencies_ns: From a token's sending to its arrival here, for each token.
        sha: Of the text so far.
    """

    def __init__(self, path: str, token: str) -> None:
        loop = asyncio.get_running_loop()
        self.welcomed: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.end = ""
        self.frames = 0
        self.latencies_ns: list[int] = []
        self.sha = hashlib.sha256()
        self._kept: list[tuple[int, bytes]] = []
        self._path = path
        self._token = token
        self._rest = b""
        self._upgraded = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks for the upgrade."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        key = base64.b64encode(os.urandom(16)).decode()
        self._transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"Authorization: Bearer {self._token}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        """Takes bytes as they come; the arrival of a frame is that of its last byte."""
        now_ns = time.monotonic_ns()
        data = self._rest + data
        if not self._upgraded:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = head
                return
            if b" 101 " not in head.partition(b"\r\n")[0]:
                raise RuntimeError(f"no upgrade: {head[:200]!r}")
            self._upgraded = True
        at = 0
        while (frame := _frame_at(data, at)) is not None:
            payload, at, opcode = frame
            if opcode == 1:
                self._kept.append((now_ns, payload))
                if not self.welcomed.done():
                    self.welcomed.set_result(None)
                elif b'"type":"iteration_' in payload and _decode(payload).type in ENDS:
                    self.ended.set_result(None)
            elif opcode == 9 and self._transport is not None:
                self._transport.write(_masked(0x8A, payload))
        self._rest = data[at:]

    def read(self) -> None:
        """Reads what was put aside."""
        for came_ns, payload in self._kept:
            frame = _decode(payload)
            if frame.type == "token":
                self.frames += 1
                self.sha.update(frame.content.encode())
                self.latencies_ns += [came_ns - int(sent) for sent in frame.content.split()]
            elif frame.type in ENDS:
                self.end = frame.type
        self._kept.clear()

    def connection_lost(self, error: Exception | None) -> None:
        """Lets nobody wait."""
        for future in (self.welcomed, self.ended):
            if not future.done():
                future.set_exception(error or ConnectionResetError("closed"))
                future.exception()

    def send(self, command: dict[str, object]) -> None:
        """Sends a command."""
        assert self._transport is not None
        self._transport.write(_masked(0x81, json.dumps(command).encode()))

    def close(self) -> None:
        """Drops the connection."""
        if self._transport is not None:
            self._transport.abort()


def _frame_at(data: bytes, at: int) -> tuple[bytes, int, int] | None:
    """A server's frame (RFC 6455 section 5.2): its payload, where it ends, and its opcode."""
    if len(data) < at + 2:
        return None
    opcode, size = data[at] & 15, data[at + 1]
    begin = at + 2
    if size >= 126:
        wide = 2 if size == 126 else 8
        begin += wide
        if len(data) < begin:
            return None
        size = int.from_bytes(data[at + 2 : begin], "big")
    end = begin + size
    return None if len(data) < end else (data[begin:end], end, opcode)


def _masked(first: int, payload: bytes) -> bytes:
    """A client's frame, masked with zeros, which leaves the payload as it is."""
    size = len(payload)
    head = (
        bytes([first, 0x80 | size])
        if size < 126
        else bytes([first, 0xFE]) + size.to_bytes(2, "big")
    )
    return head + bytes(4) + payload
