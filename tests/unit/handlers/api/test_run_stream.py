"""A run as a durable stream over HTTP, in the parts that conformance tests know nothing of."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse

from handlers.api.run_stream import CURSOR_EPOCH_S, next_cursor
from rtserver.app.server import Server
from rtserver.runs import streams as run_streams
from tests.support.tokens import token
from tests.support.waiting import until
from tests.unit.handlers.parts import Http, problem

PRINTS_AND_WAITS = (
    "import os, time\n"
    "print('one', flush=True)\n"
    "while not os.path.exists('go-on'): time.sleep(0.01)\n"
    "print('two', flush=True)"
)


@pytest.fixture
def server_settings() -> dict[str, object]:
    return {
        "validation_command": f'{sys.executable} -I -S -c "{PRINTS_AND_WAITS}"',
        "validation_report_command": "",
    }


class _Case:
    """A run under way, which ends when it is told to."""

    def __init__(self, server: Server, tmp_path: Any) -> None:
        self.server = server
        self.http = Http(AsyncHTTPClient(), f"http://127.0.0.1:{server.port}")
        self.workspace = tmp_path / "workspaces" / "p1"
        self.run_id = ""

    async def begin(self) -> None:
        self.workspace.mkdir(parents=True)
        await self.http("POST", "/api/v1/projects/p1/proposals", {"id": "a", "title": "A"})
        answer = await self.http("POST", "/api/v1/proposals/a/validations", {})
        assert answer.code == 202, answer.body
        self.run_id = json.loads(answer.body)["run_id"]

    def go_on(self) -> None:
        (self.workspace / "go-on").touch()

    async def ask(self, query: str = "", **more: Any) -> HTTPResponse:
        return await self.http("GET", f"/api/v1/runs/{self.run_id}/stream{query}", **more)

    async def tail(self) -> str:
        """The stream's end, once the first line is there."""
        offset, lines = "-1", list[str]()
        while not lines:
            answer = await self.ask(f"?live=long-poll&offset={offset}")
            offset = answer.headers["Stream-Next-Offset"]
            lines += [e["line"] for e in json.loads(answer.body) if e["type"] == "output"]
        return offset

    async def waiting(self, *, query: str, **more: Any) -> "asyncio.Task[HTTPResponse]":
        """A request that waits for more."""
        asking = asyncio.ensure_future(self.ask(query, **more))
        readers = self.server.features.runs.streams
        await until(lambda: readers.waiting > 0, "somebody waits")
        return asking


@asynccontextmanager
async def _case(server: Server, tmp_path: Any) -> AsyncIterator[_Case]:
    case = _Case(server, tmp_path)
    await case.begin()
    try:
        yield case
    finally:
        case.go_on()


@pytest.mark.gen_test
async def test_a_run_is_read_as_it_goes_and_again_from_any_place(
    server: Server, tmp_path: Any
) -> None:
    async with _case(server, tmp_path) as case:
        half_way = await case.tail()
        asking = await case.waiting(query=f"?offset={half_way}&live=long-poll")
        received = bytearray()
        following = asyncio.ensure_future(
            case.http.client.fetch(
                HTTPRequest(
                    f"{case.http.base_url}/api/v1/runs/{case.run_id}/stream?offset=-1&live=sse",
                    headers={"Authorization": f"Bearer {token('ada')}"},
                    streaming_callback=received.extend,
                )
            )
        )
        await until(lambda: b"upToDate" in received, "it has come to the end")
        case.go_on()
        answer = await asking
        assert json.loads(answer.body)[0]["line"] == "two"
        assert (await following).headers["Content-Type"] == "text/event-stream"
        # The end of the stream ends the answer.
        blocks = [block.partition(b"\ndata:") for block in received.split(b"\n\n") if block]
        told = [json.loads(data) for head, _, data in blocks if head == b"event: data"]
        controls = [json.loads(data) for head, _, data in blocks if head == b"event: control"]
        assert controls[-1]["streamClosed"] is True

        whole = await case.ask()
        events = json.loads(whole.body)
        assert [event for part in told for event in part] == events
        assert [event["type"] for event in events] == [
            "validation_start",
            "output",
            "output",
            "validation_complete",
        ]
        assert whole.headers["Stream-Closed"] == whole.headers["Stream-Up-To-Date"] == "true"
        end = whole.headers["Stream-Next-Offset"]
        assert end == controls[-1]["streamNextOffset"] > half_way
        rest = await case.ask(f"?offset={half_way}")
        assert json.loads(rest.body) == events[2:]
        unchanged = await case.ask(headers={"If-None-Match": whole.headers["ETag"]})
        assert (unchanged.code, unchanged.body) == (304, b"")
        assert (await case.ask(f"?offset={end}&live=long-poll")).code == 204
        head = await case.http("HEAD", f"/api/v1/runs/{case.run_id}/stream")
        assert head.headers["Stream-Next-Offset"] == end


@pytest.mark.gen_test
async def test_whoever_may_not_read_the_run_may_not_read_its_stream(
    server: Server, tmp_path: Any
) -> None:
    async with _case(server, tmp_path) as case:
        for method in ("GET", "HEAD"):
            path = f"/api/v1/runs/{case.run_id}/stream"
            assert (await case.http(method, path, token=token("eve", "p2"))).code == 404
            assert (await case.http(method, path, token="no.to.ken")).code == 401
        for query in (
            "?offset=x",
            "?offset=",
            "?live=sse",
            "?offset=-1&live=x",
            "?offset=1&offset=1",
        ):
            problem(await case.ask(query), 400)
        far = f"{server.features.events.writer.epoch}_{'9' * 18}"
        problem(await case.ask(f"?offset={far}"), 422)
        assert problem(await case.ask(f"?offset=e0e0_{'0' * 18}"), 410)["earliest_offset"]


@pytest.mark.gen_test
async def test_who_waits_is_bounded_and_ends_with_the_token_and_the_worker(
    server: Server, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_streams, "MAX_WAITING_PER_USER", 3)
    async with _case(server, tmp_path) as case:
        query = f"?offset={await case.tail()}&live=long-poll"
        many = [asyncio.ensure_future(case.ask(query)) for _ in range(3)]
        streams = server.features.runs.streams
        await until(lambda: streams.waiting == 3, "they wait")
        assert problem(await case.ask(query), 429, "too_many_streams")["retry_after_s"]
        root = token("root", roles=("admin",))
        revoked = await case.http("POST", "/api/v1/users/ada/revoke", {}, token=root)
        assert revoked.code == 200, revoked.body
        for answer in await asyncio.gather(*many):
            problem(answer, 401, "revoked")
        short = token("bob", ttl_s=0.5)
        over = await case.ask(query, token=short)
        assert over.code == 204, "a wait ends with the token"
        asking = await case.waiting(query=query, token=token("bob"))
        streams.stop()
        assert (await asking).code == 204
        assert streams.waiting == 0


def test_cursors_never_go_back() -> None:
    now_s = CURSOR_EPOCH_S + 1000 * 20 + 7.0
    assert next_cursor(None, now_s) == next_cursor("999", now_s) == "1000"
    assert next_cursor("no cursor", now_s) == next_cursor("9" * 400, now_s) == "1000"
    assert all(int(next_cursor("1000", now_s)) > 1000 for _ in range(50))
    assert int(next_cursor("5000", now_s)) > 5000
