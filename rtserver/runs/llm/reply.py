"""One streamed chat completion, from its bytes to its text."""

from collections.abc import Callable
from typing import Any

import msgspec

from rtserver.runs.llm.errors import LlmError, error_in_stream
from rtserver.runs.llm.sse import BrokenStreamError, SseReader

OnText = Callable[[str], None]


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning: Any = None
    reasoning_content: Any = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


class ReplyReader:
    """Takes the bytes of a reply and hands its text on.

    Attributes:
        begun: some text was handed on.
        pieces: how many pieces came, a model's unspoken reasoning included.
        finished: the model said that it is at its end.
        done: the stream said that it is.
        usage: numbers of tokens by name, where the endpoint told them.
    """

    def __init__(
        self, on_text: OnText, *, max_bytes: int, max_pieces: int, key: str | None
    ) -> None:
        """Make a reader.

        Args:
            on_text: called with each piece of text.
            max_bytes: of text, as UTF-8.
            max_pieces: bound of `pieces`.
            key: kept out of what the endpoint says of its errors.
        """
        self.begun = False
        self.pieces = 0
        self.done = False
        self.usage: dict[str, int] | None = None
        self._finish_reason: str | None = None
        self._size_bytes = 0
        self._on_text = on_text
        self._max_bytes = max_bytes
        self._max_pieces = max_pieces
        self._key = key
        self._events = SseReader()

    @property
    def finished(self) -> bool:
        """Whether only the usage can still come."""
        return self._finish_reason is not None

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            BrokenStreamError: this is no stream of completion chunks.
            LlmError: the endpoint says that it failed, or the reply is too large.
        """
        for event in self._events.feed(data):
            self._take(event)

    def end(self) -> None:
        """The connection is at its end.

        Raises:
            BrokenStreamError, LlmError: as `feed`.
        """
        for event in self._events.end():
            self._take(event)

    def check_whole(self) -> None:
        """See whether what came is a whole reply.

        Raises:
            LlmError: it is not.
        """
        match self._finish_reason:
            case None if not self.done:
                raise cut_off()
            case "length":
                raise LlmError(
                    "upstream_cut",
                    "The language model came to the end of its window in the middle of the reply",
                )
            case "content_filter":
                raise LlmError(
                    "upstream_filtered", "The language model's endpoint filtered the reply out"
                )

    def _take(self, event: bytes) -> None:
        if self.done:
            return
        if event.startswith(b"[DONE]"):
            self.done = True
            return
        try:
            chunk = _decode(event)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BrokenStreamError("a piece of the reply is no chat completion chunk") from None
        if chunk.error is not None:
            raise error_in_stream(chunk.error, self._key)
        if chunk.usage is not None:
            self.usage = _numbers(chunk.usage)
        for choice in chunk.choices or ():
            if choice.delta is not None:
                self._take_delta(choice.delta)
            if choice.finish_reason is not None:
                self._finish_reason = choice.finish_reason

    def _take_delta(self, delta: _Delta) -> None:
        text = delta.content
        if not text and not delta.reasoning and not delta.reasoning_content:
            return
        self.pieces += 1
        if self.pieces > self._max_pieces:
            raise _too_large(f"{self._max_pieces} tokens")
        if text:
            self._size_bytes += len(text.encode("utf-8", "replace"))
            if self._size_bytes > self._max_bytes:
                raise _too_large(f"{self._max_bytes} bytes")
            self.begun = True
            self._on_text(text)


def cut_off() -> LlmError:
    """The stream ended before the reply did."""
    return LlmError("upstream_cut", "The language model's reply broke off", retry=True)


def _too_large(limit: str) -> LlmError:
    return LlmError(
        "reply_too_large", f"The language model's reply has more than {limit}; it was stopped"
    )


def _numbers(usage: dict[str, Any]) -> dict[str, int]:
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {name: usage[name] for name in names if isinstance(usage.get(name), int)}
