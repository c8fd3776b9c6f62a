"""`rtserver.app.drain`."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from rtserver.app import drain
from rtserver.app.server import Server
from rtserver.config.settings import Settings
from rtserver.model.events import EventDraft
from tests.support.sockets import session
from tests.support.tokens import SECRET


@pytest.mark.gen_test
async def test_what_was_published_is_stored_and_who_listens_is_told(settings: Settings) -> None:
    server = Server(settings, secret=SECRET)
    await server.start()
    async with session(f"127.0.0.1:{server.port}") as client:
        log = server.features.events.writer
        draft = EventDraft("p1", "test.event", {"data": "last"})
        publishing = asyncio.ensure_future(log.publish([draft]))
        await asyncio.sleep(0)
        await server.stop()
        assert (await publishing).last == 1
        code, closing = await client.closed()
        assert (code, closing["code"], closing["reconnect"]) == (1001, 1001, True)


@pytest.mark.gen_test
async def test_who_has_a_successor_sends_clients_over_one_by_one_and_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "SPREAD_S", 0.1)
    server = Server(settings, secret=SECRET)
    await server.start()
    async with AsyncExitStack() as stack:
        address = f"127.0.0.1:{server.port}"
        clients = [await stack.enter_async_context(session(address, user=name)) for name in "abcde"]
        stopping = asyncio.ensure_future(server.stop(has_successor=True))
        code, closing = await clients[0].closed()
        assert (code, closing["code"]) == (1001, 1001)
        assert closing["retry_after_ms"] <= 50  # a reader waits for a reconnect, and no longer
        assert clients[4].ws.close_code is None  # its turn is later
        for client in clients[1:]:
            assert (await client.closed())[0] == 1001
        await stopping


@pytest.mark.gen_test
async def test_nobody_comes_in_any_more(settings: Settings) -> None:
    server = Server(settings, secret=SECRET)
    await server.start()
    await server.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)
