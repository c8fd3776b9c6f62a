"""A run: one validation or iteration of a proposal, from its start to its one terminal event."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from rtserver.errors import ConflictError
from rtserver.events import EventDraft, rfc3339
from rtserver.metrics import RunKind


class RunState(enum.StrEnum):
    """Where a run is. All but `queued` and `running` are final."""

    QUEUED = "queued"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    ERROR = "error"


ACTIVE_STATES = (RunState.QUEUED, RunState.RUNNING)


@dataclass(slots=True)
class Run:
    """A run as it is stored.

    Attributes:
        run_id, kind, project_id, proposal_id: what it is.
        owner: the worker that carries it out.
        started_by: the user who asked for it.
        started_at, ended_at: when; `ended_at` only in a final state.
        state: see `RunState`.
        replay_from: the position just before its first event, for those who come late.
        cancel_by: who asked for its end, if somebody did.
        result: what its terminal event said.
    """

    run_id: str
    kind: RunKind
    project_id: str
    proposal_id: str
    owner: str
    started_by: str
    started_at: datetime
    state: RunState = RunState.RUNNING
    ended_at: datetime | None = None
    replay_from: str | None = None
    cancel_by: str | None = None
    result: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The run as clients see it; times in RFC 3339."""
        shown: dict[str, Any] = {
            "run_id": self.run_id,
            "kind": self.kind.value,
            "project_id": self.project_id,
            "proposal_id": self.proposal_id,
            "state": self.state.value,
            "started_by": self.started_by,
            "started_at": rfc3339(self.started_at),
        }
        if self.ended_at is not None:
            shown["ended_at"] = rfc3339(self.ended_at)
        if self.replay_from is not None:
            shown["replay_from"] = self.replay_from
        if self.result:
            shown["result"] = self.result
        return shown


class RunConflictError(ConflictError):
    """The proposal has a run of this kind already.

    Attributes:
        running: that run.
    """

    reason = "already_running"

    def __init__(self, running: Run) -> None:
        super().__init__(
            f"The proposal has a {running.kind.value} under way already", run=running.to_json()
        )
        self.running = running


class RunStore(Protocol):
    """Runs, kept where all workers see them. Each change and its event are one."""

    async def create(self, run: Run, started: EventDraft) -> None:
        """Store a new run and its first event.

        Raises:
            RunConflictError: the proposal has one of this kind under way.
        """

    async def finish(
        self, run: Run, state: RunState, result: dict[str, Any], ended: EventDraft
    ) -> bool:
        """End a run that this owner still holds, with its terminal event; False if it was ended."""

    async def lose(self, run: Run, result: dict[str, Any], ended: EventDraft) -> bool:
        """End a run whose lease lapsed; False where somebody else did, or the owner came back."""

    async def get(self, run_id: str) -> Run | None:
        """A run, or None."""

    async def renew(self, run_ids: Sequence[str], owner: str) -> list[Run]:
        """Give an owner's runs a new lease; those that are still under way and its own."""

    async def ask_cancel(self, run_id: str, by: str) -> None:
        """Note that a run is to end, so that the wish outlives whoever had it."""

    async def active(self, project_id: str) -> list[Run]:
        """The runs of a project that are under way, oldest first."""

    async def lapsed(self) -> list[Run]:
        """Runs under way whose owner has not renewed their lease in time."""
