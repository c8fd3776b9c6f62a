"""One chat completion, from its bytes to its text: the answer, the thoughts, and how it ended."""

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from rtserver.runs.llm.chunks import Chunk, NoJsonError, chunk_of
from rtserver.runs.llm.ends import End, EndKind, end_of
from rtserver.runs.llm.errors import (
    LlmError,
    cut_off,
    error_in_stream,
    error_of_end,
    no_answer,
    too_large,
)
from rtserver.runs.llm.sse import SseReader
from rtserver.runs.llm.surrogates import SurrogateJoiner
from rtserver.runs.llm.thoughts import ThoughtSplitter, is_all_thought

OnText = Callable[[str], None]

MAX_REFUSAL_CHARS = 2000
MAX_TOOLS = 5
MAX_NOTES = 8
_DONE = re.compile(rb"""\s*["']?\[?DONE\]?["']?\s*""", re.IGNORECASE)
"""`[DONE]`, as it is written by hand and by gateways too."""
_LONGEST_DONE_BYTES = 16
_MOST_TOKENS = 2**63 - 1
"""The largest whole number that BSON holds."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that came to its end.

    Attributes:
        text: the answer, without what the model thought.
        usage: numbers of tokens by name, where the endpoint told them.
        ended: the endpoint said that the model came to its end, not only that the stream did.
        notes: what of its dialect is worth knowing, in words.
    """

    text: str
    usage: dict[str, int] | None
    ended: bool
    notes: tuple[str, ...]


class ReplyReader:
    """Takes the bytes of a reply and hands its text on.

    The end of a reply is `[DONE]`, or the clean end of the stream after a good finish reason. Many
    servers send a finish reason with each piece, so a text after one takes it back.

    Attributes:
        begun: some of the answer was handed on.
        pieces: how many pieces came, a model's reasoning included.
        done: the stream said that it is at its end.
    """

    def __init__(
        self,
        on_text: OnText,
        on_reasoning: OnText,
        *,
        max_bytes: int,
        max_pieces: int,
        secrets: tuple[str, ...] = (),
    ) -> None:
        """Make a reader.

        Args:
            on_text: called with each piece of the answer.
            on_reasoning: called with each piece of what the model thinks.
            max_bytes: of both together, as UTF-8.
            max_pieces: bound of `pieces`.
            secrets: kept out of what the endpoint says of its errors.
        """
        self.begun = False
        self.pieces = 0
        self.done = False
        self._end: End | None = None
        self._end_came_with_text = False
        self._end_taken_back = False
        self._usage = b""
        self._index: int | None = None
        self._is_whole = False
        self._is_odd = False  # a piece came that is in no plain form
        self._reasoned = False
        self._refusal = ""
        self._said = ""
        self._tools: dict[str, None] = {}
        self._notes: dict[str, None] = {}
        self._texts: list[str] = []
        self._size_bytes = 0
        self._on_text = on_text
        self._on_reasoning = on_reasoning
        self._max_bytes = max_bytes
        self._max_pieces = max_pieces
        self._secrets = secrets
        # JSON may write a character of one byte in six.
        self._events = SseReader(max_document_bytes=6 * max_bytes + 64 * 1024)
        self._halves = SurrogateJoiner()
        self._reasoning_halves = SurrogateJoiner()
        self._thoughts = ThoughtSplitter()

    @property
    def end_kind(self) -> EndKind:
        """How the reply ended, as far as it is known now."""
        return EndKind.NONE if self._end is None else self._end.kind

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            BrokenStreamError: this is no stream of completion chunks.
            LlmError: the endpoint says that it failed, or the reply is too large.
        """
        for event in self._events.feed(data):
            self._take(event)

    def end(self) -> None:
        """The connection came to a clean end.

        Raises:
            BrokenStreamError, LlmError: as `feed`.
        """
        try:
            for event in self._events.end():
                self._take(event)
        except NoJsonError:
            raise self.cut() from None  # it ended within a piece

    def is_whole(self) -> bool:
        """Whether the reply needs no end of the stream: a JSON document tells by itself.

        Servers give a wrong `Content-Length` with it, or keep the connection open.

        Raises:
            BrokenStreamError, LlmError: as `feed`.
        """
        if not self.done and not self.pieces and (rest := self._events.rest()):
            with contextlib.suppress(NoJsonError):
                self._take(rest)
        return self.done

    def cut(self, waited_s: float = 0) -> LlmError:
        """What to say where the stream broke off here.

        Args:
            waited_s: how long nothing came, where that is why.
        """
        return cut_off(
            said_done=self._end is not None,
            stray=self._stray(),
            secrets=self._secrets,
            waited_s=waited_s,
        )

    def _stray(self) -> str:
        return self._events.stray.decode("utf-8", "replace") or self._said

    def outcome(self) -> Reply:
        """The reply, after the end of the stream.

        Raises:
            LlmError: it is not whole, or there is no answer in it.
        """
        self._flush()
        end = self._end
        if end is None and not self.done:
            raise self.cut()
        if end is not None:
            if end.kind != EndKind.GOOD:
                raise error_of_end(
                    end,
                    tools=tuple(self._tools),
                    refusal=self._refusal,
                    secrets=self._secrets,
                )
            if not self.done and self._end_taken_back and self._end_came_with_text:
                # It comes with every piece, so it says nothing, and nothing else told of an end.
                raise self.cut()
        text = "".join(self._texts)
        if not text or self._refusal or is_all_thought(text):
            raise no_answer(
                refusal=self._refusal,
                tools=tuple(self._tools),
                thinking=self._thoughts.thinking,
                reasoned=self._reasoned or bool(text),
                stray=self._stray(),
                secrets=self._secrets,
            )
        return Reply(text, _numbers(self._usage), end is not None, self._dialect())

    def _dialect(self) -> tuple[str, ...]:
        found = {
            "thoughts in tags": self._thoughts.found,
            "finish reasons amid the reply": self._end_taken_back,
            "no finish reason": self._end is None,
        }
        return (
            "not streamed" if self._is_whole else "streamed",
            *self._notes,
            *(note for note, is_so in found.items() if is_so),
        )

    def _take(self, event: bytes) -> None:
        if self.done or not event or event.isspace():
            return
        if len(event) <= _LONGEST_DONE_BYTES and _DONE.fullmatch(event):
            self.done = True
            return
        chunk = chunk_of(event)
        if chunk.odd:
            if chunk.error is not None:
                raise error_in_stream(chunk.error, self._secrets)
            self._is_odd = True
            self._said = self._said or chunk.said
        if chunk.usage:
            self._usage = chunk.usage
        says = chunk.text or chunk.reasoning or chunk.refusal or chunk.tools
        if says or chunk.finish is not None:
            if self._index is None:
                self._index = chunk.index
            if chunk.index == self._index:
                if says:
                    self._take_words(chunk)
                if chunk.finish is not None:
                    self._take_finish(chunk.finish, with_text=bool(says))
        if chunk.whole:
            self._is_whole = True
            self.done = True

    def _take_words(self, chunk: Chunk) -> None:
        self.pieces += 1
        if self.pieces > self._max_pieces:
            raise too_large(f"{self._max_pieces} tokens")
        if self._end is not None:
            self._end = None
            self._end_taken_back = True
        reasoning, text = chunk.reasoning, chunk.text
        if self._is_odd:
            for name in chunk.tools[:MAX_TOOLS]:
                if name and len(self._tools) < MAX_TOOLS:
                    self._tools[name] = None
            self._refusal = (self._refusal + chunk.refusal)[:MAX_REFUSAL_CHARS]
            reasoning = self._reasoning_halves.feed(reasoning)
            text = self._halves.feed(text)
        for note in chunk.notes:
            self._note(note)
        if reasoning:
            self._hand_on_reasoning(reasoning)
        if text:
            self._take_text(text)

    def _take_text(self, text: str) -> None:
        if self._thoughts.answering:
            self._hand_on(text)
            return
        thought, answer = self._thoughts.feed(text)
        if thought:
            self._hand_on_reasoning(thought)
        if answer:
            self._hand_on(answer)

    def _flush(self) -> None:
        if rest := self._reasoning_halves.end():
            self._hand_on_reasoning(rest)
        if rest := self._halves.end():
            self._take_text(rest)
        thought, answer = self._thoughts.end()
        if thought:
            self._hand_on_reasoning(thought)
        if answer:
            self._hand_on(answer)

    def _hand_on(self, text: str) -> None:
        self._measure(text)
        self.begun = True
        self._texts.append(text)
        self._on_text(text)

    def _hand_on_reasoning(self, text: str) -> None:
        self._measure(text)
        self._reasoned = True
        self._on_reasoning(text)

    def _measure(self, text: str) -> None:
        self._size_bytes += len(text.encode("utf-8", "replace"))
        if self._size_bytes > self._max_bytes:
            raise too_large(f"{self._max_bytes} bytes")

    def _take_finish(self, reason: object, *, with_text: bool) -> None:
        end = end_of(reason)
        if end.kind == EndKind.NONE:
            return
        # A bad end is not mended by a good one that comes after it.
        if self._end is None or self._end.kind == EndKind.GOOD:
            self._end = end
            self._end_came_with_text = with_text

    def _note(self, note: str) -> None:
        if len(self._notes) < MAX_NOTES:
            self._notes[note] = None


def _numbers(usage: bytes) -> dict[str, int] | None:
    if not usage:
        return None
    try:
        told: Any = msgspec.json.decode(usage)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {
        name: number
        for name in names
        if isinstance(number := told.get(name), int)
        and not isinstance(number, bool)
        and 0 <= number <= _MOST_TOKENS
    }
