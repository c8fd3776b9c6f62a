"""The HTTP interface in the test's own process, for tests of the handlers."""

import asyncio
import concurrent.futures
import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse

from rtserver.app.server import Server
from rtserver.config.settings import Settings
from tests.support.documents import check_answer
from tests.support.leftovers import end_leftovers
from tests.support.tokens import SECRET
from tests.support.tokens import token as signed_token

TIMEOUT_S = 30.0
_UNSET = object()


@dataclass
class Http:
    """Requests with pytest-tornado's client, which knows no connection pool and no redirects."""

    client: AsyncHTTPClient
    base_url: str

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = _UNSET,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HTTPResponse:
        """Send a request; whatever the status is, the response comes back.

        Args:
            method: of the request.
            path: and query, as they stand in the request line.
            body: bytes as they are, anything else as JSON.
            token: ada's for every project where none is given; an empty one: none is sent.
            headers: further headers.
        """
        signed = signed_token("ada") if token is None else token
        sent = {**({"Authorization": f"Bearer {signed}"} if signed else {}), **(headers or {})}
        content = body if isinstance(body, bytes) else None
        if content is None and body is not _UNSET:
            content = json.dumps(body).encode()
        request = HTTPRequest(
            self.base_url + path,
            method=method,
            headers=sent,
            body=content,
            allow_nonstandard_methods=True,
            follow_redirects=False,
            request_timeout=TIMEOUT_S,
        )
        response = await self.client.fetch(request, raise_error=False)
        if response.code != 599:  # which stands for none at all
            check_answer(
                method,
                unquote(path.partition("?")[0]),
                response.code,
                response.headers,
                response.body or b"",
            )
        return response


def problem(response: HTTPResponse, status: int, reason: str | None = None) -> dict[str, Any]:
    """The document of an answer that has to be a problem (RFC 9457)."""
    where = f"{response.request.method} {response.request.url}"
    assert response.code == status, f"{where}: {response.code} {response.body!r}"
    assert response.headers["Content-Type"] == "application/problem+json", where
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    document: dict[str, Any] = json.loads(response.body)
    assert document["type"] == "about:blank"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"], f"{where}: nothing for people"
    if reason is not None:
        assert document["reason"] == reason, where
    for word in ("Traceback", "Error(", "pymongo", "/handlers/"):
        assert word not in response.body.decode(), f"{where}: the inside shows"
    return document


@contextlib.contextmanager
def server_in_thread(settings: Mapping[str, object]) -> Iterator[Server]:
    """A whole worker with an event loop of its own, so that several tests can share it.

    Args:
        settings: by name, as in the environment less the prefix.
    """
    given = {"port": 0, **settings}
    environment = {f"RT_{name.upper()}": str(value) for name, value in given.items()}
    server = Server(Settings.load(environment, {}), secret=SECRET)
    started: concurrent.futures.Future[asyncio.Event] = concurrent.futures.Future()
    left: list[str] = []

    async def serve() -> None:
        stop = asyncio.Event()
        try:
            await server.start()
            started.set_result(stop)
            await stop.wait()
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            raise
        finally:
            await server.stop()
            left.extend(await end_leftovers())

    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="served") as executor:
        loop = asyncio.new_event_loop()
        running = executor.submit(loop.run_until_complete, serve())
        try:
            stop = started.result(TIMEOUT_S)
            yield server
            loop.call_soon_threadsafe(stop.set)
        finally:
            running.result(TIMEOUT_S)
            loop.close()
    assert not left, f"tasks were left behind: {left}"


async def raw_request(port: int, request: bytes, *rest: bytes) -> tuple[int, bytes, bytes]:
    """Send bytes as they are and read until the server ends the connection.

    Returns:
        Status, head and body of the first response.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            writer.write(request)
            try:
                for part in rest:
                    writer.write(part)
                    await writer.drain()
            except ConnectionError:
                pass  # the server has heard enough
            received = b""
            while b"\r\n\r\n" not in received:
                more = await reader.read(65536)
                assert more, f"no response, but {received!r}"
                received += more
            head, _, body = received.partition(b"\r\n\r\n")
            length = next(
                (
                    int(line.split(b":")[1])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length:")
                ),
                0,
            )
            while len(body) < length:
                more = await reader.read(65536)
                assert more, "the response was cut off"
                body += more
        return int(head.split(b" ")[1]), head, body
    finally:
        writer.transport.abort()
