"""What a request says, in the dialect that the endpoint turns out to want."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from rtserver.runs.llm.message import Message

_MAX_READ_CHARS = 2000
_SYSTEM_REFUSED = re.compile(
    # Gemma, Mistral 7B and others by their chat templates; o1-preview; Gemma at Google.
    r"system[\s_'\"`-]{0,3}(?:role|message|prompt|instruction)|role[^\n]{0,60}\bsystem\b"
    r"|messages?\W{1,4}0\W{1,4}role|developer instruction|roles must alternate"
    r"|only user\b[^\n]{0,40}\broles",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """What an operator wants to have in each request.

    Attributes:
        max_tokens: most tokens of a reply; the endpoint's own bound where it is None.
        extra: further keys, over those of the server.
        headers: further headers.
    """

    max_tokens: int | None = None
    extra: Mapping[str, Any] | None = None
    headers: tuple[tuple[str, str], ...] = ()


class RequestForm:
    """Makes requests, and learns from refusals what the endpoint does not take."""

    def __init__(self, model: str, options: RequestOptions) -> None:
        """Make the form that most endpoints take.

        Args:
            model: what the endpoint is asked for.
            options: what more is put into each request.
        """
        self._model = model
        self._extra = dict(options.extra or {})
        self._max_tokens = options.max_tokens
        self._max_tokens_key = "max_tokens"
        self._tells_usage = "stream_options" not in self._extra
        self._has_system = True

    @property
    def notes(self) -> tuple[str, ...]:
        """What was learned, in words."""
        notes = {
            "no `stream_options`": not self._tells_usage and "stream_options" not in self._extra,
            "no `system` messages": not self._has_system,
            "`max_completion_tokens`": self._max_tokens_key != "max_tokens",
        }
        return tuple(note for note, is_so in notes.items() if is_so)

    def body(self, messages: list[Message]) -> bytes:
        """A request for a streamed reply, as JSON."""
        request: dict[str, Any] = {
            "model": self._model,
            "messages": _said(messages) if self._has_system else _said_by_user(messages),
            "stream": True,
        }
        if self._tells_usage:
            request["stream_options"] = {"include_usage": True}
        if self._max_tokens is not None:
            request[self._max_tokens_key] = self._max_tokens
        return msgspec.json.encode({**request, **self._extra})

    def learn(self, said: str) -> bool:
        """Change the form after what an endpoint says of its refusal.

        Each change is made once, so asking again comes to an end.

        Args:
            said: the answer, as it came.

        Returns:
            Whether to ask again.
        """
        if self._tells_usage and "stream_options" in said:
            self._tells_usage = False
        elif (
            self._max_tokens is not None
            and self._max_tokens_key == "max_tokens"
            and "max_completion_tokens" in said
        ):
            self._max_tokens_key = "max_completion_tokens"
        elif self._has_system and _SYSTEM_REFUSED.search(said[:_MAX_READ_CHARS]):
            self._has_system = False
        else:
            return False
        return True


def _said(messages: list[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _said_by_user(messages: list[Message]) -> list[dict[str, str]]:
    """With the system's text before that of the user after it."""
    said: list[dict[str, str]] = []
    before = ""
    for message in messages:
        if message.role == "system":
            before += message.content + "\n\n"
        else:
            said.append({"role": message.role, "content": before + message.content})
            before = ""
    return said
