"""What one piece of a streamed chat completion says, in whichever dialect.

Nearly every piece is of the plain form, and a typed decoder reads it in a microsecond. Whatever
else comes (a list of parts, half a surrogate pair, an error in one of its many shapes) is read the
long way, by what is there rather than by what should be.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec

from rtserver.runs.llm.errors import WEB_PAGE
from rtserver.runs.llm.said import is_said, said_by
from rtserver.runs.llm.sse import BrokenStreamError

MAX_DEPTH = 6
"""Of parts within parts."""
MAX_ODD_BYTES = 1024 * 1024
"""Of a piece that is read the long way: it costs some twenty times its size in memory."""

_REASONING = (
    ("reasoning_content", "DeepSeek, vLLM, SGLang, llama.cpp, xAI"),
    ("reasoning", "OpenRouter, Ollama, Groq, Together AI, vLLM"),
    ("thinking", "Ollama's own API, through gateways"),
    ("thought", "gateways to Gemini"),
    ("thoughts", "gateways to Gemini"),
    ("reasoning_text", "GitHub Copilot"),
    ("reasoning_details", "OpenRouter, MiniMax"),
    ("thinking_blocks", "LiteLLM"),
)
"""Where reasoning stands, and who puts it there. Where several say the same, the first counts."""

_NO_CHUNK = "a piece of the reply is no chat completion chunk"
_FAILED = ("error", "failed", "fail", "failure")
_ERROR_KEYS = (
    *("detail", "error_code", "error_msg", "error_message", "errorMessage", "error_description"),
    *("err_msg", "errmsg", "errcode", "msg", "status_msg", "fault", "exception"),
)
_STATUS_KEYS = ("status", "status_code", "statusCode", "code")
_KEEP_ALIVE = ("ping", "pong", "keepalive", "heartbeat")
"""Said by proxies as data, since not every client ignores comments."""


class NoJsonError(BrokenStreamError):
    """A piece that is no JSON: where the stream ends with it, it may be half of one."""


class Chunk(msgspec.Struct):
    """What a piece says.

    Attributes:
        text: of the answer.
        reasoning: what the model thinks, which is no part of its answer.
        refusal: the model's words for not answering.
        tools: names of functions that it wants called.
        finish: the finish reason as it came; null where there is none.
        error: what the endpoint says of its failure; null where it says nothing.
        said: what a piece says that is in no known form.
        usage: the document about it, as JSON.
        index: of the answer, where an endpoint gives several.
        whole: it is a whole completion, not a piece of one.
        odd: it was read the long way: the text may have halves of surrogate pairs in it.
        notes: what of its dialect is worth knowing.
    """

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tools: tuple[str, ...] = ()
    finish: object = None
    error: object = None
    said: str = ""
    usage: bytes = b""
    index: int = 0
    whole: bool = False
    odd: bool = False
    notes: tuple[str, ...] = ()


_EmptyText = Annotated[str, msgspec.Meta(max_length=0)] | None
_EmptyList = Annotated[list[Any], msgspec.Meta(max_length=0)] | None


class _Delta(msgspec.Struct):
    """What a plain piece has in it. Where more is in the further fields, it is not plain."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: _EmptyText = None
    tool_calls: _EmptyList = None
    function_call: None = None
    thinking: _EmptyText = None
    thought: _EmptyText = None
    thoughts: _EmptyText = None
    reasoning_text: _EmptyText = None
    reasoning_details: _EmptyList = None
    thinking_blocks: _EmptyList = None
    extra_content: None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None
    index: int = 0
    error: None = None


class _Groq(msgspec.Struct):
    error: None = None


class _Document(msgspec.Struct):
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1, max_length=1)]
    usage: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: None = None
    errors: _EmptyList = None
    base_resp: None = None
    x_groq: _Groq | None = None


_decode = msgspec.json.Decoder(_Document).decode


def chunk_of(event: bytes) -> Chunk:
    """Read one piece.

    Raises:
        BrokenStreamError: it is no such chunk.
    """
    try:
        document = _decode(event)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_the_long_way(event)
    choice = document.choices[0]
    delta = choice.delta or choice.message
    if delta is None:
        return _read_the_long_way(event)
    chunk = Chunk(
        text=delta.content or "",
        finish=choice.finish_reason,
        index=choice.index,
        whole=choice.delta is None,
    )
    if reasoning := delta.reasoning_content:
        chunk.reasoning, chunk.notes = reasoning, ("reasoning in `reasoning_content`",)
    elif reasoning := delta.reasoning:
        chunk.reasoning, chunk.notes = reasoning, ("reasoning in `reasoning`",)
    if document.usage is not msgspec.UNSET:
        chunk.usage = bytes(document.usage)
    return chunk


def _read_the_long_way(event: bytes) -> Chunk:
    if len(event) > MAX_ODD_BYTES:
        raise BrokenStreamError("a piece of the reply is too large for its form", retry=False)
    document = _loaded(event)
    if isinstance(document, list) and any(isinstance(item, Mapping) for item in document):
        # Gemini answers with its error in a list.
        document = next(item for item in document if isinstance(item, Mapping))
        if "error" not in document:
            raise BrokenStreamError(_NO_CHUNK)
    if isinstance(document, str) and document.strip():
        return Chunk(error=document, odd=True)
    if not isinstance(document, Mapping):
        raise BrokenStreamError(_NO_CHUNK)
    return _chunk_in(document)


def _loaded(event: bytes) -> object:
    event = event.removeprefix(b"\xef\xbb\xbf")
    try:
        text = event.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        text = event.decode("utf-8", "replace")
    try:
        document: object = json.loads(text)
    except RecursionError:
        raise BrokenStreamError(_NO_CHUNK) from None
    except ValueError:  # also for a number of more than 4,300 digits
        words = text.strip()
        if words.strip("[]:. ").lower().replace("-", "") in _KEEP_ALIVE:
            return {}
        if words.startswith("<"):
            raise BrokenStreamError(WEB_PAGE, retry=False) from None
        # As in `data: upstream timed out` and `data: [ERROR] out of memory`.
        if words.removeprefix("[")[:1].isalpha():
            return words
        raise NoJsonError(_NO_CHUNK) from None
    return document


def _chunk_in(document: Mapping[str, Any]) -> Chunk:
    choices = document.get("choices")
    if isinstance(choices, Mapping):
        choices = [choices]
    if not isinstance(choices, list | None):
        raise BrokenStreamError(_NO_CHUNK)
    found = [choice for choice in choices or () if isinstance(choice, Mapping)]
    first = next((choice for choice in found if choice.get("index") in (0, None)), None)
    choice = first or (found[0] if found else {})
    chunk = Chunk(error=_failure(document, choice), odd=True)
    usage = document.get("usage")
    if isinstance(usage, Mapping) and usage:
        chunk.usage = _dumped(usage)
    elif "choices" not in document:
        chunk.said = said_by(document)
    index = choice.get("index")
    chunk.index = index if isinstance(index, int) else 0
    chunk.finish = choice.get("finish_reason")
    delta = choice.get("delta") or choice.get("message")
    if delta is None and "text" in choice:
        delta = {"content": choice["text"]}
    chunk.whole = not choice.get("delta") and "message" in choice
    if isinstance(delta, Mapping):
        _take_delta(chunk, delta)
    elif delta:
        raise BrokenStreamError(_NO_CHUNK)
    return chunk


def _take_delta(chunk: Chunk, delta: Mapping[str, Any]) -> None:
    parts = _Parts()
    content = delta.get("content")
    parts.take(content)
    notes = ["content as a list of parts"] if isinstance(content, list | Mapping) else []
    if _is_thought(delta):
        parts.reasoning, parts.text = parts.text, []
    for key, _server in _REASONING:
        if reasoning := "".join(_texts(delta.get(key), 0)):
            parts.reasoning.append(reasoning)
            notes.append(f"reasoning in `{key}`")
            break
    if isinstance(refusal := delta.get("refusal"), str):
        parts.refusal.append(refusal)
    calls = delta.get("tool_calls")
    for call in (
        *(calls if isinstance(calls, list) else ()),
        {"function": delta.get("function_call")},
    ):
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            parts.tools.append(str(function.get("name") or "")[:100])
    chunk.text = "".join(parts.text)
    chunk.reasoning = "".join(parts.reasoning)
    chunk.refusal = "".join(parts.refusal)
    chunk.tools = tuple(parts.tools)
    chunk.notes = tuple(notes)


def _is_thought(delta: Mapping[str, Any]) -> bool:
    """Whether the content is a thought: gateways to Gemini mark it beside it."""
    extra = delta.get("extra_content")
    google = extra.get("google") if isinstance(extra, Mapping) else None
    return delta.get("thought") is True or (
        isinstance(google, Mapping) and google.get("thought") is True
    )


class _Parts:
    """What the parts of a content are."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.tools: list[str] = []

    def take(self, content: object) -> None:
        """Sort what a content has in it.

        Raises:
            BrokenStreamError: it is no content.
        """
        if isinstance(content, str):
            self.text.append(content)
        elif isinstance(content, Mapping):
            self._take_part(content)
        elif isinstance(content, list):
            for part in content:
                if isinstance(part, Mapping):
                    self._take_part(part)
                elif isinstance(part, str):
                    self.text.append(part)
        elif content is not None:
            raise BrokenStreamError(_NO_CHUNK)

    def _take_part(self, part: Mapping[str, Any]) -> None:
        kind = part.get("type")
        kind = kind.lower() if isinstance(kind, str) else ""
        texts = list(_texts(part, 0))
        if "refus" in kind:
            self.refusal += texts
        elif part.get("thought") is True or any(
            word in kind for word in ("think", "thought", "reason")
        ):
            self.reasoning += texts
        elif "tool" in kind or "function" in kind:
            self.tools.append(str(part.get("name") or "")[:100])
        elif not kind or "text" in kind:
            self.text += texts


def _texts(value: object, depth: int) -> Iterator[str]:
    """The text in a part, or in a list of parts, of whatever kind it is."""
    if depth > MAX_DEPTH:
        raise BrokenStreamError(_NO_CHUNK)
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, depth + 1)
    elif isinstance(value, Mapping):
        for key in ("text", "thinking", "reasoning", "summary", "content", "refusal", "value"):
            if value.get(key):
                yield from _texts(value[key], depth + 1)
                return


def _failure(document: Mapping[str, Any], choice: Mapping[str, Any]) -> object:
    """What a piece says of a failure; null where it says nothing of one."""
    groq = document.get("x_groq")
    for holder, key in (
        (document, "error"),
        (document, "errors"),
        (choice, "error"),
        (groq if isinstance(groq, Mapping) else {}, "error"),
    ):
        if is_said(holder.get(key)):
            return holder[key]
    state = document.get("base_resp")  # MiniMax; it comes with success too
    if isinstance(state, Mapping) and is_said(state.get("status_code")):
        return state
    if choice:
        return None
    told = (
        document.get("object") == "error"
        or document.get("type") == "error"
        or document.get("status") in _FAILED
        or document.get("success") is False
        or any(is_said(document.get(key)) for key in _ERROR_KEYS)
        or any(_is_status_of_error(document.get(key)) for key in _STATUS_KEYS)
        or (isinstance(document.get("message"), str) and is_said(document["message"]))
    )
    return document if told else None


def _is_status_of_error(status: object) -> bool:
    return isinstance(status, int) and 400 <= status < 600


def _dumped(usage: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(usage).encode()
    except RecursionError:
        return b""
