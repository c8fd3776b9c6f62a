"""`rtserver.app.interface`."""

import asyncio
import os
import socket
from pathlib import Path

import pytest
from tornado.web import Application, RequestHandler

from rtserver.app import interface as app_interface
from rtserver.app.interface import Interface
from tests.unit.app.parts import foundation, settings_of

REQUEST = b"POST /healthz HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\nhi"


class Echo(RequestHandler):
    """What a worker that has started answers."""

    def post(self) -> None:
        self.finish(b"you said " + self.request.body)


@pytest.mark.gen_test
async def test_connections_are_kept_when_the_worker_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with foundation(settings_of(tmp_path)) as base:
        interface = Interface(base)
        monkeypatch.setattr(app_interface, "QUICK_START_S", 0.0)
        with interface.answering_meanwhile():
            await asyncio.sleep(0.001)
        reader, writer = await asyncio.open_connection("127.0.0.1", interface.port)
        _, unused = await asyncio.open_connection("127.0.0.1", interface.port)
        writer.write(REQUEST)
        assert b" 200 " in await reader.readuntil(b'{"status": "ok"}')
        interface.answer(Application([("/.*", Echo)]))
        for _ in range(2):
            writer.write(REQUEST)
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


@pytest.mark.gen_test
async def test_an_inherited_socket_outlives_the_worker_and_keeps_who_waits(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as kept:
        port = kept.getsockname()[1]
        fds = [os.dup(kept.fileno()), os.dup(kept.fileno())]
        async with foundation(settings_of(tmp_path, listen_fds=fds[0])) as base:
            first = Interface(base)
            assert first.port == port
            first.answer(Application([("/.*", Echo)]))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            first.stop_accepting()
            writer.write(REQUEST)  # on a connection that it has
            assert b"Connection: close" in await reader.readuntil(b"you said hi")
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)  # it waits
        async with foundation(settings_of(tmp_path, listen_fds=fds[1])) as base:
            second = Interface(base)
            second.answer(Application([("/.*", Echo)]))
            writer.write(REQUEST)
            assert b" 200 " in await reader.readuntil(b"you said hi")
            writer.close()


@pytest.mark.gen_test
async def test_what_does_not_listen_is_an_error(tmp_path: Path) -> None:
    with socket.socket() as unused:
        fd = os.dup(unused.fileno())
        async with foundation(settings_of(tmp_path, listen_fds=fd)) as base:
            with pytest.raises(OSError, match="does not listen"):
                Interface(base)
        os.close(fd)
