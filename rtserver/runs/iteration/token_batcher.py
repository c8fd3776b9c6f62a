"""Joins the pieces of a reply that come faster than the log commits them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

MAX_EVENT_CHARS = 8 * 1024
MAX_EVENTS = 16

EmitTokens = Callable[[list[dict[str, Any]]], Awaitable[None]]


class TokenJoiner:
    """Between a model that writes and the log.

    What comes while a publication is under way becomes one event of the next one. The pieces of a
    quiet model are events of their own, without a delay.
    """

    def __init__(self, emit: EmitTokens) -> None:
        """Make a joiner; `run` has to be running.

        Args:
            emit: publishes events, given as their fields, and returns when they are durable.
        """
        self._emit = emit
        self._waiting: list[str] = []
        self._pieces: list[str] = []
        self._n = 0
        self._came = asyncio.Event()
        self._closed = False

    @property
    def text(self) -> str:
        """All that was added."""
        return "".join(self._pieces)

    def add(self, piece: str) -> None:
        """Take a piece of the reply. The caller bounds how much it adds."""
        self._waiting.append(piece)
        self._pieces.append(piece)
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
        text = "".join(self._waiting)
        self._waiting.clear()
        limit = MAX_EVENT_CHARS * MAX_EVENTS
        if len(text) > limit:
            self._waiting.append(text[limit:])
            text = text[:limit]
        events: list[dict[str, Any]] = []
        for at in range(0, len(text), MAX_EVENT_CHARS):
            self._n += 1
            events.append({"content": text[at : at + MAX_EVENT_CHARS], "n": self._n})
        return events
