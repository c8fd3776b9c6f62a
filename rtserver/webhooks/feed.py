"""One project's events, told to one endpoint: in order, and the next when the last was dealt with.

The log is the queue. The place in it moves on when a message was accepted or became a dead letter,
so the next worker goes on from there, leaves nothing out, and repeats one message at most.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NoReturn

import structlog

from rtserver.eventlog.api import EventLog
from rtserver.eventlog.history import EventFilter
from rtserver.lib.waiting import is_set_within
from rtserver.model.moments import now_rfc3339
from rtserver.model.positions import Position
from rtserver.model.webhook import WebhookEndpoint
from rtserver.webhooks.message import (
    LogGap,
    WebhookMessage,
    message_of,
    message_of_gap,
    signed_headers,
)
from rtserver.webhooks.metrics import Attempt, WebhookMetrics
from rtserver.webhooks.ports import (
    Answer,
    DeadLetter,
    DeadLetters,
    WebhookPoster,
    WebhookRecords,
)
from rtserver.webhooks.schedule import FeedState

POLL_S = 10.0
"""A look at the log is taken so often even where the tail tells of nothing."""
READ_EVENTS = 200
READ_BYTES = 256 * 1024

_log = structlog.get_logger()


class EndpointGoneError(Exception):
    """The endpoint wants nothing more."""


@dataclass(frozen=True, slots=True)
class FeedParts:
    """What all feeds of a worker work with.

    Attributes:
        now_s: the present time (Unix time).
    """

    log: EventLog
    poster: WebhookPoster
    letters: DeadLetters
    records: WebhookRecords
    metrics: WebhookMetrics
    now_s: Callable[[], float] = time.time


class Feed:
    """The events of one project for one endpoint. `run` is the loop; the caller owns its task.

    Attributes:
        state: how far it is.
        waiting: how many events of the log are behind that.
    """

    def __init__(
        self,
        endpoint: WebhookEndpoint,
        project_id: str,
        parts: FeedParts,
        state: FeedState | None,
        *,
        turns: asyncio.Semaphore,
        note: Callable[[str, FeedState], Awaitable[None]],
    ) -> None:
        """Make it.

        Args:
            endpoint: whom to tell.
            project_id: of whose events.
            parts: see there.
            state: how far it was told before; None begins with what comes next.
            turns: bounds the attempts that are under way for the endpoint.
            note: keeps a state of the project; raises LeaseLostError where another tells it.
        """
        self.state = state
        self.waiting = 0
        self._endpoint = endpoint
        self._project_id = project_id
        self._parts = parts
        self._turns = turns
        self._note_state = note
        self._wanted = EventFilter(endpoint.types)
        self._woken = asyncio.Event()
        self._nudged = asyncio.Event()
        self._given_up = 0
        self._problem = ""

    def wake(self) -> None:
        """There may be something in the log."""
        self._woken.set()

    def nudge(self) -> None:
        """Try at once what waits for its next attempt."""
        self._nudged.set()

    async def run(self) -> NoReturn:
        """Tell, until cancelled.

        Raises:
            EndpointGoneError, LeaseLostError, StoreUnavailableError: it can't go on.
        """
        while True:
            self._woken.clear()
            if not await self._advance():
                await is_set_within(self._woken, POLL_S)

    async def _advance(self) -> bool:
        """Tell of the next part of the log; whether there may be more at once."""
        log = self._parts.log
        epoch, head = log.epoch, await log.head(self._project_id)
        if self.state is None:
            await self._note(FeedState(Position(epoch, head)))
            return False
        position = self.state.position
        if position.epoch == epoch and head <= position.seq:
            self.waiting = 0
            return False
        oldest = await log.oldest(self._project_id)
        if position.epoch != epoch or oldest > position.seq + 1:
            await self._pass_gap(self.state, Position(epoch, oldest - 1))
            return True
        self.waiting = head - position.seq
        packs = await log.read(
            self._project_id,
            after=position.seq,
            upto=head,
            limit=READ_EVENTS,
            limit_bytes=READ_BYTES,
        )
        at = position.seq
        try:
            for pack in packs:
                if pack.epoch != epoch or pack.first > at + 1:
                    break  # it was overwritten meanwhile, or is another: seen at the next look
                for event in self._wanted.of_pack(pack, after=at, upto=head):
                    if event.audience.kind in self._endpoint.audiences:
                        message = message_of(self._endpoint.id, event)
                        await self._deliver(message, Position(epoch, event.seq))
                at = max(at, min(pack.last, head))
                self.waiting = head - at
        finally:
            self._tell_given_up()
        if self.state.position.seq < at:
            await self._note(self.state.moved(Position(epoch, at)))
        return at > position.seq

    async def _pass_gap(self, state: FeedState, before: Position) -> None:
        lost = state.position.epoch != before.epoch
        gap = LogGap(
            self._project_id,
            "log_lost" if lost else "overwritten",
            str(state.position),
            str(before),
            now_rfc3339(),
        )
        self._parts.metrics.gaps_total.labels(self._endpoint.id).inc()
        self._parts.records.gap(
            self._endpoint.id, self._project_id, gap.after, gap.before, gap.reason
        )
        _log.error(
            "webhook_gap",
            endpoint=self._endpoint.id,
            project_id=self._project_id,
            after=gap.after,
            before=gap.before,
            reason=gap.reason,
        )
        await self._deliver(message_of_gap(self._endpoint.id, gap), before)
        self._tell_given_up()

    async def _deliver(self, message: WebhookMessage, position: Position) -> None:
        """Have a message accepted, or give it up; then the place is behind it."""
        now_s = self._parts.now_s
        while True:
            state = self._present()
            if state.due_s > now_s():
                if state.is_given_up(message.at_s, self._endpoint.retry_s, now_s()):
                    return await self._give_up(message, position)
                # In parts: a clock that is set must not make it a wait without an end.
                until_s = min(
                    state.due_s, state.given_up_at_s(message.at_s, self._endpoint.retry_s)
                )
                if await is_set_within(self._nudged, min(until_s - now_s(), POLL_S)):
                    self._nudged.clear()
                elif state.due_s > now_s():
                    continue
            async with self._turns:
                answer = await self._attempt(message)
            if answer.problem is None:
                return await self._note(state.accepted().moved(position))
            if answer.is_gone:
                raise EndpointGoneError
            await self._failed(state, answer)
            if self._present().is_given_up(message.at_s, self._endpoint.retry_s, now_s()):
                return await self._give_up(message, position)

    async def _attempt(self, message: WebhookMessage) -> Answer:
        headers = signed_headers(
            message.id, message.body, self._endpoint.secrets, at_s=self._parts.now_s()
        )
        answer = await self._parts.poster.post(self._endpoint.url, headers, message.body)
        outcome = Attempt.ACCEPTED
        if answer.problem is not None:
            outcome = Attempt.UNREACHABLE if answer.status is None else Attempt.REFUSED
        self._parts.metrics.attempts_total.labels(self._endpoint.id, outcome).inc()
        return answer

    async def _failed(self, state: FeedState, answer: Answer) -> None:
        now_s = self._parts.now_s()
        self._problem = answer.problem or ""
        after = state.failed(now_s, retry_after_s=answer.retry_after_s)
        _log.warning(
            "webhook_not_accepted",
            endpoint=self._endpoint.id,
            project_id=self._project_id,
            problem=self._problem,
            failures=after.failures,
            retry_s=round(after.due_s - now_s, 1),
        )
        await self._note(after)

    async def _give_up(self, message: WebhookMessage, position: Position) -> None:
        reason = self._problem or "not accepted in time"
        await self._parts.letters.add(
            DeadLetter(message, self._endpoint.id, self._project_id, reason)
        )
        self._given_up += 1
        self._parts.metrics.dead_letters_total.labels(self._endpoint.id).inc()
        await self._note(self._present().moved(position))

    def _tell_given_up(self) -> None:
        """Tell of all that were given up in one part of the log together: there may be many."""
        if not self._given_up:
            return
        count, self._given_up = self._given_up, 0
        _log.error(
            "webhook_dead_letters",
            endpoint=self._endpoint.id,
            project_id=self._project_id,
            count=count,
            problem=self._problem,
        )
        self._parts.records.dead_lettered(
            self._endpoint.id, self._project_id, count, self._problem or "not accepted in time"
        )

    def _present(self) -> FeedState:
        if self.state is None:
            raise RuntimeError("the feed has not begun")
        return self.state

    async def _note(self, state: FeedState) -> None:
        await self._note_state(self._project_id, state)
        self.state = state
