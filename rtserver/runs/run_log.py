"""A run's appends to the log: in order, and none after its end."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import structlog

from rtserver.eventlog.api import EventLog, Fence, FencedError, FenceLostError
from rtserver.lib.backoff import Backoff
from rtserver.model.audience import viewers_of
from rtserver.model.errors import BusyError, StoreUnavailableError
from rtserver.model.events import EventDraft, EventType
from rtserver.model.positions import Position
from rtserver.runs.active_run import ActiveRun
from rtserver.runs.model import Run

RETRY_S, MAX_RETRY_S = 0.25, 2.0
RUN_ENDS = frozenset(
    type_.value
    for type_ in (
        EventType.VALIDATION_COMPLETE,
        EventType.VALIDATION_ERROR,
        EventType.VALIDATION_CANCELLED,
        EventType.ITERATION_COMPLETE,
        EventType.ITERATION_ERROR,
        EventType.ITERATION_CANCELLED,
    )
)
"""The types of terminal events."""
T = TypeVar("T")

_log = structlog.get_logger()


async def until_answered(ask: Callable[[], Awaitable[T]], run: Run) -> T:
    """Ask the store until it answers: a run outlives an outage of MongoDB."""
    backoff = Backoff(RETRY_S, MAX_RETRY_S)
    while True:
        try:
            return await ask()
        except StoreUnavailableError as error:
            _log.warning("run_waits_for_store", run_id=run.run_id, error=str(error))
            await backoff.wait()


def run_event(run: Run, type_: EventType, fields: Mapping[str, Any]) -> EventDraft:
    """An event of a run, for who views its proposal."""
    return EventDraft(
        run.project_id,
        type_,
        {"run_id": run.run_id, **fields},
        audience=viewers_of(run.proposal_id),
        proposal_id=run.proposal_id,
    )


class RunLog:
    """The events of one run on the worker that carries it out.

    A worker that stood still, or was cut off, does not know that its lease is over and that another
    worker has ended its run. To ask before each append is not enough: the end may come between the
    answer and the append. So the log itself refuses what would stand behind the end.
    """

    def __init__(self, log: EventLog, active: ActiveRun) -> None:
        """Make it; `active.run.replay_from` has to be set."""
        run = active.run
        assert run.replay_from is not None  # noqa: S101 - see above
        begun = Position.parse(run.replay_from)
        self._log = log
        self._active = active
        # Ids of runs are hexadecimal, and a text within a text has its quotes escaped.
        self._fence = Fence(RUN_ENDS, f'"run_id":"{run.run_id}"', begun.seq)

    async def append(self, type_: EventType, many: list[dict[str, Any]]) -> None:
        """Append events; returns when they are durable. Waits for as long as that takes.

        Raises:
            CancelledError: another worker has ended the run.
            LogUnavailableError: the server is stopping.
        """
        drafts = [run_event(self._active.run, type_, fields) for fields in many]
        while True:
            if self._active.lost:
                raise asyncio.CancelledError
            try:
                await self._log.publish(drafts, fence=self._fence, timeout_s=math.inf)
            except BusyError as error:
                await asyncio.sleep(error.retry_after_s)
            except FencedError:
                self._active.lose()
                raise asyncio.CancelledError from None
            except FenceLostError:
                await self._find_fence()
            else:
                return

    async def tell(self, type_: EventType, fields: dict[str, Any]) -> None:
        """Append an event that may be left out.

        Raises:
            BusyError, StoreUnavailableError: the log does not take it now.
        """
        told = run_event(self._active.run, type_, fields)
        try:
            await self._log.publish([told], fence=self._fence)
        except FencedError:
            self._active.lose()
        except FenceLostError:
            _log.info("run_event_left_out", run_id=self._active.run.run_id, type=type_)

    async def _find_fence(self) -> None:
        """Learn anew up to where the log holds no end of this run.

        A run is ended in its document before its terminal event is appended. So where the document
        still has it under way, what was in the log before that was asked has no end of it.
        """
        run = self._active.run
        upto = await until_answered(lambda: self._log.head(run.project_id), run)
        await self._active.confirmed()
        self._fence.clear_upto = upto
