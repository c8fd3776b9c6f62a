"""An attacker, as a process of its own: `python -m tests.support.attacker PORT`, until killed.

It does the kind whose name is on the last line of its input, over several connections at once and
as fast as the server lets it; whatever ends is begun anew.
"""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable

from tests.support.tokens import token

NOTHING = "nothing"
"""The kind that is a pause."""
CONNECTIONS = 20
BODY_BYTES = 4 * 1024 * 1024
FRAMES = 200
"""Sent in one write."""
_NONE = b"\x80\x00\x00\x00\x00"  # no payload, masked
PINGS = (b"\x89" + _NONE) * FRAMES
EMPTY_TEXTS = (b"\x81" + _NONE) * FRAMES
FRAGMENTS = (b"\x01" + _NONE) + (b"\x00" + _NONE) * FRAMES

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Attacker:
    """What is done on each connection. From an address of its own, by what a proxy would say."""

    def __init__(self, ip: str) -> None:
        self._ip = ip

    def _head(self, method: str, path: str, *headers: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", "Host: x", f"X-Forwarded-For: {self._ip}", *headers]
        return "\r\n".join([*lines, "", ""]).encode()

    async def ask(self, connection: _Connection, method: str, path: str, body: bytes = b"") -> None:
        """Send a request again and again."""
        reader, writer = connection
        while True:
            writer.write(self._head(method, path, f"Content-Length: {len(body)}") + body)
            await writer.drain()
            await _read_answer(reader)

    async def upgrade(self, connection: _Connection, path: str) -> None:
        """Open a WebSocket."""
        reader, writer = connection
        upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
        writer.write(self._head("GET", path, *upgrade, "Sec-WebSocket-Key: dGhlIHNhbXBsZQ=="))
        await _read_answer(reader)

    async def send(self, connection: _Connection, path: str, frames: bytes) -> None:
        """Send frames on a WebSocket until it is closed."""
        await self.upgrade(connection, path)
        reader, writer = connection
        reading = asyncio.ensure_future(reader.read())
        try:
            with contextlib.suppress(ConnectionError):
                while not reading.done():
                    writer.write(frames)
                    await writer.drain()
            await reading
        finally:
            reading.cancel()


async def _read_answer(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.split(b":")[1]))


KINDS: dict[str, Callable[[Attacker, _Connection], Awaitable[None]]] = {
    "requests": lambda me, it: me.ask(it, "GET", "/api/v1/projects/p1"),
    "pages": lambda me, it: me.ask(it, "GET", "/"),
    "bodies": lambda me, it: me.ask(it, "POST", "/healthz", b"x" * BODY_BYTES),
    "connects": lambda me, it: me.upgrade(it, "/ws/projects/p1"),
    "pings": lambda me, it: me.send(it, "/sockjs/projects/websocket", PINGS),
    "empty frames": lambda me, it: me.send(it, "/sockjs/projects/0/x/websocket", EMPTY_TEXTS),
    "fragments": lambda me, it: me.send(it, "/sockjs/projects/websocket", FRAGMENTS),
    "pings of a user": lambda me, it: me.send(
        it, f"/ws/projects/p1?token={token('mallory')}", PINGS
    ),
}


async def _again_and_again(port: int, kind: str) -> None:
    attacker = Attacker(f"198.51.100.{list(KINDS).index(kind) + 1}")
    while True:
        try:
            connection = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            continue
        try:
            await KINDS[kind](attacker, connection)
        except (OSError, EOFError):
            pass
        finally:
            connection[1].transport.abort()


async def _main(port: int) -> None:
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []
    while kind := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        for task in tasks:
            task.cancel()
        tasks = []
        if kind != NOTHING:
            tasks = [loop.create_task(_again_and_again(port, kind)) for _ in range(CONNECTIONS)]


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
