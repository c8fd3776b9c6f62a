"""Which requests are made again: `rtserver_client.api`."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from rtserver_client import ApiError, UnreachableError
from rtserver_client.api import ATTEMPTS, Api
from rtserver_client.tokens import Tokens, TokenSource

OK = (200, {"id": "e-1"})
BUSY = (503, {"reason": "busy", "detail": "Too much is waiting"})
OFTEN = (429, {"reason": "too_often"})
CUT: tuple[int, dict[str, str]] = (0, {})


class Server:
    """Answers with what it was told, one request after the other; the last one for all others.

    Attributes:
        asked: request line, token and idempotency key of each.
    """

    def __init__(self, *answers: tuple[int, dict[str, str]]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, str, str]] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        await reader.readexactly(int(fields.get("content-length", "0")))
        bearer = fields["authorization"].removeprefix("bearer ")
        self.asked.append((head[0].split(" HTTP")[0], bearer, fields.get("idempotency-key", "")))
        status, body = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if status:
            text = json.dumps(body).encode()
            writer.write(b"HTTP/1.1 %d Word\r\nContent-Length: %d\r\n" % (status, len(text)))
            writer.write(b"Connection: close\r\n\r\n" + text)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def serving(server: Server, token: TokenSource = "t1") -> AsyncIterator[Api]:
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening, Api(f"http://127.0.0.1:{port}/", Tokens(token)) as api:
        yield api


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtserver_client.backoff.random.uniform", lambda _low, _high: 0.0)


@pytest.mark.gen_test
@pytest.mark.parametrize("first", [BUSY, OFTEN, CUT], ids=["busy", "often", "cut"])
@pytest.mark.parametrize(("method", "key"), [("GET", None), ("POST", "k1")])
async def test_what_does_no_harm_is_made_again(
    first: tuple[int, dict[str, str]], method: str, key: str | None
) -> None:
    server = Server(first, OK)
    async with serving(server) as api:
        assert await api.call(method, "/x", key=key) == OK[1]
    assert server.asked == [(f"{method} /x", "t1", key or "")] * 2


@pytest.mark.gen_test
async def test_what_may_have_been_done_is_not_done_twice() -> None:
    server = Server(CUT, OK)
    async with serving(server) as api:
        with pytest.raises(UnreachableError):
            await api.call("POST", "/x", {})
    assert len(server.asked) == 1
    server = Server(BUSY, OK)
    async with serving(server) as api:
        with pytest.raises(ApiError, match="Too much is waiting"):
            await api.call("POST", "/x", {})
    assert len(server.asked) == 1
    server = Server(OFTEN, OK)  # nothing was done
    async with serving(server) as api:
        await api.call("POST", "/x", {})


@pytest.mark.gen_test
async def test_it_ends_some_time() -> None:
    server = Server(BUSY)
    async with serving(server) as api:
        with pytest.raises(ApiError) as refused:
            await api.call("GET", "/x")
    assert (refused.value.status, refused.value.reason) == (503, "busy")
    assert len(server.asked) == ATTEMPTS


@pytest.mark.gen_test
async def test_a_refused_token_is_renewed_once() -> None:
    given = iter(["t1", "t2", "t3", "t4"])
    server = Server((401, {}), OK)
    async with serving(server, lambda: next(given)) as api:
        await api.call("GET", "/x")
    assert [token for _, token, _ in server.asked] == ["t1", "t2"]
    server = Server((401, {}))
    async with serving(server, lambda: next(given)) as api:
        with pytest.raises(ApiError):
            await api.call("GET", "/x")
    assert [token for _, token, _ in server.asked] == ["t3", "t4"]
