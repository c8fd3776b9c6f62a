"""Joins the pieces of a reply that come faster than the log commits them."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

MAX_EVENT_CHARS = 8 * 1024
MAX_EVENTS = 16
CONTENT = "content"
REASONING = "reasoning"

EmitTokens = Callable[[list[dict[str, Any]]], Awaitable[None]]


class TokenJoiner:
    """Between a model that writes and the log.

    What comes while a publication is under way becomes one event of the next one, or two where the
    model stops thinking and begins to answer. The pieces of a quiet model are one event each,
    without a delay.
    """

    def __init__(self, emit: EmitTokens) -> None:
        """Make a joiner; `run` has to be running.

        Args:
            emit: publishes events, given as their fields, and returns when they are durable.
        """
        self._emit = emit
        # Each with the key that it goes under. A model may be far ahead of the log, so taking some
        # must not touch the rest.
        self._waiting: deque[tuple[str, str]] = deque()
        self._n = 0
        self._came = asyncio.Event()
        self._closed = False

    def add(self, piece: str) -> None:
        """Take a piece of the reply. The caller bounds how much it adds."""
        self._add(CONTENT, piece)

    def add_reasoning(self, piece: str) -> None:
        """Take a piece of what the model thinks before it answers."""
        self._add(REASONING, piece)

    def _add(self, key: str, piece: str) -> None:
        # In parts, so that what is put back is never more than one of them.
        for at in range(0, len(piece), MAX_EVENT_CHARS):
            self._waiting.append((key, piece[at : at + MAX_EVENT_CHARS]))
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
        events: list[dict[str, Any]] = []
        while self._waiting and len(events) < MAX_EVENTS:
            key, text = self._take_text()
            self._n += 1
            # Whoever knows nothing of reasoning joins the contents, and has the reply.
            events.append({"content": "", key: text, "n": self._n})
        return events

    def _take_text(self) -> tuple[str, str]:
        """What comes next under one key, as much of it as goes into an event."""
        key = self._waiting[0][0]
        pieces: list[str] = []
        room = MAX_EVENT_CHARS
        while room and self._waiting and self._waiting[0][0] == key:
            piece = self._waiting.popleft()[1]
            pieces.append(piece[:room])
            if len(piece) > room:
                self._waiting.appendleft((key, piece[room:]))
            room -= len(pieces[-1])
        return key, "".join(pieces)
