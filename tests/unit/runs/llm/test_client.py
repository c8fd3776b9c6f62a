"""The client of language models, against an endpoint that does what real ones do."""

import asyncio
import contextlib
import time
from typing import Any

import pytest

from rtserver.demo.completions_server import Respond
from rtserver.observe.metrics import MetricsRegistry
from rtserver.runs.llm.client import LanguageModel, LlmTimes
from rtserver.runs.llm.errors import LlmError
from rtserver.runs.llm.metrics import LlmMetrics
from tests.support.llm_server import (
    KEY,
    endless,
    fails,
    hangs,
    one_by_one,
    pieces_of,
    resets,
    says,
    sends,
)
from tests.unit.runs.llm.asking import HELLO, asking, failure
from tests.unit.runs.llm.bad_dialects import BAD
from tests.unit.runs.llm.dialects import FILE, GOOD, OTHER, sse
from tests.unit.runs.llm.dialects import says as chunk

TEXT = "Grüße aus Zürich, with 漢字 and 😀.\n" * 5


@pytest.mark.gen_test
async def test_reply_piece_by_piece_with_its_usage() -> None:
    async with asking(says(TEXT)) as (model, server):
        pieces: list[str] = []
        reply = await model.reply(HELLO, pieces.append)
    assert pieces == pieces_of(TEXT)
    assert reply.text == TEXT
    assert reply.ended
    usage = reply.usage
    assert usage is not None
    assert usage["completion_tokens"] == len(pieces)
    assert usage["total_tokens"] == usage["prompt_tokens"] + len(pieces)
    (served,) = server.served
    assert served.authorization == f"Bearer {KEY}"
    assert served.request.model == "model-1"
    assert served.request.stream
    assert [(m.role, m.content) for m in served.request.messages] == [
        ("system", "Be brief."),
        ("user", "Hello"),
    ]


@pytest.mark.gen_test
async def test_pieces_come_as_they_are_written() -> None:
    first = asyncio.Event()
    async with asking(hangs(["one"])) as (model, server):
        reply = asyncio.create_task(model.reply(HELLO, lambda _text: first.set()))
        await asyncio.wait_for(first.wait(), 20)
        assert not reply.done()
        reply.cancel()
        await asyncio.wait([reply])
        assert reply.cancelled()
        await asyncio.wait_for((await server.asked()).answer.gone.wait(), 1)


@pytest.mark.gen_test
async def test_cancelling_before_the_first_piece_closes_the_request() -> None:
    async with asking(hangs()) as (model, server):
        reply = asyncio.create_task(model.reply(HELLO, lambda _text: None))
        served = await server.asked()
        reply.cancel()
        await asyncio.wait_for(served.answer.gone.wait(), 1)
        await asyncio.wait([reply])
        assert reply.cancelled()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "stream",
    [
        b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: [DONE]\n\n',
        b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"Hi"}}]}\r\n\r\n: still here\r\n\r\n'
        b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\r\n\r\ndata: [DONE]',
        b'data: {"choices":[]}\n\ndata: {"choices":null,"extra":1}\n\n'
        b'data: {"choices":[{"delta":{"content":null,"reasoning_content":"Hm"}}]}\n\n'
        b'data: {"choices":[{"delta":{"content":"Hi"}}],"usage":null}\n\n'
        b'data: {"choices":[{"delta":null,"finish_reason":"stop"}],'
        b'"usage":{"total_tokens":"x"}}\n\n',
    ],
)
async def test_dialects(stream: bytes) -> None:
    async with asking(sends(stream)) as (model, server):
        pieces: list[str] = []
        await model.reply(HELLO, pieces.append)
        assert pieces == ["Hi"]
        assert len(server.served) == 1


@pytest.mark.gen_test
async def test_an_endpoint_that_goes_on_after_its_end() -> None:
    stream = (
        b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: [DONE]\n\n'
        b'data: {"choices":[{"delta":{"content":"and more"}}]}\n\n'
    )
    async with asking(sends(stream)) as (model, _server):
        pieces: list[str] = []
        await model.reply(HELLO, pieces.append)
        assert pieces == ["Hi"]


@pytest.mark.gen_test
async def test_dialects_over_http() -> None:
    """As `test_reply` has them, but through the connection."""
    for name in ("plain", "stop in every piece", "a byte order mark", "think tags", "empty data"):
        thoughts: list[str] = []
        async with asking(sends(GOOD[name].body)) as (model, _server):
            reply = await model.reply(HELLO, lambda _text: None, thoughts.append)
        assert (reply.text, "".join(thoughts)) == (GOOD[name].text, GOOD[name].reasoning)
    for name in ("a whole completion", "a whole completion, indented"):
        async with asking(sends(GOOD[name].body, content_type="application/json")) as (model, _):
            assert (await model.reply(HELLO, lambda _text: None)).text == GOOD[name].text
    for name, content_type, attempts in (
        ("a JSON error instead of a stream", "application/json", 3),
        ("a web page", "text/html; charset=utf-8", 1),
        ("no blank lines", "text/event-stream", 1),
        ("an error field", "text/event-stream", 1),  # 400: it will be no other at the next try
        ("an error field amid the reply", "text/event-stream", 1),
        ("tool_calls", "text/event-stream", 1),
        ("[DONE] only", "text/event-stream", 3),
    ):
        error, pieces, server = await failure(sends(BAD[name].body, content_type=content_type))
        assert (error.reason, "".join(pieces)) == (BAD[name].reason, BAD[name].handed_on)
        assert all(words in str(error) for words in BAD[name].words)
        assert len(server.served) == attempts, name


@pytest.mark.gen_test
@pytest.mark.parametrize("finish", ["", "null", "stop", None, "eos_token"])
async def test_silence_is_no_end_whatever_was_said_before(finish: str | None) -> None:
    """A reply is not whole because nothing more comes for a while; some say `stop` each time."""

    async def respond(request: Any, answer: Any) -> None:
        await answer.data(sse(chunk(FILE, finish))[6:-2])
        await asyncio.sleep(0.3)
        await answer.data(sse(chunk(OTHER, finish))[6:-2])
        await hangs()(request, answer)

    times = LlmTimes(connect=5, first_token=20, token=1, whole=40)
    error, pieces, server = await failure(respond, times)
    assert (error.reason, pieces) == ("upstream_cut", [FILE, OTHER])
    assert "nothing came for 1 s" in str(error) or "did not come for 1 s" in str(error)
    assert len(server.served) == 1


@pytest.mark.gen_test
@pytest.mark.parametrize("finish", ["", "null", "stop", None, "eos_token"])
async def test_nor_is_a_reset(finish: str | None) -> None:
    error, pieces, _ = await failure(resets(within=sse(chunk(FILE, finish), chunk(OTHER, finish))))
    assert (error.reason, pieces) == ("upstream_cut", [FILE, OTHER])


@pytest.mark.gen_test
async def test_what_comes_after_done_is_not_waited_for() -> None:
    async def respond(request: Any, answer: Any) -> None:
        await answer.data(b'{"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}')
        await answer.data(b"[DONE]")
        await hangs()(request, answer)

    async with asking(respond) as (model, _server):
        assert (await model.reply(HELLO, lambda _text: None)).text == "Hi"


@pytest.mark.gen_test
async def test_ends_are_counted() -> None:
    registry = MetricsRegistry()
    metrics = LlmMetrics(registry)
    for finish in ("stop", "length", "banana", "apple", ""):
        async with asking(says(["Hi"], finish=finish), metrics=metrics) as (model, _server):
            with contextlib.suppress(LlmError):
                await model.reply(HELLO, lambda _text: None)
    text = registry.render()[0].decode()
    for end, count in {"good": 1, "cut": 1, "unknown": 2, "none": 1, "failed": 0}.items():
        assert f'rtserver_llm_replies_ended_total{{end="{end}"}} {count}.0' in text


@pytest.mark.gen_test
async def test_an_endpoint_that_refuses_stream_options() -> None:
    respond = one_by_one(fails(400, "Unknown parameter: 'stream_options'"), says("Hi"))
    async with asking(respond) as (model, server):
        pieces: list[str] = []
        assert (await model.reply(HELLO, pieces.append)).usage is None
        assert pieces == ["Hi"]
        await model.reply(HELLO, pieces.append)
    assert [bool(served.request.stream_options) for served in server.served] == [
        True,
        False,
        False,
    ]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "trouble",
    [
        fails(429, Retry_After="0"),
        fails(500),
        fails(503, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
        fails(503, Retry_After="Wed, 21 Oct 999999999 07:28:00 GMT"),
        fails(503, Retry_After="soon"),
        resets(),
        resets(within=b'data: {"choices":[{"del'),
        sends(b"data: nonsense\n\n"),
        sends(b""),
        sends(b'data: {"error":{"message":"overloaded"}}\n\n'),
        sends(b'{"choices":', content_type="application/json"),
        sends(b'data: {"error":{"message":"overloaded","code":503}}\n\n'),
        says([], finish="error"),
        says([]),
    ],
)
async def test_what_is_tried_again_before_the_first_piece(trouble: Respond) -> None:
    async with asking(one_by_one(trouble, trouble, says("Hi"))) as (model, server):
        pieces: list[str] = []
        await model.reply(HELLO, pieces.append)
        assert pieces == ["Hi"]
        assert len(server.served) == 3


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("respond", "reason", "attempts", "words"),
    [
        (fails(400, "context_length_exceeded"), "upstream_refused", 1, "context_length_exceeded"),
        (fails(401, f"Incorrect API key {KEY[:9]}***"), "upstream_unauthorized", 1, "HTTP 401"),
        (fails(403, f"{KEY} may not"), "upstream_unauthorized", 1, "HTTP 403"),
        (fails(404, "no model-1"), "upstream_not_found", 1, "no model-1"),
        (fails(413, "x" * 5000), "upstream_refused", 1, "xxx..."),
        (fails(422, f"odd\x1b[31m key {KEY}"), "upstream_refused", 1, "odd [31m key [key]"),
        (fails(429, "slow down", Retry_After="0"), "upstream_busy", 3, "slow down"),
        (fails(500, "oh"), "upstream_failed", 3, "HTTP 500"),
        (fails(307, Location="http://127.0.0.1:9/"), "upstream_failed", 1, "HTTP 307"),
        (resets(), "upstream_unreachable", 3, "could not be reached"),
        (sends(b""), "upstream_cut", 3, "broke off"),
        (sends(b"data: []\n\n"), "upstream_broken", 3, "no chat completion chunk"),
        (sends(b"data: \xff\n\n"), "upstream_broken", 3, "no chat completion chunk"),
        (sends(b"{}", content_type="application/json"), "upstream_cut", 3, "broke off"),
        (sends(b"[1]", content_type="application/json"), "upstream_broken", 3, "no chat"),
        (sends(b"x" * 2_000_000), "upstream_broken", 3, "no end"),
    ],
)
async def test_what_goes_wrong_before_the_first_piece(
    respond: Respond, reason: str, attempts: int, words: str
) -> None:
    error, pieces, server = await failure(respond)
    assert (error.reason, pieces) == (reason, [])
    assert words in str(error)
    assert len(str(error)) < 500
    assert str(error).isprintable()
    assert len(server.served) == attempts


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("respond", "reason"),
    [
        (resets(["one ", "two"]), "upstream_cut"),
        (resets(["one ", "two"], within=b'data: {"choices":[{"delta":{"con'), "upstream_cut"),
        (says(["one ", "two"], finish="length"), "upstream_cut"),
        (says(["one ", "two"], finish="content_filter"), "upstream_filtered"),
    ],
)
async def test_what_goes_wrong_amid_the_reply_is_not_tried_again(
    respond: Respond, reason: str
) -> None:
    error, pieces, server = await failure(respond)
    assert (error.reason, pieces) == (reason, ["one ", "two"])
    assert len(server.served) == 1


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        (b"", "upstream_cut"),
        (b'data: {"choices":[{"del', "upstream_cut"),
        (b'data: {"choices":[{"delta":{"content":5}}]}\n\n', "upstream_broken"),
        (b'data: {"choices":\n\n', "upstream_broken"),
        (b'data: {"error":"overloaded"}\n\n', "upstream_failed"),
    ],
)
async def test_broken_chunks(rest: bytes, reason: str) -> None:
    error, pieces, server = await failure(
        sends(b'data: {"choices":[{"delta":{"content":"one"}}]}\n\n' + rest)
    )
    assert (error.reason, pieces, len(server.served)) == (reason, ["one"], 1)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("respond", "times", "reason", "words"),
    [
        (hangs(), LlmTimes(5, 0.2, 9, 9), "timeout", "did not begin to answer within 0.2 s"),
        (hangs(["one"]), LlmTimes(5, 9, 0.2, 9), "cut", "nothing came for 0.2 s"),
        (
            says(["x"] * 1000, pause_s=0.05),
            LlmTimes(5, 9, 9, 0.4),
            "timeout",
            "not complete after 0.4 s",
        ),
        (
            fails(503, Retry_After="30"),
            LlmTimes(5, 9, 9, 0.4),
            "timeout",
            "not complete after 0.4 s",
        ),
    ],
)
async def test_time_outs(respond: Respond, times: LlmTimes, reason: str, words: str) -> None:
    begun_s = time.monotonic()
    error, _pieces, server = await failure(respond, times)
    assert error.reason == f"upstream_{reason}"
    assert words in str(error)
    assert time.monotonic() - begun_s < 5
    assert len(server.served) == 1


@pytest.mark.gen_test
async def test_a_slow_reply_is_no_stuck_one() -> None:
    times = LlmTimes(connect=5, first_token=20, token=1, whole=40)
    async with asking(says(["x"] * 30, pause_s=0.06), times) as (model, _server):
        pieces: list[str] = []
        await model.reply(HELLO, pieces.append)
        assert len(pieces) == 30


@pytest.mark.gen_test
async def test_nobody_there() -> None:
    times = LlmTimes(connect=5, first_token=20, token=20, whole=40)
    model = LanguageModel(
        "http://127.0.0.1:9/v1", None, "m", times, max_reply_bytes=1000, max_reply_tokens=10
    )
    with pytest.raises(LlmError) as caught:
        await model.reply(HELLO, lambda _text: None)
    assert caught.value.reason == "upstream_unreachable"
    said = await model.try_out()
    assert said.problem is not None
    assert "could not be reached" in said.problem
    await model.close()


@pytest.mark.gen_test
async def test_endless_replies_are_stopped() -> None:
    error, pieces, server = await failure(endless(), max_reply_bytes=5_000)
    assert error.reason == "reply_too_large"
    assert sum(len(piece) for piece in pieces) <= 5_000
    await asyncio.wait_for(server.served[0].answer.gone.wait(), 5)

    error, pieces, server = await failure(endless("x"), max_reply_tokens=50)
    assert (error.reason, len(pieces)) == ("reply_too_large", 50)

    reasoning = b'data: {"choices":[{"delta":{"reasoning":"hm"}}]}\n\n' * 200
    error, _, _ = await failure(sends(reasoning), max_reply_tokens=50)
    assert error.reason == "reply_too_large"


@pytest.mark.gen_test
async def test_an_endless_error_is_not_read_to_its_end() -> None:
    async def respond(_request: Any, answer: Any) -> None:
        answer.handler.set_status(500)
        while not answer.gone.is_set():
            await answer.raw(b"x" * 65536)

    error, _, _ = await failure(one_by_one(respond, fails(400)))
    assert error.reason == "upstream_refused"


@pytest.mark.gen_test
async def test_trying_out() -> None:
    async with asking(endless()) as (model, server):
        assert (await model.try_out()).problem is None
        await asyncio.wait_for((await server.asked()).answer.gone.wait(), 5)
    async with asking(fails(401)) as (model, _server):
        said = (await model.try_out()).problem
        assert said is not None
        assert "HTTP 401" in said
    for name in ("an error field amid the reply", "reasoning only", "[DONE] only", "object error"):
        async with asking(sends(BAD[name].body)) as (model, _server):
            said = (await model.try_out()).problem
            assert said is not None, name
            assert all(words in said for words in BAD[name].words)


@pytest.mark.gen_test
async def test_trying_out_says_which_dialect_was_met() -> None:
    refuses = one_by_one(
        fails(400, "stream_options is not permitted"),
        fails(400, "System role not supported"),
        sends(GOOD["a whole completion that thinks"].body, content_type="application/json"),
    )
    async with asking(refuses) as (model, _server):
        assert (await model.try_out()).notes == (
            "not streamed",
            "reasoning in `reasoning_content`",
            "no `stream_options`",
            "no `system` messages",
        )
    async with asking(says("OK")) as (model, _server):
        assert (await model.try_out()).notes == ("streamed",)
    async with asking(sends(GOOD["think tags"].body)) as (model, _server):
        assert (await model.try_out()).notes == ("streamed", "thoughts in tags")


@pytest.mark.gen_test
async def test_what_is_handed_on_may_stop_the_reply() -> None:
    def stop(_text: str) -> None:
        raise RuntimeError("enough")

    async with asking(endless()) as (model, server):
        with pytest.raises(RuntimeError, match="enough"):
            await model.reply(HELLO, stop)
        await asyncio.wait_for((await server.asked()).answer.gone.wait(), 5)
