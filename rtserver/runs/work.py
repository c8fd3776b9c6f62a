"""What a kind of run does, as the service that carries runs out sees it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from rtserver.model.events import EventType
from rtserver.model.run import RunState
from rtserver.runs.model import Run


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run's work ended.

    Attributes:
        state: the final state.
        type: the terminal event's type.
        fields: the terminal event's keys beside `run_id`.
    """

    state: RunState
    type: EventType
    fields: dict[str, Any]


Emit = Callable[[EventType, list[dict[str, Any]]], Awaitable[None]]
"""Appends events of the run, in order; returns when they are durable. Never gives up."""


class Work(Protocol):
    """What a kind of run does. One object a run."""

    started: EventType
    cancelled: EventType
    failed: EventType

    def start_fields(self) -> dict[str, Any]:
        """What the start event says beside `run_id`."""

    async def carry_out(self, run: Run, emit: Emit) -> Ending:
        """Do it.

        Cancelling the task must stop it for good and leave nothing half done. Work that can't be
        taken back any more may return its ending all the same.
        """


Salvage = Callable[[Run], Awaitable[dict[str, Any]]]
"""Brings what a lost worker left of a run to an end, and says what its terminal event tells of it:
at least `error`. Called by every worker that sees the lease lapse, also at the same time."""
