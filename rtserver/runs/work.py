"""The port of a run's work: what a kind of run does."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from rtserver.model.events import EventType
from rtserver.model.run import RunState
from rtserver.runs.model import Run

MAX_SMALL_CHARS = 2_000


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

    @property
    def left_out(self) -> list[str]:
        """The keys that were left out; see `cut_down`."""
        left_out: list[str] = self.fields.get("left_out_fields", [])
        return left_out

    def cut_down(self) -> "Ending":
        """The same ending with what is surely stored: short texts, numbers, and what was left out.

        For a field of foreign origin that MongoDB cannot keep, whatever it is. The run has to end.
        """
        kept = {name: value for name, value in self.fields.items() if _is_small(value)}
        summary = self.fields.get("summary")
        if isinstance(summary, dict):
            kept["summary"] = {name: value for name, value in summary.items() if _is_small(value)}
        left_out = sorted(set(self.fields) - set(kept)) or ["summary"]
        return replace(self, fields={**kept, "left_out_fields": left_out})


def _is_small(value: object) -> bool:
    match value:
        case bool() | float() | None:
            return True
        case int():
            return abs(value) < 1 << 53
        case str():
            return len(value) <= MAX_SMALL_CHARS and value.isprintable()
    return False


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
