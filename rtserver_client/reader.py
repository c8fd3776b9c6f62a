"""The events of a project, one after the other, over all that can cut a connection."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Sequence
from typing import cast

from rtserver_client import frames
from rtserver_client.backoff import Backoff
from rtserver_client.connection import EndedError, Frame, opened
from rtserver_client.errors import StoppedError
from rtserver_client.frames import StoredEvent
from rtserver_client.gap import Gap
from rtserver_client.positions import PositionStore
from rtserver_client.tokens import Tokens

STEADY_S = 10.0
"""A connection that lasted so long worked: the next wait is a short one again."""
UNAUTHORIZED = (4001, 401)
FINAL = (4003, 4009, 4400, 400, 403, 404)
SESSION_FRAMES = ("welcome", "gap", "position", "presence", "ack", "error", "closing")

_log = logging.getLogger("rtserver_client")


class Reader:
    """Reads a project and remembers where it is.

    An event's position is kept when the caller asks for the next one: it has handled it by then.
    After a kill in between, the event comes once more, and none is left out.
    """

    def __init__(
        self,
        base_url: str,
        project_id: str,
        proposal_ids: Sequence[str],
        tokens: Tokens,
        positions: PositionStore,
    ) -> None:
        self._base_url = base_url
        self._project_id = project_id
        self._proposal_ids = proposal_ids
        self._tokens = tokens
        self._positions = positions
        self._backoff = Backoff()
        self._renewed = False
        self.live = asyncio.Event()

    async def events(self) -> AsyncGenerator[StoredEvent | Gap, None]:
        """Events, and a `Gap` where some are gone for good: fetch the state anew then.

        Raises:
            StoppedError: the server does not want this client back.
        """
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            try:
                async with contextlib.aclosing(self._connection()) as events:
                    async for event in events:
                        yield event
            except EndedError as error:
                self.live.clear()
                if loop.time() - began_s > STEADY_S:
                    self._backoff.reset()
                wait_s = await self._wait_after(error)
                _log.info("connection ended (%s); trying again in %.1f s", error, wait_s)
                await asyncio.sleep(wait_s)

    async def _connection(self) -> AsyncGenerator[StoredEvent | Gap, None]:
        """What one connection brings; ends with `EndedError`."""
        position = await self._positions.load()
        lost_upto: str | None = None
        async with opened(
            self._base_url, self._project_id, self._proposal_ids, self._tokens, position
        ) as incoming:
            async for frame in incoming:
                kind = frame["type"]
                if kind == "welcome":
                    self._renewed = False
                    outcome = frame["resume"]["outcome"]
                    if outcome == "fresh":
                        await self._positions.save(frame["position"])
                    lost_upto = frame["position"] if outcome == "lost" else None
                    self.live.set()
                elif kind == "gap":
                    yield Gap.of_frame(cast(frames.Gap, frame))
                    # In the middle of a connection a gap ends before its `oldest_available`, and
                    # the next event moves the position.
                    if lost_upto is not None:
                        await self._positions.save(lost_upto)
                elif kind == "position":
                    await self._positions.save(frame["id"])
                elif kind not in SESSION_FRAMES and "id" in frame:
                    yield cast(StoredEvent, frame)
                    await self._positions.save(frame["id"])
                elif kind == "error":
                    _log.warning("the server refused a message: %s", _words(frame))

    async def _wait_after(self, error: EndedError) -> float:
        """How long to wait before the next attempt.

        Raises:
            StoppedError: there is none.
        """
        if error.code in UNAUTHORIZED and error.retry_after_s is None:
            # Once: a second refusal is not the token's age.
            if not self._tokens.can_renew or self._renewed:
                raise StoppedError(error.code or 401, error.reason) from error
            self._renewed = True
            await self._tokens.renew()
            return 0.0
        if error.reconnect is False or error.code in FINAL:
            raise StoppedError(error.code or 0, error.reason) from error
        return self._backoff.next_s(error.retry_after_s or 0.0)


def _words(frame: Frame) -> str:
    return str(frame.get("error", ""))
