"""The SockJS protocol 0.3.3, clause by clause, at the endpoints of `serve --test-endpoints`.

Each class stands for a chapter of the protocol's own suite. The endpoints go through the handlers
and sessions of `/sockjs/projects`.
"""

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.raw_http import RawHttp, raw_http
from tests.support.workers import Workers

ECHO, CLOSE, NO_WEBSOCKET, COOKIE = (
    "/sockjs/echo",
    "/sockjs/close",
    "/sockjs/disabled_websocket_echo",
    "/sockjs/cookie_needed_echo",
)
GO_AWAY = 'c[3000,"Go away!"]'
STILL_OPEN = 'c[2010,"Another connection still open"]'
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Answer:
    """A whole response."""

    status: int
    headers: Mapping[str, str]
    body: str

    def assert_not_cached(self) -> None:
        assert (
            self.headers["cache-control"]
            == "no-store, no-cache, no-transform, must-revalidate, max-age=0"
        )
        assert "expires" not in self.headers
        assert "last-modified" not in self.headers

    def assert_cors(self, origin: str) -> None:
        assert self.headers["access-control-allow-origin"] == origin
        assert self.headers["access-control-allow-credentials"] == "true"
        assert "Origin" in self.headers["vary"]


@dataclass
class Client:
    """Makes requests, each on a connection of its own."""

    address: str
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def request(
        self, method: str, path: str, body: str = "", headers: Mapping[str, str] | None = None
    ) -> Answer:
        async with raw_http(self.address) as http:
            await http.send(method, path, headers, body)
            await http.read_head()
            return Answer(http.status, http.headers, await http.read_body())

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.request("GET", path, headers=headers)

    async def post(
        self, path: str, body: str = "", headers: Mapping[str, str] | None = None
    ) -> Answer:
        return await self.request("POST", path, body, headers)

    async def begin(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        http: str = "1.1",
    ) -> RawHttp:
        """A request whose response may go on; it is dropped at the end of the test."""
        connection = await self._stack.enter_async_context(raw_http(self.address))
        await connection.send(method, path, headers, http=http)
        return connection

    async def stream(self, method: str, path: str) -> RawHttp:
        connection = await (await self.begin(method, path)).read_head()
        assert connection.status == 200
        assert connection.headers["transfer-encoding"] == "chunked"
        return connection

    async def close(self) -> None:
        await self._stack.aclose()


@pytest.fixture
def address(module_workers: Workers) -> str:
    if not module_workers.all:
        module_workers.start("--test-endpoints")
    return module_workers.all[0].address


@asynccontextmanager
async def client_of(address: str) -> AsyncIterator[Client]:
    client = Client(address)
    try:
        yield client
    finally:
        await client.close()


def new_session(base: str = ECHO) -> str:
    return f"{base}/000/{uuid.uuid4()}"


async def websocket_frames(url: str, *messages: str, count: int) -> list[str]:
    """Send messages; the next so many messages, and `closed` where there are no more."""
    frames: list[str] = []
    async with connect(url, proxy=None, compression=None) as socket:
        for message in messages:
            await socket.send(message)
        try:
            async with asyncio.timeout(20):
                while len(frames) < count:
                    frames.append(str(await socket.recv()))
        except ConnectionClosed as closed:
            frames.append("closed")
            if closed.rcvd is not None:
                frames.append(f"{closed.rcvd.code} {closed.rcvd.reason}")
    return frames


class TestGreeting:
    @pytest.mark.gen_test
    @pytest.mark.parametrize("path", [ECHO, ECHO + "/"])
    async def test_welcome(self, address: str, path: str) -> None:
        async with client_of(address) as client:
            answer = await client.get(path)
            assert (answer.status, answer.body) == (200, "Welcome to SockJS!\n")
            assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
            assert "set-cookie" not in answer.headers

    @pytest.mark.gen_test
    @pytest.mark.parametrize("suffix", ["/a", "/a.html", "//", "///", "/a/a", "/a/a/", "/a/"])
    async def test_elsewhere_is_nothing(self, address: str, suffix: str) -> None:
        async with client_of(address) as client:
            assert (await client.get(ECHO + suffix)).status == 404


class TestIframe:
    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        "suffix",
        [
            "/iframe.html",
            "/iframe-a.html",
            "/iframe-.html",
            "/iframe-0.1.2.html",
            "/iframe-0.1.2abc-dirty.2144.html",
            "/iframe-a.html?t=1234",
            "/iframe-0.1.2.html?t=123414",
            "/iframe-0.1.2abc-dirty.2144.html?t=qweqweq123",
        ],
    )
    async def test_page(self, address: str, suffix: str) -> None:
        async with client_of(address) as client:
            answer = await client.get(ECHO + suffix)
            assert answer.status == 200
            assert answer.headers["content-type"] == "text/html; charset=UTF-8"
            assert re.search(r"max-age=[1-9][0-9]{6}", answer.headers["cache-control"])
            assert "public" in answer.headers["cache-control"]
            assert answer.headers["expires"].endswith(" GMT")
            assert answer.headers["etag"]
            assert "last-modified" not in answer.headers
            assert "set-cookie" not in answer.headers
            script = re.search(r'<script src="([^"]+)"></script>', answer.body)
            assert script is not None
            assert script[1].startswith("/")
            assert answer.body.index(script[0]) < answer.body.index("SockJS.bootstrap_iframe();")
            assert "document.domain = document.domain;" in answer.body
            assert answer.body.startswith("<!DOCTYPE html>\n<html>\n<head>\n")

    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        "suffix",
        [
            "/iframe.htm",
            "/iframe",
            "/IFRAME.HTML",
            "/IFRAME",
            "/iframe.HTML",
            "/iframe.xml",
            "/iframe-/.html",
        ],
    )
    async def test_other_names_are_nothing(self, address: str, suffix: str) -> None:
        async with client_of(address) as client:
            assert (await client.get(ECHO + suffix)).status == 404

    @pytest.mark.gen_test
    async def test_is_not_sent_twice(self, address: str) -> None:
        async with client_of(address) as client:
            first, second = [await client.get(ECHO + "/iframe.html") for _ in range(2)]
            assert first.headers["etag"] == second.headers["etag"]
            again = await client.get(
                ECHO + "/iframe.html", {"If-None-Match": first.headers["etag"]}
            )
            assert (again.status, again.body) == (304, "")
            assert "content-type" not in again.headers


class TestInfo:
    @pytest.mark.gen_test
    async def test_says_what_the_endpoint_can_do(self, address: str) -> None:
        async with client_of(address) as client:
            answer = await client.get(ECHO + "/info", {"Origin": "test"})
            assert answer.status == 200
            assert answer.headers["content-type"] == "application/json; charset=UTF-8"
            assert "set-cookie" not in answer.headers
            answer.assert_not_cached()
            answer.assert_cors("test")
            info = json.loads(answer.body)
            assert info["websocket"] is True
            assert info["cookie_needed"] in (True, False)
            assert info["origins"] == ["*:*"]
            assert 0 <= info["entropy"] < 2**32

    @pytest.mark.gen_test
    async def test_entropy_changes(self, address: str) -> None:
        async with client_of(address) as client:
            seen = [json.loads((await client.get(ECHO + "/info")).body) for _ in range(3)]
            assert len({info["entropy"] for info in seen}) > 1

    @pytest.mark.gen_test
    async def test_without_websocket(self, address: str) -> None:
        async with client_of(address) as client:
            assert json.loads((await client.get(NO_WEBSOCKET + "/info")).body)["websocket"] is False
            assert (await client.get(NO_WEBSOCKET + "/0/0/websocket")).status == 404

    @pytest.mark.gen_test
    @pytest.mark.parametrize("origin", ["test", "null"])
    @pytest.mark.parametrize(
        ("path", "methods"),
        [
            ("/info", "OPTIONS, GET"),
            ("/abc/abc/xhr", "OPTIONS, POST"),
            ("/abc/abc/xhr_send", "OPTIONS, POST"),
            ("/abc/abc/xhr_streaming", "OPTIONS, POST"),
        ],
    )
    async def test_preflight(self, address: str, path: str, methods: str, origin: str) -> None:
        async with client_of(address) as client:
            asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            answer = await client.request("OPTIONS", ECHO + path, headers=asked)
            assert (answer.status, answer.body) == (204, "")
            assert re.search(r"max-age=[1-9][0-9]{6}", answer.headers["cache-control"])
            assert "public" in answer.headers["cache-control"]
            assert answer.headers["expires"]
            assert int(answer.headers["access-control-max-age"]) > 1_000_000
            assert answer.headers["access-control-allow-methods"] == methods
            assert "access-control-allow-headers" not in answer.headers
            answer.assert_cors(origin)

    @pytest.mark.gen_test
    @pytest.mark.parametrize(("asked", "answered"), [("a, b, c", "a, b, c"), ("", None)])
    async def test_preflight_takes_all_headers(
        self, address: str, asked: str, answered: str | None
    ) -> None:
        async with client_of(address) as client:
            answer = await client.request(
                "OPTIONS",
                f"{new_session()}/xhr",
                headers={"Origin": "test", "Access-Control-Request-Headers": asked},
            )
            assert answer.headers.get("access-control-allow-headers") == answered


class TestSessionAddresses:
    @pytest.mark.gen_test
    @pytest.mark.parametrize("parts", ["/a/a", "/_/_", "/1/", "/abcdefgh_i-j%20/abcdefg_i-j%20"])
    async def test_any_words(self, address: str, parts: str) -> None:
        async with client_of(address) as client:
            answer = await client.post(f"{ECHO}{parts}{uuid.uuid4().hex}/xhr")
            assert (answer.status, answer.body) == (200, "o\n")

    @pytest.mark.gen_test
    @pytest.mark.parametrize("parts", ["//", "/a./a", "/a/a.", "/./.", "/", "///"])
    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_but_no_dots_and_no_other_number(
        self, address: str, parts: str, method: str
    ) -> None:
        async with client_of(address) as client:
            assert (await client.request(method, f"{ECHO}{parts}/xhr")).status == 404

    @pytest.mark.gen_test
    async def test_the_first_part_says_nothing(self, address: str) -> None:
        session = uuid.uuid4()
        async with client_of(address) as client:
            assert (await client.post(f"{ECHO}/000/{session}/xhr")).body == "o\n"
            assert (await client.post(f"{ECHO}/000/{session}/xhr_send", '["a"]')).status == 204
            assert (await client.post(f"{ECHO}/999/{session}/xhr")).body == 'a["a"]\n'


class TestXhrPolling:
    @pytest.mark.gen_test
    async def test_message_there_and_back(self, address: str) -> None:
        url = new_session()
        async with client_of(address) as client:
            opened = await client.post(url + "/xhr", headers={"Origin": "test"})
            assert (opened.status, opened.body) == (200, "o\n")
            assert opened.headers["content-type"] == "application/javascript; charset=UTF-8"
            opened.assert_not_cached()
            opened.assert_cors("test")
            sent = await client.post(url + "/xhr_send", '["x"]', {"Origin": "test"})
            assert (sent.status, sent.body) == (204, "")
            assert sent.headers["content-type"] == "text/plain; charset=UTF-8"
            sent.assert_not_cached()
            sent.assert_cors("test")
            received = await client.post(url + "/xhr")
            assert (received.status, received.body) == (200, 'a["x"]\n')

    @pytest.mark.gen_test
    async def test_all_that_has_gathered_comes_at_once(self, address: str) -> None:
        url = new_session()
        async with client_of(address) as client:
            await client.post(url + "/xhr")
            for number in range(20):
                await client.post(url + "/xhr_send", f'["{number}"]')
            received = await client.post(url + "/xhr")
            assert received.body == "a" + json.dumps(list(map(str, range(20)))).replace(" ", "") + (
                "\n"
            )

    @pytest.mark.gen_test
    async def test_unknown_session_takes_nothing(self, address: str) -> None:
        async with client_of(address) as client:
            assert (await client.post(new_session() + "/xhr_send", '["x"]')).status == 404

    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ('["x', "Broken JSON encoding."),
            ("", "Payload expected."),
            ('"word"', "Broken JSON encoding."),
            ("[1]", "Broken JSON encoding."),
            ('{"a": "b"}', "Broken JSON encoding."),
            ("[" * 100_000, "Broken JSON encoding."),
            ('["\\ud800"]', "Broken JSON encoding."),
        ],
    )
    async def test_what_is_no_list_of_messages(self, address: str, body: str, said: str) -> None:
        url = new_session()
        async with client_of(address) as client:
            await client.post(url + "/xhr")
            refused = await client.post(url + "/xhr_send", body)
            assert (refused.status, refused.body) == (500, said)
            assert (await client.post(url + "/xhr_send", '["a"]')).status == 204
            assert (await client.post(url + "/xhr")).body == 'a["a"]\n'

    @pytest.mark.gen_test
    async def test_content_type_does_not_matter_and_empty_lists_are_fine(
        self, address: str
    ) -> None:
        url = new_session()
        kinds = ["text/plain", "T", "application/json", "application/xml", ""]
        kinds += ["application/json; charset=utf-8", "text/xml; charset=utf-8", "text/xml"]
        async with client_of(address) as client:
            await client.post(url + "/xhr")
            assert (await client.post(url + "/xhr_send", "[]")).status == 204
            for kind in kinds:
                answer = await client.post(url + "/xhr_send", '["a"]', {"Content-Type": kind})
                assert (answer.status, answer.body) == (204, "")
            expected = ",".join(['"a"'] * len(kinds))
            assert (await client.post(url + "/xhr")).body == f"a[{expected}]\n"


class TestStreaming:
    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        ("method", "transport", "kind", "prelude", "form"),
        [
            (
                "POST",
                "/xhr_streaming",
                "application/javascript; charset=UTF-8",
                "h" * 2048 + "\n",
                "{}\n",
            ),
            ("GET", "/eventsource", "text/event-stream", "\r\n", "data: {}\r\n\r\n"),
            (
                "GET",
                "/htmlfile?c=%63all_back.x",
                "text/html; charset=UTF-8",
                None,
                "<script>\np({});\n</script>\r\n",
            ),
        ],
    )
    async def test_messages_come_as_they_are_sent(
        self, address: str, method: str, transport: str, kind: str, prelude: str | None, form: str
    ) -> None:
        url = new_session()

        def framed(frame: str) -> str:
            return form.format(json.dumps(frame) if transport.startswith("/htmlfile") else frame)

        async with client_of(address) as client:
            stream = await client.stream(method, url + transport)
            assert stream.headers["content-type"] == kind
            Answer(200, stream.headers, "").assert_not_cached()
            begin = await stream.read_chunk()
            if prelude is None:
                assert len(begin) > 1024
                assert "parent.call_back.x;" in begin
                assert begin.startswith("<!doctype html>")
                assert begin.rstrip().endswith("</script>")
            else:
                assert begin == prelude
            assert await stream.read_chunk() == framed("o")
            for message, received in (
                ('["x"]', 'a["x"]'),
                (r'["  \u0000\n\r "]', r'a["  \u0000\n\r "]'),
                ('["a%20b"]', 'a["a%2520b"]' if transport == "/eventsource" else 'a["a%20b"]'),
                ('["</script>\u2028"]', r'a["</script>\u2028"]'),
            ):
                sent = await client.post(url + "/xhr_send", message)
                assert (sent.status, sent.body) == (204, "")
                expected = framed(received)
                if transport.startswith("/htmlfile"):
                    head, tail = "<script>\np(", ");\n</script>\r\n"
                    inner = expected.removeprefix(head).removesuffix(tail)
                    expected = head + inner.replace("<", r"\u003c") + tail
                assert await stream.read_chunk() == expected

    @pytest.mark.gen_test
    async def test_a_stream_ends_after_so_many_bytes_and_the_next_goes_on(
        self, address: str
    ) -> None:
        url = new_session()
        async with client_of(address) as client:
            stream = await client.stream("POST", url + "/xhr_streaming")
            await stream.read_chunk()
            assert await stream.read_chunk() == "o\n"
            message = f'["{"x" * 128}"]'
            for _ in range(31):
                assert (await client.post(url + "/xhr_send", message)).status == 204
                assert await stream.read_chunk() == f"a{message}\n"
            assert await stream.read_chunk() == ""
            assert (await client.post(url + "/xhr_send", '["later"]')).status == 204
            stream = await client.stream("POST", url + "/xhr_streaming")
            await stream.read_chunk()
            assert await stream.read_chunk() == 'a["later"]\n'

    @pytest.mark.gen_test
    @pytest.mark.parametrize("transport", ["/eventsource", "/htmlfile?c=callback"])
    async def test_one_large_message_ends_a_stream(self, address: str, transport: str) -> None:
        url = new_session()
        async with client_of(address) as client:
            stream = await client.stream("GET", url + transport)
            await stream.read_chunk()
            assert "o" in await stream.read_chunk()
            assert (await client.post(url + "/xhr_send", f'["{"x" * 4096}"]')).status == 204
            assert "x" * 4096 in await stream.read_chunk()
            assert await stream.read_chunk() == ""


class TestJsonp:
    @pytest.mark.gen_test
    async def test_message_there_and_back(self, address: str) -> None:
        url = new_session()
        async with client_of(address) as client:
            opened = await client.get(url + "/jsonp?c=%63allback")
            assert (opened.status, opened.body) == (200, '/**/callback("o");\r\n')
            assert opened.headers["content-type"] == "application/javascript; charset=UTF-8"
            assert opened.headers["x-content-type-options"] == "nosniff"
            opened.assert_not_cached()
            sent = await client.post(url + "/jsonp_send", "d=%5B%22x%22%5D", FORM)
            assert (sent.status, sent.body) == (200, "ok")
            assert sent.headers["content-type"] == "text/plain; charset=UTF-8"
            sent.assert_not_cached()
            received = await client.get(url + "/jsonp?c=%63allback")
            assert received.body == '/**/callback("a[\\"x\\"]");\r\n'

    @pytest.mark.gen_test
    @pytest.mark.parametrize("transport", ["/jsonp", "/htmlfile"])
    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ("", '"callback" parameter required'),
            ("?c=", '"callback" parameter required'),
            *[
                (f"?c={name}", 'invalid "callback" parameter')
                for name in (
                    "%20",
                    "*",
                    "abc(",
                    "abc%28",
                    "a%0A",
                    "a</script>",
                    "%C3%A4",
                    "x" * 999,
                )
            ],
        ],
    )
    async def test_callback_has_to_be_a_name(
        self, address: str, transport: str, query: str, said: str
    ) -> None:
        async with client_of(address) as client:
            answer = await client.get(f"{new_session()}{transport}{query}")
            assert (answer.status, answer.body) == (500, said)
            assert answer.headers["content-type"].startswith("text/plain")

    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ("d=%5B%22x", "Broken JSON encoding."),
            ("d=%ff", "Broken JSON encoding."),
            ("", "Payload expected."),
            ("d=", "Payload expected."),
            ("p=p", "Payload expected."),
        ],
    )
    async def test_what_is_no_list_of_messages(self, address: str, body: str, said: str) -> None:
        url = new_session()
        async with client_of(address) as client:
            assert (await client.get(url + "/jsonp?c=x")).body == '/**/x("o");\r\n'
            refused = await client.post(url + "/jsonp_send", body, FORM)
            assert (refused.status, refused.body) == (500, said)
            assert (await client.post(url + "/jsonp_send", "d=%5B%22b%22%5D", FORM)).body == "ok"
            assert (await client.get(url + "/jsonp?c=x")).body == '/**/x("a[\\"b\\"]");\r\n'

    @pytest.mark.gen_test
    async def test_form_and_plain_bodies_and_empty_lists(self, address: str) -> None:
        url = new_session()
        async with client_of(address) as client:
            await client.get(url + "/jsonp?c=x")
            for body, headers in (
                ("d=%5B%5D", FORM),
                ("d=%5B%22a+c%22%5D", FORM),
                ('["%61bc"]', {"Content-Type": "text/plain"}),
            ):
                assert (await client.post(url + "/jsonp_send", body, headers)).body == "ok"
            received = await client.get(url + "/jsonp?c=x")
            assert received.body == '/**/x("a[\\"a c\\",\\"%61bc\\"]");\r\n'

    @pytest.mark.gen_test
    async def test_unknown_session_takes_nothing(self, address: str) -> None:
        async with client_of(address) as client:
            answer = await client.post(new_session() + "/jsonp_send", "d=%5B%22x%22%5D", FORM)
            assert answer.status == 404


class TestCookie:
    @pytest.mark.gen_test
    @pytest.mark.parametrize("base", [COOKIE, ECHO])
    async def test_every_transport_sets_it(self, address: str, base: str) -> None:
        async with client_of(address) as client:
            info = await client.get(base + "/info")
            assert json.loads(info.body)["cookie_needed"] is True
            assert "set-cookie" not in info.headers
            answers = [await client.post(new_session(base) + "/xhr")]
            answers.append(await client.get(new_session(base) + "/jsonp?c=x"))
            for method, transport in (
                ("POST", "/xhr_streaming"),
                ("GET", "/eventsource"),
                ("GET", "/htmlfile?c=x"),
            ):
                stream = await client.stream(method, new_session(base) + transport)
                answers.append(Answer(200, stream.headers, ""))
            for answer in answers:
                assert answer.headers["set-cookie"].lower().startswith("jsessionid=dummy; path=/")

    @pytest.mark.gen_test
    async def test_one_that_is_there_is_kept(self, address: str) -> None:
        async with client_of(address) as client:
            answer = await client.post(
                new_session(COOKIE) + "/xhr", headers={"Cookie": "JSESSIONID=abcdef"}
            )
            assert answer.headers["set-cookie"].startswith("JSESSIONID=abcdef; Path=/")

    @pytest.mark.gen_test
    async def test_none_where_nobody_needs_it(self, address: str) -> None:
        async with client_of(address) as client:
            answer = await client.post(new_session("/sockjs/projects") + "/xhr")
            assert (answer.body, "set-cookie" in answer.headers) == ("o\n", False)


class TestWebSocket:
    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        ("sent", "received"),
        [
            (['["a"]'], ["o", 'a["a"]']),
            (["", "[]", '["a","b"]'], ["o", 'a["a"]', 'a["b"]']),
            (['"bare"'], ["o", 'a["bare"]']),
        ],
    )
    async def test_messages_there_and_back(
        self, address: str, sent: list[str], received: list[str]
    ) -> None:
        url = f"ws://{address}{new_session()}/websocket"
        assert await websocket_frames(url, *sent, count=len(received)) == received

    @pytest.mark.gen_test
    async def test_two_sessions_may_share_an_id(self, address: str) -> None:
        url = f"ws://{address}{new_session()}/websocket"
        async with (
            connect(url, proxy=None) as one,
            connect(url, proxy=None) as two,
        ):
            assert [await one.recv(), await two.recv()] == ["o", "o"]
            await one.send('["a"]')
            await two.send('["b"]')
            assert [await one.recv(), await two.recv()] == ['a["a"]', 'a["b"]']
        assert await websocket_frames(url, '["a"]', count=2) == ["o", 'a["a"]']

    @pytest.mark.gen_test
    async def test_close(self, address: str) -> None:
        url = f"ws://{address}{new_session(CLOSE)}/websocket"
        frames = await websocket_frames(url, count=9)
        assert frames == ["o", GO_AWAY, "closed", "3000 Go away!"]

    @pytest.mark.gen_test
    @pytest.mark.parametrize("message", ['["a', "[1]", "{}", "[" * 50_000, '["\\ud800"]'])
    async def test_broken_json_ends_the_connection_abruptly(
        self, address: str, message: str
    ) -> None:
        url = f"ws://{address}{new_session()}/websocket"
        assert await websocket_frames(url, message, count=9) == ["o", "closed"]

    @pytest.mark.gen_test
    async def test_is_asked_for_rightly(self, address: str) -> None:
        path = ECHO + "/0/0/websocket"
        async with client_of(address) as client:
            plain = await client.get(path)
            assert plain.status == 400
            assert 'Can "Upgrade" only to "WebSocket".' in plain.body
            asked = {"Upgrade": "WebSocket", "Connection": "close"}
            assert (await client.get(path, asked)).status == 400
            old = await client.get(path, {"Upgrade": "WebSocket", "Connection": "Upgrade"})
            assert (old.status, old.headers["sec-websocket-version"]) == (426, "13")
            for headers in ({"Upgrade": "WebSocket", "Connection": "Upgrade"}, {}):
                refused = await client.post(path, headers=headers)
                assert (refused.status, refused.body) == (405, "")
                assert refused.headers["allow"] == "GET"
                assert "content-type" not in refused.headers

    @pytest.mark.gen_test
    async def test_upgrade(self, address: str) -> None:
        async with client_of(address) as client:
            connection = await client.begin(
                "GET",
                new_session() + "/websocket",
                {
                    "Upgrade": "websocket",
                    "Connection": "keep-alive, Upgrade",
                    "Sec-WebSocket-Version": "13",
                    "Sec-WebSocket-Origin": "http://asd",
                    "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
                },
            )
            await connection.read_head()
            assert connection.status == 101
            assert connection.headers["sec-websocket-accept"] == "HSmrc0sMlYUkAGmm5OPpG2HaGWk="
            assert connection.headers["connection"].lower() == "upgrade"
            assert connection.headers["upgrade"].lower() == "websocket"
            assert "content-length" not in connection.headers


class TestRawWebSocket:
    @pytest.mark.gen_test
    async def test_messages_are_as_they_are(self, address: str) -> None:
        url = f"ws://{address}{ECHO}/websocket"
        assert await websocket_frames(url, "Hello world!\uffff", count=1) == ["Hello world!\uffff"]

    @pytest.mark.gen_test
    async def test_close_has_code_and_reason(self, address: str) -> None:
        frames = await websocket_frames(f"ws://{address}{CLOSE}/websocket", count=9)
        assert frames == ["closed", "3000 Go away!"]


class TestUnicode:
    KILLERS = re.compile("[\x00-\x1f\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff]")

    @pytest.mark.gen_test
    async def test_what_browsers_mangle_is_escaped(self, address: str) -> None:
        text = "".join([chr(code) for code in range(255, 65536) if self.KILLERS.match(chr(code))])
        escaped = "".join([f"\\u{ord(char):04x}" for char in text])
        url = new_session()
        async with client_of(address) as client:
            await client.post(url + "/xhr")
            assert (await client.post(url + "/xhr_send", f'["{text}"]')).status == 204
            assert (await client.post(url + "/xhr")).body == f'a["{escaped}"]\n'

    @pytest.mark.gen_test
    async def test_whatever_is_escaped_is_understood(self, address: str) -> None:
        codes = [code for code in range(65536) if not 0xD800 <= code <= 0xDFFF]
        escaped = "".join([f"\\u{code:04x}" for code in codes]) + r"\ud83d\ude00"
        url = new_session()
        async with client_of(address) as client:
            await client.post(url + "/xhr")
            assert (await client.post(url + "/xhr_send", f'["{escaped}"]')).status == 204
            body = (await client.post(url + "/xhr")).body
            assert json.loads(body[1:]) == ["".join(map(chr, codes)) + "\U0001f600"]


class TestClosing:
    @pytest.mark.gen_test
    async def test_polls_are_told_until_the_session_is_forgotten(self, address: str) -> None:
        url = new_session(CLOSE)
        async with client_of(address) as client:
            assert (await client.post(url + "/xhr")).body == "o\n"
            for _ in range(3):
                assert (await client.post(url + "/xhr")).body == GO_AWAY + "\n"
            assert (await client.post(url + "/xhr_send", '["x"]')).status == 404
            async with asyncio.timeout(20):
                while (await client.post(url + "/xhr")).body != "o\n":  # noqa: ASYNC110
                    await asyncio.sleep(0.2)

    @pytest.mark.gen_test
    async def test_jsonp_is_told_too(self, address: str) -> None:
        url = new_session(CLOSE)
        async with client_of(address) as client:
            assert (await client.get(url + "/jsonp?c=x")).body == '/**/x("o");\r\n'
            for _ in range(2):
                told = (await client.get(url + "/jsonp?c=x")).body
                assert told == f"/**/x({json.dumps(GO_AWAY)});\r\n"

    @pytest.mark.gen_test
    async def test_streams_end_with_the_close_frame(self, address: str) -> None:
        url = new_session(CLOSE)
        async with client_of(address) as client:
            for frames in (["o\n", GO_AWAY + "\n", ""], [GO_AWAY + "\n", ""]):
                stream = await client.stream("POST", url + "/xhr_streaming")
                await stream.read_chunk()
                assert [await stream.read_chunk() for _ in frames] == frames

    @pytest.mark.gen_test
    async def test_one_request_receives_at_a_time(self, address: str) -> None:
        url = new_session()
        async with client_of(address) as client:
            stream = await client.stream("POST", url + "/xhr_streaming")
            await stream.read_chunk()
            assert await stream.read_chunk() == "o\n"
            second = await client.stream("POST", url + "/xhr_streaming")
            await second.read_chunk()
            assert await second.read_chunk() == STILL_OPEN + "\n"
            assert await second.read_chunk() == ""
            assert (await client.post(url + "/xhr")).body == STILL_OPEN + "\n"
            assert (await client.post(url + "/xhr_send", '["still"]')).status == 204
            assert await stream.read_chunk() == 'a["still"]\n'

    @pytest.mark.gen_test
    @pytest.mark.parametrize("transport", ["/xhr", "/xhr_streaming"])
    async def test_a_request_that_breaks_ends_the_session(
        self, address: str, transport: str
    ) -> None:
        url = new_session()
        async with client_of(address) as client:
            if transport == "/xhr":
                await client.post(url + "/xhr")
                waiting = await client.begin("POST", url + transport)
                assert await waiting.is_open()
            else:
                waiting = await client.stream("POST", url + transport)
                await waiting.read_chunk()
                assert await waiting.read_chunk() == "o\n"
            assert (await client.post(url + "/xhr")).body == STILL_OPEN + "\n"
            waiting.close()
            async with asyncio.timeout(20):
                while (told := (await client.post(url + "/xhr")).body) == STILL_OPEN + "\n":  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            assert told == 'c[1002,"Connection interrupted"]\n'


class TestHttpVersions:
    @pytest.mark.gen_test
    @pytest.mark.parametrize("http", ["1.0", "1.1"])
    async def test_a_plain_answer_keeps_the_connection(self, address: str, http: str) -> None:
        async with client_of(address) as client:
            connection = await client.begin("GET", ECHO, {"Connection": "Keep-Alive"}, http)
            await connection.read_head()
            assert connection.status == 200
            assert "transfer-encoding" not in connection.headers
            assert connection.headers["content-length"] == "19"
            assert await connection.read_body() == "Welcome to SockJS!\n"
            await connection.send("GET", ECHO, {"Connection": "Keep-Alive"}, http=http)
            assert (await connection.read_head()).status == 200

    @pytest.mark.gen_test
    @pytest.mark.parametrize("keep", ["Keep-Alive", "close"])
    async def test_a_stream_of_http_1_0_ends_with_its_connection(
        self, address: str, keep: str
    ) -> None:
        async with client_of(address) as client:
            connection = await client.begin(
                "POST", new_session(CLOSE) + "/xhr_streaming", {"Connection": keep}, "1.0"
            )
            await connection.read_head()
            assert connection.status == 200
            assert "transfer-encoding" not in connection.headers
            assert "content-length" not in connection.headers
            expected = "h" * 2048 + "\no\n" + GO_AWAY + "\n"
            assert (await connection.read(len(expected))).decode() == expected
            await connection.ended()

    @pytest.mark.gen_test
    async def test_a_stream_of_http_1_1_is_chunked_and_keeps_the_connection(
        self, address: str
    ) -> None:
        async with client_of(address) as client:
            connection = await client.begin(
                "POST", new_session(CLOSE) + "/xhr_streaming", {"Connection": "Keep-Alive"}
            )
            await connection.read_head()
            assert connection.headers["transfer-encoding"] == "chunked"
            assert "content-length" not in connection.headers
            chunks = [await connection.read_chunk() for _ in range(4)]
            assert chunks == ["h" * 2048 + "\n", "o\n", GO_AWAY + "\n", ""]
            await connection.send("GET", ECHO)
            assert (await connection.read_head()).status == 200
