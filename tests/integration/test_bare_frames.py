"""Frames without a message cost a server as much as messages do, so they count as such."""

import asyncio
import json
from itertools import product

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State
from websockets.typing import Subprotocol

from tests.support.sockjs_polls import hello, polled
from tests.support.tokens import token
from tests.support.workers import Worker, Workers

BURST = 40
FLOOD = 2000
FRAMES = "/sockjs/projects/000/{}/websocket"
RAW = "/sockjs/projects/websocket"
SESSION = "/ws/projects/p1"


def _masked(head: str, payload: str = "") -> bytes:
    return bytes.fromhex(head + "00000000" + payload)


# Of each kind what goes first, and what follows again and again (RFC 6455 section 5.2).
KINDS = {
    "ping": (b"", _masked("8980")),
    "pong": (b"", _masked("8a80")),
    "fragment": (_masked("0180"), _masked("0080")),
    "empty": (b"", _masked("8180")),
    "empty-array": (b"", _masked("8182", "5b5d")),
}


@pytest.fixture
def worker(module_workers: Workers) -> Worker:
    if not module_workers.all:
        module_workers.start(max_messages_per_s=0.1, max_message_burst=BURST)
    return module_workers.all[0]


async def flood(socket: ClientConnection, first: bytes, frame: bytes) -> int:
    """Send until the server closes; the close code, 0 where it took everything."""
    try:
        socket.transport.write(first)
        for _ in range(FLOOD):
            if socket.state is not State.OPEN:
                break
            socket.transport.write(frame)
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            async for _ in socket:
                pass
    except (ConnectionClosed, TimeoutError):
        pass
    return socket.close_code or 0


async def greet(socket: ClientConnection, path: str) -> None:
    """Become a member of the project."""
    greeting = json.dumps(hello("p1"))
    if path == SESSION:
        welcome = await socket.recv()
    elif path == RAW:
        await socket.send(greeting)
        welcome = await socket.recv()
    else:
        assert await socket.recv() == "o"
        await socket.send(json.dumps([greeting]))
        welcome = await socket.recv()
    assert "welcome" in str(welcome)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("path", "kind", "greeted"),
    [
        *product([SESSION], ["ping", "pong", "fragment"], [True]),
        *product([RAW], ["ping", "pong", "fragment"], [True, False]),
        *product([FRAMES], KINDS, [True, False]),
    ],
)
async def test_a_flood_of_them_ends_the_connection(
    worker: Worker, path: str, kind: str, greeted: bool
) -> None:
    url = f"ws://{worker.address}{path.format(f'{kind}-{greeted}')}"
    protocols = [Subprotocol("bearer"), Subprotocol(token("ada"))] if path == SESSION else None
    async with connect(url, subprotocols=protocols, proxy=None, ping_interval=None) as socket:
        if greeted:
            await greet(socket, path)
        assert await flood(socket, *KINDS[kind]) == 4029


@pytest.mark.gen_test
async def test_empty_lists_of_messages_count_over_http_too(worker: Worker) -> None:
    async with polled(worker.address, hello("p1")) as client:
        await client.recv_type("welcome")
        for _ in range(BURST + 1):
            await client.send()
        assert (await client.recv_closed())[0] == 4029
