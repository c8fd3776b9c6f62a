"""Requests to an endpoint: where, through what, with which headers, and answers that are none."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from rtserver.runs.llm.client import LanguageModel, LlmTimes
from rtserver.runs.llm.endpoint import completions_url
from rtserver.runs.llm.errors import LlmError
from rtserver.runs.llm.request import RequestOptions
from tests.support.llm_server import KEY, fails, one_by_one, says, sends
from tests.unit.runs.llm.asking import HELLO, asking, failure
from tests.unit.runs.llm.dialects import says as chunk
from tests.unit.runs.llm.dialects import sse, whole


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("http://h/v1", "http://h/v1/chat/completions"),
        ("http://h/v1/", "http://h/v1/chat/completions"),
        ("http://h/v1//", "http://h/v1/chat/completions"),
        ("http://h", "http://h/chat/completions"),
        ("http://h/", "http://h/chat/completions"),
        ("http://h:8/v1/chat/completions", "http://h:8/v1/chat/completions"),
        ("http://h/v1/chat/completions/", "http://h/v1/chat/completions"),
        ("https://h/v1#x", "https://h/v1/chat/completions"),
        (
            "https://x.openai.azure.com/openai/deployments/a%20b?api-version=2024-06-01",
            "https://x.openai.azure.com/openai/deployments/a%20b/chat/completions"
            "?api-version=2024-06-01",
        ),
        ("http://h/v1/chat/completions?a=b&c=%2F", "http://h/v1/chat/completions?a=b&c=%2F"),
        ("http://[::1]:8/v1", "http://[::1]:8/v1/chat/completions"),
    ],
)
def test_addresses(base_url: str, url: str) -> None:
    assert str(completions_url(base_url)) == url


@pytest.mark.gen_test
async def test_an_endpoint_that_wants_another_request_is_asked_at_once_and_remembered() -> None:
    """Each refusal changes one thing, and is none of the three attempts."""
    respond = one_by_one(
        fails(503, Retry_After="0"),
        fails(503, Retry_After="0"),
        fails(422, "extra fields not permitted: stream_options"),
        fails(400, "Use 'max_completion_tokens' instead."),
        fails(500, "jinja: System role not supported"),
        says("Hi"),
    )
    options = RequestOptions(max_tokens=77)
    async with asking(respond, options=options) as (model, server):
        for _ in range(2):
            assert (await model.reply(HELLO, lambda _text: None)).text == "Hi"
    sent = [json.loads(served.body) for served in server.served]
    assert len(sent) == 7
    assert "stream_options" in sent[2]
    assert "stream_options" not in sent[3]
    assert (sent[3]["max_tokens"], sent[4]["max_completion_tokens"]) == (77, 77)
    assert "max_tokens" not in sent[4]
    assert [message["role"] for message in sent[4]["messages"]] == ["system", "user"]
    assert sent[5]["messages"] == [{"role": "user", "content": "Be brief.\n\nHello"}]
    assert sent[6] == sent[5]


@pytest.mark.gen_test
async def test_an_endpoint_that_refuses_whatever_it_gets() -> None:
    for respond in (
        fails(400, "stream_options, max_completion_tokens and system messages are not for me"),
        sends(sse({"error": {"code": 400, "message": "the system role and stream_options"}})),
    ):
        error, _, server = await failure(respond, options=RequestOptions(max_tokens=7))
        assert error.reason in ("upstream_refused", "upstream_failed")
        assert 3 <= len(server.served) <= 4


@pytest.mark.gen_test
async def test_headers_and_more_of_the_operator() -> None:
    options = RequestOptions(
        extra={"temperature": 0, "stream_options": {"include_usage": False}},
        headers=(("api-key", "a-secret-of-azure"), ("Authorization", "Basic c2VjcmV0")),
    )
    respond = one_by_one(says("Hi"), fails(400, "Basic c2VjcmV0, c2VjcmV0; a-secret-of-azure!"))
    async with asking(respond, options=options) as (model, server):
        await model.reply(HELLO, lambda _text: None)
        headers = server.served[0].answer.handler.request.headers
        assert headers["api-key"] == "a-secret-of-azure"
        assert headers.get_list("Authorization") == ["Basic c2VjcmV0"]
        sent = json.loads(server.served[0].body)
        assert (sent["temperature"], sent["stream_options"]) == (0, {"include_usage": False})
        with pytest.raises(LlmError) as caught:
            await model.reply(HELLO, lambda _text: None)
        assert "[key], [key]; [key]!" in str(caught.value)


@pytest.mark.gen_test
async def test_a_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        body = json.dumps(whole({"content": "Hi"})).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = proxy.sockets[0].getsockname()[:2]
    monkeypatch.setenv("http_proxy", f"http://user:pass@{host}:{port}")
    monkeypatch.setenv("no_proxy", "inside.test")
    times = LlmTimes(connect=5, first_token=20, token=20, whole=40)
    bounds: Any = {"max_reply_bytes": 1000, "max_reply_tokens": 10}
    model = LanguageModel("http://models.test/v1?a=b", KEY, "m", times, **bounds)
    assert (await model.reply(HELLO, lambda _text: None)).text == "Hi"
    await model.close()
    assert asked[0].startswith(b"POST http://models.test/v1/chat/completions?a=b HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic" in asked[0]
    assert f"Authorization: Bearer {KEY}".encode() in asked[0]
    proxy.close()
    await proxy.wait_closed()


@pytest.mark.gen_test
async def test_a_login_file_of_the_user_is_no_matter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("default login someone password hunter2\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with asking(says("Hi")) as (model, server):
        await model.reply(HELLO, lambda _text: None)
        assert server.served[0].authorization == f"Bearer {KEY}"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"nonsense\r\n\r\n", "upstream_unreachable"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
            "unreachable",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "unreachable"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "unreachable"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "cut"),
        (b"HTTP/1.0 200 OK\r\n\r\n" + sse(chunk("Hi")), "cut"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\n<html>", "not_found"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 600\r\n\r\nhalf an error", "failed"),
    ],
)
async def test_http_that_is_none(answer: bytes, reason: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    times = LlmTimes(connect=5, first_token=20, token=20, whole=40)
    bounds: Any = {"max_reply_bytes": 1000, "max_reply_tokens": 10}
    model = LanguageModel(f"http://{host}:{port}/v1", KEY, "m", times, **bounds)
    with pytest.raises(LlmError) as caught:
        await model.reply(HELLO, lambda _text: None)
    assert caught.value.reason == f"upstream_{reason.removeprefix('upstream_')}"
    assert ("web page" in str(caught.value)) == (b"<html>" in answer)
    await model.close()
    server.close()
    await server.wait_closed()
