"""What servers send for a streamed chat completion, and what it is to be taken for.

One row a dialect or a fault, as people reported them of servers and gateways of this kind.
"""

import json
from dataclasses import dataclass, field
from typing import Any

FILE = '<file path="design.md">\n# A\n</file>\n'
OTHER = '<file path="tasks.md">\n# B\n</file>\n'


@dataclass(frozen=True, slots=True)
class Dialect:
    """A stream, and its outcome.

    Attributes:
        body: the bytes; the connection ends cleanly after them.
        text: the answer, where there is one.
        reasoning: what was thought.
        reason: of the error, where there is one.
        words: what the error has to say.
        handed_on: what of the answer was shown before the error.
        ended: the endpoint said that the model came to its end.
        notes: what is said of the dialect.
    """

    body: bytes
    text: str | None = None
    reasoning: str = ""
    reason: str | None = None
    words: tuple[str, ...] = ()
    handed_on: str = ""
    ended: bool = True
    notes: tuple[str, ...] = field(default=())


def sse(*events: Any, end: bytes = b"\n\n") -> bytes:
    """Events; what is no text becomes JSON."""
    return b"".join(b"data: " + _bytes(event) + end for event in events)


def _bytes(event: Any) -> bytes:
    if isinstance(event, bytes):
        return event
    return (event if isinstance(event, str) else json.dumps(event)).encode()


def says(content: Any = "", finish: Any = None, **delta: Any) -> dict[str, Any]:
    """A plain chunk."""
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "delta": {"role": "assistant", "content": content, **delta},
                "finish_reason": finish,
            }
        ],
    }


def whole(message: dict[str, Any], finish: Any = "stop", **fields: Any) -> dict[str, Any]:
    """A completion that is not streamed."""
    return {
        "id": "c1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        **fields,
    }


STOP = says(finish="stop")
DONE = "[DONE]"
HALF = says("and then ")


def _plain(*contents: str) -> bytes:
    return sse(*(says(content) for content in contents), STOP, DONE)


GOOD: dict[str, Dialect] = {
    "plain": Dialect(_plain("Hi. ", FILE), "Hi. " + FILE),
    "no [DONE] after a finish": Dialect(sse(says(FILE), STOP), FILE),
    "the last blank line is missing": Dialect(sse(says(FILE), STOP, DONE)[:-1], FILE),
    "the last line end is missing": Dialect(sse(says(FILE), STOP)[:-2], FILE),
    "CRLF": Dialect(sse(says(FILE), STOP, DONE, end=b"\r\n\r\n"), FILE),
    "CR": Dialect(sse(says(FILE), STOP, DONE, end=b"\r\r"), FILE),
    "no blank after the colon": Dialect(sse(says(FILE), STOP, DONE).replace(b"a: ", b"a:"), FILE),
    "comments, ids and names of events": Dialect(
        b": hello\n\nid: 1\nevent: message\nretry: 5\n"
        + sse(says(FILE))
        + b": ping\n\n"
        + sse(STOP),
        FILE,
    ),
    "[DONE] in small letters aside": Dialect(sse(says(FILE), STOP) + b"data:[DONE] \n\n", FILE),
    "text after [DONE]": Dialect(sse(says(FILE), STOP, DONE, says("more")), FILE),
    "usage after the finish": Dialect(
        sse(says(FILE), STOP, {"choices": [], "usage": {"total_tokens": 3}}, DONE), FILE
    ),
    "empty finish reasons": Dialect(
        sse(says(FILE, ""), says(OTHER, ""), says("", "stop"), DONE), FILE + OTHER
    ),
    "an empty finish reason before all": Dialect(
        sse(says("", ""), says(FILE, ""), STOP, DONE), FILE
    ),
    "the text null for a finish reason": Dialect(
        sse(says("a", "null"), says("b", "null"), STOP, DONE), "ab"
    ),
    "stop in every piece": Dialect(
        sse(
            says(None, "stop", reasoning_content="hm"),
            says(FILE, "stop"),
            says(OTHER, "stop"),
            DONE,
        ),
        FILE + OTHER,
        "hm",
    ),
    "stop in every piece, and once alone": Dialect(
        sse(says(FILE, "stop"), says(OTHER, "stop"), says("", "stop")), FILE + OTHER
    ),
    "length taken back by text": Dialect(sse(says("a", "length"), says("b"), STOP), "ab"),
    "stop with the last text": Dialect(sse(says("a"), says("b", "stop")), "ab"),
    "STOP": Dialect(sse(says("a"), says("", "STOP"), DONE), "a"),
    "FinishReason.STOP": Dialect(sse(says("a"), says("", "FinishReason.STOP"), DONE), "a"),
    "end_turn": Dialect(sse(says("a"), says("", "end_turn"), DONE), "a"),
    "eos_token": Dialect(sse(says("a"), says("", "eos_token"), DONE), "a"),
    "[DONE] without a finish": Dialect(sse(says(FILE), DONE), FILE, ended=False),
    "[DONE] after empty finishes": Dialect(sse(says(FILE, ""), DONE), FILE, ended=False),
    "a content list": Dialect(
        sse(
            says(""),
            says([{"type": "thinking", "thinking": [{"type": "text", "text": "Let me "}]}]),
            says([{"type": "thinking", "thinking": "think."}]),
            says([{"type": "text", "text": "Hi. "}, {"type": "reference", "reference_ids": [1]}]),
            says(FILE),
            STOP,
            DONE,
        ),
        "Hi. " + FILE,
        "Let me think.",
        notes=("content as a list of parts",),
    ),
    "a content list of texts": Dialect(sse(says(["a", "b"]), STOP), "ab"),
    "a content list without types": Dialect(sse(says([{"text": "a"}, {"text": "b"}]), STOP), "ab"),
    "a content that is one part": Dialect(sse(says({"type": "text", "text": "a"}), STOP), "a"),
    "output_text with a value": Dialect(
        sse(says([{"type": "output_text", "text": {"value": "a", "annotations": []}}]), STOP), "a"
    ),
    "reasoning parts": Dialect(
        sse(
            says([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}]}]),
            says([{"type": "redacted_thinking", "data": "xyz"}]),
            says([{"type": "text", "text": "b", "thought": True}, {"type": "text", "text": "c"}]),
            STOP,
        ),
        "c",
        "ab",
    ),
    "reasoning_content": Dialect(
        sse(says(None, reasoning_content="a"), says("b"), STOP),
        "b",
        "a",
        notes=("reasoning in `reasoning_content`",),
    ),
    "reasoning": Dialect(
        sse(says("", reasoning="a"), says("b"), STOP), "b", "a", notes=("reasoning in `reasoning`",)
    ),
    "reasoning twice": Dialect(
        sse(says("", reasoning="a", reasoning_content="a"), says("b"), STOP), "b", "a"
    ),
    "reasoning_details": Dialect(
        sse(
            says("", reasoning_details=[{"type": "reasoning.text", "text": "a"}]),
            says("", reasoning="b", reasoning_details=[{"type": "reasoning.text", "text": "b"}]),
            says("c"),
            STOP,
        ),
        "c",
        "ab",
    ),
    "reasoning as an object": Dialect(
        sse(says("", reasoning={"content": "a"}), says("b"), STOP), "b", "a"
    ),
    "thinking": Dialect(sse(says("", thinking="a"), says("b"), STOP), "b", "a"),
    "thought beside it": Dialect(
        sse(says("a", extra_content={"google": {"thought": True}}), says("b"), STOP), "b", "a"
    ),
    "think tags": Dialect(
        sse(
            *(says(part) for part in ("<think>\nI answer with ", FILE, "so.\n</th", "ink>\n\n")),
            says(OTHER),
            STOP,
            DONE,
        ),
        OTHER,
        f"\nI answer with {FILE}so.\n",
        notes=("thoughts in tags",),
    ),
    "empty data": Dialect(
        b"data:\n\ndata: \n\n" + sse(says(FILE)) + b"data:   \n\n" + sse(STOP), FILE
    ),
    "an empty error": Dialect(
        sse({**says(FILE), "error": {}}, {**STOP, "error": {}}, {"error": {}}, DONE), FILE
    ),
    "errors that are none": Dialect(
        sse(
            {**says("a"), "error": None},
            {**says("b"), "error": ""},
            {**says("c"), "error": {"message": "", "code": None, "type": None}},
            {**says("d"), "error": False, "errors": []},
            {**says("e"), "error": {"code": 0, "message": "success"}},
            {**says("f"), "base_resp": {"status_code": 0, "status_msg": ""}},
            {"object": "chat.completion.chunk", "choices": [], "detail": None, "error_code": 0},
            STOP,
        ),
        "abcdef",
    ),
    "half a surrogate pair": Dialect(
        sse(
            says(FILE),
            b'{"choices":[{"delta":{"content":"Done \\ud83d"}}]}',
            b'{"choices":[{"delta":{"content":"\\ude00!"}}]}',
            STOP,
        ),
        FILE + "Done \U0001f600!",
    ),
    "a lone half": Dialect(
        sse(b'{"choices":[{"delta":{"content":"a\\ud83d"}}]}', says("b"), STOP), "a\ufffdb"
    ),
    "a lone half at the end": Dialect(
        sse(b'{"choices":[{"delta":{"content":"a\\ud83d"}}]}', STOP), "a\ufffd"
    ),
    "the wrong half": Dialect(
        sse(b'{"choices":[{"delta":{"content":"\\ude00a"}}]}', STOP), "\ufffda"
    ),
    "halves in the reasoning": Dialect(
        sse(
            b'{"choices":[{"delta":{"reasoning_content":"\\ud83d"}}]}',
            b'{"choices":[{"delta":{"reasoning_content":"\\ude00"}}]}',
            says("a"),
            STOP,
        ),
        "a",
        "\U0001f600",
    ),
    "halves as bytes": Dialect(
        sse(
            b'{"choices":[{"delta":{"content":"\xed\xa0\xbd"}}]}',
            b'{"choices":[{"delta":{"content":"\xed\xb8\x80"}}]}',
            STOP,
        ),
        "\U0001f600",
    ),
    "bytes that are no UTF-8": Dialect(
        sse(b'{"choices":[{"delta":{"content":"a\xff"}}]}', STOP), "a\ufffd"
    ),
    "a byte order mark": Dialect(b"\xef\xbb\xbf" + _plain("first ", FILE), "first " + FILE),
    "a byte order mark on a line": Dialect(b"\xef\xbb\xbf\n\n" + _plain(FILE), FILE),
    "a byte order mark in the text": Dialect(_plain("\ufeff" + FILE), FILE),
    "a byte order mark in the data": Dialect(
        b"data: \xef\xbb\xbf" + sse(says(FILE), STOP)[6:], FILE
    ),
    "a whole completion": Dialect(
        json.dumps(whole({"role": "assistant", "content": FILE})).encode(),
        FILE,
        notes=("not streamed",),
    ),
    "a whole completion, indented": Dialect(
        json.dumps(whole({"content": FILE}), indent=2).encode() + b"\n", FILE
    ),
    "a whole completion that thinks": Dialect(
        json.dumps(whole({"content": FILE, "reasoning_content": "hm"})).encode(), FILE, "hm"
    ),
    "a whole completion of parts": Dialect(
        json.dumps(whole({"content": [{"type": "text", "text": FILE}]})).encode(), FILE
    ),
    "a whole completion as an event": Dialect(sse(whole({"content": FILE}), DONE), FILE),
    "a whole completion without a finish": Dialect(
        json.dumps(whole({"content": FILE}, None)).encode(), FILE, ended=False
    ),
    "bare lines of chunks": Dialect(
        b"".join(json.dumps(part).encode() + b"\n" for part in (says(FILE), STOP)), FILE
    ),
    "another answer beside it": Dialect(
        sse(
            says("a"),
            {"choices": [{"index": 1, "delta": {"content": "x"}, "finish_reason": "length"}]},
            says("b"),
            STOP,
            DONE,
        ),
        "ab",
    ),
    "no index, no role, much else": Dialect(
        sse(
            {"choices": [{"delta": {"content": "a"}, "logprobs": {"content": []}}], "x": [{}]}, STOP
        ),
        "a",
    ),
    "choices that are null, and pieces without any": Dialect(
        sse({"choices": None}, {"x": 1}, {"choices": []}, {"choices": [{}]}, says("a"), STOP), "a"
    ),
    "blanks before the answer": Dialect(_plain("\n\n", "  ", "a\n"), "a\n"),
    "a text in another place": Dialect(sse({"choices": [{"text": "a"}]}, STOP), "a"),
}

_FAILED = "upstream_failed"
BAD: dict[str, Dialect] = {
    "cut amid empty finishes": Dialect(
        sse(says(FILE, "")), reason="upstream_cut", handed_on=FILE, words=("broke off",)
    ),
    "cut amid stops": Dialect(
        sse(says(FILE, "stop"), says(OTHER, "stop")), reason="upstream_cut", handed_on=FILE + OTHER
    ),
    "cut after a stop that was taken back": Dialect(
        sse(says("x"), STOP, HALF), reason="upstream_cut", handed_on="xand then "
    ),
    "cut within a piece": Dialect(
        sse(says("x"))[:-2] + b'\n\ndata: {"choi', reason="upstream_cut", handed_on="x"
    ),
    "cut within a whole completion": Dialect(
        json.dumps(whole({"content": FILE})).encode()[:-20], reason="upstream_cut"
    ),
    "nothing at all": Dialect(b"", reason="upstream_cut"),
    "length": Dialect(
        sse(says(FILE), says("", "length"), DONE),
        reason="upstream_cut",
        handed_on=FILE,
        words=("limit of tokens", "'length'"),
    ),
    "a bad end, then a good one": Dialect(
        sse(says("x"), says("", "length"), STOP, DONE), reason="upstream_cut", handed_on="x"
    ),
    "max_tokens": Dialect(
        sse(says("x"), says("", "MAX_TOKENS")), reason="upstream_cut", handed_on="x"
    ),
    "model_length": Dialect(
        sse(says(FILE), says("", "model_length"), DONE),
        reason="upstream_cut",
        handed_on=FILE,
        words=("window",),
    ),
    "content_filter": Dialect(
        sse(says("x"), says("", "content_filter"), DONE),
        reason="upstream_filtered",
        handed_on="x",
        words=("filtered",),
    ),
    "content_filter with its cause": Dialect(
        sse(says("x"), says("", "content_filter: PROHIBITED_CONTENT")),
        reason="upstream_filtered",
        handed_on="x",
    ),
    "abort": Dialect(
        sse(says(FILE), says("", "abort"), DONE),
        reason=_FAILED,
        handed_on=FILE,
        words=("stopped at the endpoint", "'abort'"),
    ),
    "error": Dialect(
        sse(says(FILE), says("", "error"), DONE), reason=_FAILED, handed_on=FILE, words=("failed",)
    ),
    "insufficient_system_resource": Dialect(
        sse(says(FILE), says("", "insufficient_system_resource"), DONE),
        reason=_FAILED,
        handed_on=FILE,
        words=("insufficient_system_resource",),
    ),
    "an end that nobody knows": Dialect(
        sse(says(FILE), says("", "ban\x1bana"), DONE),
        reason="upstream_broken",
        handed_on=FILE,
        words=("does not know", "ban ana"),
    ),
    "an end that is no text": Dialect(
        sse(says(FILE), says("", {"type": "stop"}), DONE),
        reason="upstream_broken",
        handed_on=FILE,
        words=("does not know",),
    ),
    "tool_calls": Dialect(
        sse(
            says(None, tool_calls=[{"index": 0, "function": {"name": "write_file"}}]),
            says(None, tool_calls=[{"index": 0, "function": {"arguments": "{}"}}]),
            says(None, "tool_calls"),
            DONE,
        ),
        reason="no_answer",
        words=("asks for a tool", "write_file"),
    ),
    "tool calls that end with stop": Dialect(
        sse(says(None, tool_calls=[{"function": {"name": "write_file"}}]), STOP, DONE),
        reason="no_answer",
        words=("write_file",),
    ),
    "a function call": Dialect(
        sse(says(None, function_call={"name": "f"}), says("", "function_call"), DONE),
        reason="no_answer",
        words=(": f",),
    ),
    "a tool as a part": Dialect(
        sse(says([{"type": "tool_use", "name": "f"}]), says("", "tool_use"), DONE),
        reason="no_answer",
        words=(": f",),
    ),
    "a refusal": Dialect(
        sse(says(None, refusal="I can't "), says(None, refusal="help."), STOP, DONE),
        reason="upstream_declined",
        words=("I can't help.",),
    ),
    "a refusal as a part": Dialect(
        sse(says([{"type": "refusal", "refusal": "I won't."}]), STOP, DONE),
        reason="upstream_declined",
        words=("I won't.",),
    ),
    "a refusal as an end": Dialect(
        sse(says("Well"), says("", "refusal")), reason="upstream_filtered", handed_on="Well"
    ),
    "reasoning only": Dialect(
        sse(says(None, reasoning_content="a "), says(None, reasoning_content="b"), STOP, DONE),
        reasoning="a b",
        reason="no_answer",
        words=("nothing but its reasoning",),
    ),
    "an unclosed thought": Dialect(
        sse(says("<think>\nI answer with " + FILE), STOP, DONE),
        reasoning="\nI answer with " + FILE,
        reason="no_answer",
        words=("did not end its thought",),
    ),
    "a thought and nothing": Dialect(
        sse(says("<think>a</think>\n\n"), STOP, DONE),
        reasoning="a",
        reason="no_answer",
        words=("nothing but its reasoning",),
    ),
    "a thought that was begun in the prompt, and nothing": Dialect(
        sse(says(FILE + "</think>\n"), STOP, DONE),
        reason="no_answer",
        handed_on=FILE + "</think>\n",
        words=("nothing but its reasoning",),
    ),
    "[DONE] only": Dialect(sse(DONE), reason="no_answer", words=("not a word",)),
    "stop only": Dialect(sse(STOP, DONE), reason="no_answer", words=("not a word",)),
    "blanks only": Dialect(
        sse(says("\n \n"), STOP, DONE), reason="no_answer", words=("not a word",)
    ),
    "an error field": Dialect(
        b'error: {"code":400,"message":"context size exceeded","type":"x"}\n\n' + sse(DONE),
        reason=_FAILED,
        words=("context size exceeded",),
    ),
    "an error field amid the reply": Dialect(
        sse(says(FILE)) + b'error: {"code":500,"message":"slot lost"}\n\n' + sse(DONE),
        reason=_FAILED,
        handed_on=FILE,
        words=("slot lost",),
    ),
    "an error field with words": Dialect(
        sse(says("x")) + b"error: slot lost\n\n" + sse(DONE),
        reason=_FAILED,
        handed_on="x",
        words=("slot lost",),
    ),
    "an event named error": Dialect(
        sse(says("x")) + b'event: error\ndata: {"message": "slot lost"}\n\n' + sse(DONE),
        reason=_FAILED,
        handed_on="x",
        words=("slot lost",),
    ),
    "an event named error, of Anthropic's form": Dialect(
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error",'
        b'"message":"Overloaded"}}\n\n',
        reason=_FAILED,
        words=("Overloaded",),
    ),
    "an event named error with words": Dialect(
        b"event: error\r\ndata: out of memory\r\n\r\n", reason=_FAILED, words=("out of memory",)
    ),
    "text and an error code": Dialect(
        sse({"text": "NETWORK ERROR", "error_code": 50001}, DONE),
        reason=_FAILED,
        words=("NETWORK ERROR",),
    ),
    "object error": Dialect(
        sse(says(FILE), {"object": "error", "message": "engine died", "code": 500}, DONE),
        reason=_FAILED,
        handed_on=FILE,
        words=("engine died",),
    ),
    "type error": Dialect(
        sse({"type": "error", "message": "engine died"}, DONE), reason=_FAILED, words=("engine",)
    ),
    "an error as a text": Dialect(
        sse(says("x"), {"error": "engine died"}, DONE),
        reason=_FAILED,
        handed_on="x",
        words=("died",),
    ),
    "an error beside the text": Dialect(
        sse({**says("x"), "error": {"message": "engine died"}}, DONE),
        reason=_FAILED,
        words=("died",),
    ),
    "an error in the choice": Dialect(
        sse({"choices": [{"error": {"code": 502, "message": "died"}, "finish_reason": "error"}]}),
        reason=_FAILED,
        words=("died",),
    ),
    "errors": Dialect(
        sse({"errors": [{"message": "one"}, {"message": "two"}], "success": False}),
        reason=_FAILED,
        words=("one; two",),
    ),
    "detail": Dialect(
        sse({"detail": [{"loc": ["body", "x"], "msg": "field required"}]}),
        reason=_FAILED,
        words=("body.x: field required",),
    ),
    "detail as a text": Dialect(sse({"detail": "Not here"}), reason=_FAILED, words=("Not here",)),
    "a code and a message": Dialect(
        sse({"code": "InvalidParameter", "message": "too long", "request_id": "x"}),
        reason=_FAILED,
        words=("too long",),
    ),
    "error_msg": Dialect(
        sse({"error_code": 336003, "error_msg": "too long", "id": "x"}),
        reason=_FAILED,
        words=("too long",),
    ),
    "base_resp": Dialect(
        sse({"choices": None, "base_resp": {"status_code": 1004, "status_msg": "login failed"}}),
        reason=_FAILED,
        words=("login failed",),
    ),
    "code and msg": Dialect(
        sse({"code": 401, "msg": "invalid key", "data": None}, DONE),
        reason=_FAILED,
        words=("invalid key",),
    ),
    "a document in no known form": Dialect(
        b'{"object":"list","data":[{"id":"model-1"}]}',
        reason="upstream_cut",
        words=("The endpoint said:", "model-1"),
    ),
    "a piece in no known form, then [DONE]": Dialect(
        sse({"status": "queue is full"}, DONE), reason="no_answer", words=("queue is full",)
    ),
    "a list with an error": Dialect(
        json.dumps([{"error": {"code": 400, "message": "bad", "status": "X"}}], indent=1).encode(),
        reason=_FAILED,
        words=("bad",),
    ),
    "an error in no known form": Dialect(
        sse({"error": {"weird": {"code": 7}}}), reason=_FAILED, words=("weird",)
    ),
    "words instead of JSON": Dialect(
        sse(says("x"), "upstream timed out", DONE),
        reason=_FAILED,
        handed_on="x",
        words=("timed out",),
    ),
    "words in brackets instead of JSON": Dialect(
        sse("[ERROR] out of memory", DONE), reason=_FAILED, words=("out of memory",)
    ),
    "a JSON text": Dialect(sse('"overloaded"', DONE), reason=_FAILED, words=("overloaded",)),
    "a JSON error instead of a stream": Dialect(
        b'{"error":{"message":"quota is used up","type":"insufficient_quota","code":429}}',
        reason=_FAILED,
        words=("quota is used up",),
    ),
    "the same, indented": Dialect(
        json.dumps({"error": {"message": "quota is used up"}}, indent=4).encode(),
        reason=_FAILED,
        words=("quota is used up",),
    ),
    "a bare line with an error": Dialect(
        sse(says(FILE)) + b'{"error":{"message":"runner stopped","type":"api_error"}}\n',
        reason=_FAILED,
        handed_on=FILE,
        words=("runner stopped",),
    ),
    "a bare line with an error, then [DONE]": Dialect(
        sse(says("x")) + b'{"error":"runner stopped"}\n\n' + sse(DONE),
        reason=_FAILED,
        handed_on="x",
        words=("runner stopped",),
    ),
    "bare indented lines with an error": Dialect(
        sse(says("x"))
        + json.dumps({"error": {"message": "died"}}, indent=2).encode()
        + b"\n\n"
        + sse(DONE),
        reason=_FAILED,
        handed_on="x",
        words=("died",),
    ),
    "a web page": Dialect(
        b"<!doctype html><html><head><title>Open WebUI</title></head><body></body></html>",
        reason="upstream_broken",
        words=("web page", "/v1"),
    ),
    "a web page after blank lines": Dialect(
        b"\xef\xbb\xbf\r\n\r\n  <HTML>\r\n<body>\r\n", reason="upstream_broken", words=("web page",)
    ),
    "a web page as data": Dialect(
        sse("<html><body>502</body></html>"), reason="upstream_broken", words=("web page",)
    ),
    "no blank lines": Dialect(
        sse(says("one "), says("two "), STOP, DONE, end=b"\n"),
        reason="upstream_broken",
        words=("no blank lines",),
    ),
    "no blank lines, CRLF": Dialect(
        sse(says("one "), says("two "), STOP, DONE, end=b"\r\n"),
        reason="upstream_broken",
        words=("no blank lines",),
    ),
    "no blank line before [DONE]": Dialect(
        sse(says("one ")) + sse(STOP, end=b"\n") + sse(DONE),
        reason="upstream_broken",
        handed_on="one ",
        words=("no blank lines",),
    ),
    "a number": Dialect(sse("5"), reason="upstream_broken"),
    "an empty list": Dialect(sse("[]"), reason="upstream_broken"),
    "a content that is a number": Dialect(sse(says(5)), reason="upstream_broken"),
    "a delta that is a text": Dialect(sse({"choices": [{"delta": "a"}]}), reason="upstream_broken"),
    "choices that are a text": Dialect(sse({"choices": "a"}), reason="upstream_broken"),
    "half an object": Dialect(sse('{"choices":'), reason="upstream_broken"),
    "deep JSON": Dialect(sse("[" * 100_000), reason="upstream_broken"),
    "deep JSON where nobody looks": Dialect(
        sse(
            b'{"choices":[{"delta":{"content":"a"}}],"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        ),
        reason="upstream_broken",
    ),
    "stray words": Dialect(
        b"upstream connect error or disconnect/reset before headers\n",
        reason="upstream_cut",
        words=("upstream connect error",),
    ),
    "the key in an end": Dialect(
        sse(says("x"), says("", "sk-a-secret-key-of-the-tests"), DONE),
        reason="upstream_broken",
        handed_on="x",
        words=("[key]",),
    ),
    "the key in a refusal": Dialect(
        sse(says(None, refusal="No: sk-a-secret-key-of-the-tests"), says("", "refusal"), DONE),
        reason="upstream_filtered",
        words=("No: [key]",),
    ),
    "the key in an error": Dialect(
        sse({"error": "Incorrect key sk-a-secret-key-of-the-tests; \x1b[31m" + "x" * 900}),
        reason=_FAILED,
        words=("Incorrect key [key]", "x..."),
    ),
}

ALL = {**GOOD, **BAD}
