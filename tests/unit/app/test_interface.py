"""`rtserver.app.interface`."""

import asyncio
from pathlib import Path

import pytest
from tornado.web import Application, RequestHandler

from rtserver.app import interface as app_interface
from rtserver.app.interface import Interface
from tests.unit.app.parts import foundation, settings_of


class Echo(RequestHandler):
    """What a worker that has started answers."""

    def post(self) -> None:
        self.finish(b"you said " + self.request.body)


@pytest.mark.gen_test
async def test_connections_are_kept_when_the_worker_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = b"POST /healthz HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\nhi"
    async with foundation(settings_of(tmp_path)) as base:
        interface = Interface(base)
        monkeypatch.setattr(app_interface, "QUICK_START_S", 0.0)
        with interface.answering_meanwhile():
            await asyncio.sleep(0.001)
        reader, writer = await asyncio.open_connection("127.0.0.1", interface.port)
        _, unused = await asyncio.open_connection("127.0.0.1", interface.port)
        writer.write(request)
        assert b" 200 " in await reader.readuntil(b'{"status": "ok"}')
        interface.answer(Application([("/.*", Echo)]))
        for _ in range(2):
            writer.write(request)
            assert b" 200 " in await reader.readuntil(b"you said hi")
        writer.close()
        unused.close()


@pytest.mark.gen_test
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # by Tornado
async def test_an_address_that_is_in_use_is_an_error(tmp_path: Path) -> None:
    async with foundation(settings_of(tmp_path)) as base:
        interface = Interface(base)
        async with foundation(settings_of(tmp_path, port=interface.port)) as another:
            with pytest.raises(OSError, match="in use"):
                Interface(another)
