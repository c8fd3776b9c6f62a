"""Joins the pieces of a reply that come faster than the log commits them."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from operator import itemgetter
from typing import Any

MAX_EVENT_CHARS = 8 * 1024
MAX_EVENTS = 16
CONTENT = "content"
REASONING = "reasoning"

EmitTokens = Callable[[list[dict[str, Any]]], Awaitable[None]]


class TokenJoiner:
    """Between a model that writes and the log.

    What comes while a publication is under way becomes one event of the next one, or two where the
    model stops thinking and begins to answer. The pieces of a quiet model are events of their own,
    without a delay.
    """

    def __init__(self, emit: EmitTokens) -> None:
        """Make a joiner; `run` has to be running.

        Args:
            emit: publishes events, given as their fields, and returns when they are durable.
        """
        self._emit = emit
        self._waiting: list[tuple[str, str]] = []  # each with the key that it goes under
        self._n = 0
        self._came = asyncio.Event()
        self._closed = False

    def add(self, piece: str) -> None:
        """Take a piece of the reply. The caller bounds how much it adds."""
        self._waiting.append((CONTENT, piece))
        self._came.set()

    def add_reasoning(self, piece: str) -> None:
        """Take a piece of what the model thinks before it answers."""
        self._waiting.append((REASONING, piece))
        self._came.set()

    def close(self) -> None:
        """There is nothing to come; `run` ends when all is durable."""
        self._closed = True
        self._came.set()

    async def run(self) -> None:
        """Publish until closed and done."""
        while True:
            await self._came.wait()
            self._came.clear()
            while self._waiting:
                await self._emit(self._take())
            if self._closed:
                return

    def _take(self) -> list[dict[str, Any]]:
        waiting, self._waiting = self._waiting, []
        events: list[dict[str, Any]] = []
        groups = [
            (key, "".join([piece for _, piece in pieces]))
            for key, pieces in itertools.groupby(waiting, key=itemgetter(0))
        ]
        for number, (key, text) in enumerate(groups):
            for at in range(0, len(text), MAX_EVENT_CHARS):
                if len(events) == MAX_EVENTS:
                    self._waiting = [(key, text[at:]), *groups[number + 1 :]]
                    return events
                self._n += 1
                # Whoever knows nothing of reasoning joins the contents, and has the reply.
                event = {"content": "", key: text[at : at + MAX_EVENT_CHARS], "n": self._n}
                events.append(event)
        return events
