"""The words for a run: its kind, its states, and what clients see of it."""

import enum
from typing import Any, NotRequired, TypedDict

from rtserver.model.field_types import EventId, Moment, ProjectId, ProposalId, RunId, UserId


class RunKind(enum.StrEnum):
    """What a run does."""

    VALIDATION = "validation"
    ITERATION = "iteration"


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
FINAL_STATES = {
    RunKind.VALIDATION: (
        RunState.PASSED,
        RunState.FAILED,
        RunState.CANCELLED,
        RunState.ERROR,
    ),
    RunKind.ITERATION: (RunState.COMPLETED, RunState.CANCELLED, RunState.ERROR),
}
"""How a run of each kind ends. Passed and failed are verdicts on a proposal; error is ours."""


class RunJson(TypedDict):
    """A run as clients see it.

    Attributes:
        place: how many wait until it is its turn, itself included; only while it is queued.
        ended_at: in a final state only.
        replay_from: the position just before its first event, for those who come late.
        result: what its terminal event said.
    """

    run_id: RunId
    kind: RunKind
    project_id: ProjectId
    proposal_id: ProposalId
    state: RunState
    started_by: UserId
    started_at: Moment
    place: NotRequired[int]
    ended_at: NotRequired[Moment]
    replay_from: NotRequired[EventId]
    result: NotRequired[dict[str, Any]]
