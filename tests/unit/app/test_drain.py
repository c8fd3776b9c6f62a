"""`rtserver.app.drain`."""

import asyncio

import pytest

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
async def test_nobody_comes_in_any_more(settings: Settings) -> None:
    server = Server(settings, secret=SECRET)
    await server.start()
    await server.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)
