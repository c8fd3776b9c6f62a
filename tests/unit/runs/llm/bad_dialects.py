"""What servers send that is no reply, and what is to be said of it. See `dialects`."""

import json

from tests.unit.runs.llm.dialects import DONE, FILE, HALF, OTHER, STOP, Dialect, says, sse, whole

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
    "an error in Groq's own field": Dialect(
        sse(says("x"), {**says(""), "x_groq": {"error": "over capacity"}}, DONE),
        reason=_FAILED,
        handed_on="x",
        words=("over capacity",),
    ),
    "an exception, then [DONE]": Dialect(
        sse(says(FILE), {"exception": "RuntimeError: died"}, DONE),
        reason=_FAILED,
        handed_on=FILE,
        words=("RuntimeError: died",),
    ),
    "a status of HTTP, then [DONE]": Dialect(
        sse(says(FILE), {"status": 500, "title": "Internal trouble"}, DONE),
        reason=_FAILED,
        handed_on=FILE,
        words=("Internal trouble",),
    ),
    "a status of HTTP alone": Dialect(
        sse(says(FILE), {"statusCode": 503}, DONE), reason=_FAILED, handed_on=FILE, words=("503",)
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
