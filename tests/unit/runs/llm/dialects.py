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
    "[DONE] in small letters": Dialect(sse(says(FILE), STOP, "[done]"), FILE),
    "[DONE] as a JSON text": Dialect(sse(says(FILE), STOP, '"[DONE]"'), FILE),
    "DONE without brackets": Dialect(sse(says(FILE), STOP, "DONE"), FILE),
    "a tab after the colon": Dialect(sse(says(FILE), STOP, DONE).replace(b"a: ", b"a:\t"), FILE),
    "data: twice": Dialect(sse(says(FILE), STOP, DONE).replace(b"data: ", b"data: data: "), FILE),
    "words that keep the connection open": Dialect(
        sse("ping", says(FILE), "[keep-alive]", "heartbeat", STOP, DONE), FILE
    ),
    "events that keep the connection open": Dialect(
        b'event: ping\ndata: {"type":"ping"}\n\n' + sse(says(FILE), STOP, DONE), FILE
    ),
    "Groq's own field": Dialect(
        sse({**says(FILE), "x_groq": {"id": "r"}}, {**STOP, "x_groq": {"usage": {}}}, DONE), FILE
    ),
    "Azure's own fields": Dialect(
        sse(
            {"choices": [], "prompt_filter_results": [{"content_filter_results": {}}]},
            says(FILE),
            {"choices": [{"delta": {}, "content_filter_offsets": {"check_offset": 1}}]},
            STOP,
            DONE,
        ),
        FILE,
    ),
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
