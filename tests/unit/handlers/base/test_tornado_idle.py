"""`handlers.base.tornado_idle`: connections that wait are few, and nobody is kept out."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from handlers.base.tornado_idle import BoundedServer
from rtserver.auth.client_address import ClientAddresses

LIMIT = 3
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Hello(RequestHandler):
    """Answers at once, or when it may."""

    may_answer = asyncio.Event()

    async def get(self) -> None:
        if self.get_query_argument("wait", ""):
            await self.may_answer.wait()
        self.finish("hello")


@contextlib.contextmanager
def _served(trusted_proxies: str) -> Iterator[tuple[int, BoundedServer]]:
    server = BoundedServer(
        Application([("/", Hello)]),
        addresses=ClientAddresses(trusted_proxies),
        max_idle_per_address=LIMIT,
        max_body_bytes=1000,
    )
    listening, port = bind_unused_port()
    server.add_socket(listening)
    try:
        yield port, server
    finally:
        server.stop()


class _Client:
    def __init__(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        self.reader, self.writer = streams

    async def ask(self, request: bytes = REQUEST) -> None:
        self.writer.write(request)
        await self.reader.readuntil(b"hello")


async def _open(stack: contextlib.ExitStack, port: int) -> _Client:
    client = _Client(await asyncio.open_connection("127.0.0.1", port))
    stack.callback(client.writer.close)
    return client


@pytest.mark.gen_test
async def test_the_one_that_has_waited_longest_makes_room() -> None:
    with _served("none") as (port, server), contextlib.ExitStack() as stack:
        clients = [await _open(stack, port) for _ in range(LIMIT)]
        for client in clients:
            await client.ask()
        await clients[0].ask()  # so the second has waited longest
        clients.append(await _open(stack, port))
        await clients[-1].ask()
        async with asyncio.timeout(20):
            assert await clients[1].reader.read() == b"", "it was closed"
        for client in (clients[0], clients[2], clients[3]):
            await client.ask()
        for client in clients:
            client.writer.close()
        async with asyncio.timeout(20):
            await server.close_all_connections()
        assert not server._idle._waiting, "nothing is kept of those who are gone"


@pytest.mark.gen_test
async def test_who_is_being_answered_does_not_wait() -> None:
    Hello.may_answer = asyncio.Event()
    with _served("none") as (port, _), contextlib.ExitStack() as stack:
        asking = []
        for _ in range(LIMIT + 2):
            client = await _open(stack, port)
            asking.append(asyncio.ensure_future(client.ask(REQUEST.replace(b"/ ", b"/?wait=1 "))))
        late = await _open(stack, port)
        await late.ask()
        Hello.may_answer.set()
        async with asyncio.timeout(20):
            await asyncio.gather(*asking)


@pytest.mark.gen_test
async def test_a_proxy_may_have_as_many_as_it_likes() -> None:
    with _served("loopback") as (port, _), contextlib.ExitStack() as stack:
        clients = [await _open(stack, port) for _ in range(3 * LIMIT)]
        for client in [*clients, *clients]:
            await client.ask()
