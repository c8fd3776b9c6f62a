"""The words for a run: its kind, its states, and what clients see of it."""

import enum
from typing import Any, Literal, NotRequired, TypedDict

from rtserver.model.field_types import (
    Digest,
    EventId,
    Moment,
    ProjectId,
    ProposalId,
    RevisionNumber,
    RunId,
    UserId,
)


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


class FindingJson(TypedDict):
    """What a validator found at one place.

    Attributes:
        file: path relative to the proposal's folder; null where it is about none of the files.
        line: from 1; null where it can't be known.
        level: as the validator calls it, `error`, `warning` or `info`.
    """

    file: str | None
    line: int | None
    level: str
    message: str


class JudgedText(TypedDict):
    """The text of a proposal that a run was about, as the proposal has it in `revision`."""

    number: RevisionNumber
    digest: Digest
    at: Moment


class RunSummaryJson(TypedDict):
    """A run in a list: without what its terminal event said.

    Attributes:
        ended_at: in a final state only.
        place: how many wait until it is its turn, itself included; only while it is queued.
        replay_from: the position just before its first event.
        verdict: what the validator said, if it was asked; of an iteration, what it said of the
            result.
        revision: the text that was judged; not there where there is no verdict, or the text changed
            meanwhile.
        reason: why it ended in an error, as a word.
    """

    run_id: RunId
    kind: RunKind
    proposal_id: ProposalId
    state: RunState
    started_by: UserId
    started_at: Moment
    ended_at: NotRequired[Moment]
    place: NotRequired[int]
    replay_from: NotRequired[EventId]
    verdict: NotRequired[Literal["passed", "failed", "error"]]
    revision: NotRequired[JudgedText]
    reason: NotRequired[str]


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
