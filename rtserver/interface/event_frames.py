"""The frames of stored events, typed: what a client gets, whichever transport it is on.

Keys that need not be there are left out rather than null. A receiver ignores keys that it does not
know.
"""

from typing import Annotated, Any, Literal, TypedDict

import msgspec
from msgspec import UNSET, Meta, UnsetType

from rtserver.model.field_types import (
    CommentId,
    EventId,
    Moment,
    ProjectId,
    ProposalId,
    RunId,
    ServiceEventType,
    UserId,
)
from rtserver.model.run import FindingJson, JudgedText, RunKind
from rtserver.reviews.comments import CommentJson
from rtserver.reviews.proposals import ProposalJson
from rtserver.reviews.statuses import ProposalStatus
from rtserver.reviews.verdicts import ApprovalsJson, ReviewJson
from rtserver.revisions.model import RevisionJson

Count = Annotated[int, Meta(ge=0)]
Ordinal = Annotated[int, Meta(ge=1)]


class EventFrame(msgspec.Struct, tag_field="type", kw_only=True):
    """What every stored event has."""

    id: EventId
    project_id: ProjectId
    ts: Moment


class RunFrame(EventFrame):
    """What every event of a run has."""

    proposal_id: ProposalId
    run_id: RunId


class Summary(msgspec.Struct, kw_only=True):
    """How a validator ended.

    Attributes:
        exit_code: null where it has none.
        lines: how many lines it printed that are shown.
        lines_dropped: how many more there were.
        output_may_be_lost: it ended with its output's pipe full, so what it printed last is lost if
            it did not wait for the reader.
        report: the validator's own JSON.
        findings: what it finds, each with its place in the text.
        findings_left_out: how many more there are.
        report_error: why there is no report.
    """

    exit_code: int | None
    duration_ms: Count
    lines: Count
    lines_dropped: Count | UnsetType = UNSET
    output_may_be_lost: Literal[True] | UnsetType = UNSET
    report: Any = UNSET
    findings: list[FindingJson] | UnsetType = UNSET
    findings_left_out: Count | UnsetType = UNSET
    report_error: str | UnsetType = UNSET


class ValidationStart(RunFrame, tag="validation_start"):
    """A validation began.

    Attributes:
        command: as people would type it.
    """

    command: str
    actor: UserId


class Output(RunFrame, tag="output"):
    """A line that the validator printed.

    Attributes:
        n: number of the line within the run, both streams together.
        truncated: the line was cut.
        omitted_bytes: how much of it is left out.
        partial: the line has not ended (a prompt, a progress): it comes again under its number,
            as a terminal would show it by then.
        replaces: a line came under this number before, and this one takes its place.
        notice: the line is the server's: more lines came than are shown, or what came last may be
            lost.
    """

    line: str
    stream: Literal["stdout", "stderr"]
    n: Ordinal
    truncated: Literal[True] | UnsetType = UNSET
    omitted_bytes: Count | UnsetType = UNSET
    partial: Literal[True] | UnsetType = UNSET
    replaces: Literal[True] | UnsetType = UNSET
    notice: Literal["output_cut", "output_may_be_lost"] | UnsetType = UNSET


class ValidationComplete(RunFrame, tag="validation_complete"):
    """The validator came to a verdict.

    Attributes:
        revision: the text that was judged; not there where it changed meanwhile.
    """

    status: Literal["passed", "failed"]
    summary: Summary
    revision: JudgedText | UnsetType = UNSET


class ValidationError(RunFrame, tag="validation_error"):
    """The validator came to no verdict.

    Attributes:
        error: what happened, for people.
        reason: the same for programs.
    """

    error: str
    reason: str
    summary: Summary | UnsetType = UNSET


class ValidationCancelled(RunFrame, tag="validation_cancelled"):
    """Somebody stopped the validation."""

    actor: UserId


class IterationStart(RunFrame, tag="iteration_start"):
    """A language model was asked to revise the proposal.

    Attributes:
        demo: it is a stand-in for a model.
    """

    model: str
    instruction: str
    actor: UserId
    demo: Literal[True] | UnsetType = UNSET


class Token(RunFrame, tag="token"):
    """A piece of the model's reply.

    Attributes:
        n: number of the piece within the run.
        first_n: where pieces come joined, the number of the first; `n` is that of the last.
        reasoning: what the model thinks before it answers; `content` is empty then.
    """

    content: str
    n: Ordinal
    first_n: Ordinal | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET


class IterationValidation(msgspec.Struct, kw_only=True):
    """What the validator said of the files as the model left them; see `Summary`.

    Attributes:
        error: where there is no verdict, what happened, for people.
        reason: the same for programs.
    """

    status: Literal["passed", "failed", "error"]
    exit_code: int | UnsetType | None = UNSET
    duration_ms: Count | UnsetType = UNSET
    lines: Count | UnsetType = UNSET
    lines_dropped: Count | UnsetType = UNSET
    report: Any = UNSET
    findings: list[FindingJson] | UnsetType = UNSET
    findings_left_out: Count | UnsetType = UNSET
    report_error: str | UnsetType = UNSET
    error: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET


class Usage(msgspec.Struct, kw_only=True):
    """Numbers of tokens, as far as the model's endpoint told them."""

    prompt_tokens: int | UnsetType = UNSET
    completion_tokens: int | UnsetType = UNSET
    total_tokens: int | UnsetType = UNSET


class FileDiff(msgspec.Struct, kw_only=True):
    """What changed in a file.

    Attributes:
        diff: a unified diff; empty where it would be too long.
        truncated: it is left out for its size.
    """

    path: str
    diff: str
    truncated: Literal[True] | UnsetType = UNSET


class IterationComplete(RunFrame, tag="iteration_complete"):
    """The model's files are written, and were judged.

    Attributes:
        files_modified: paths within the proposal's folder.
        left_out: files that the model was not shown, each with the reason.
        revision: the text that was judged; not there where it changed meanwhile.
    """

    files_modified: list[str]
    validation: IterationValidation
    usage: Usage
    diffs: list[FileDiff]
    left_out: dict[str, str] | UnsetType = UNSET
    revision: JudgedText | UnsetType = UNSET


class IterationCancelled(RunFrame, tag="iteration_cancelled"):
    """Somebody stopped the iteration; nothing was written."""

    actor: UserId


class IterationError(RunFrame, tag="iteration_error"):
    """The iteration failed.

    Attributes:
        error: what happened, for people.
        reason: the same for programs.
        files_modified: what was written all the same, by a worker that was lost afterwards.
    """

    error: str
    reason: str
    files_modified: list[str] | UnsetType = UNSET


class RunQueued(RunFrame, tag="run_queued"):
    """A run waits for its turn.

    Attributes:
        place: how many wait until it is its turn, itself included.
    """

    kind: RunKind
    place: Ordinal
    actor: UserId


class ProposalCreated(EventFrame, tag="proposal_created"):
    """A proposal was made known."""

    proposal_id: ProposalId
    proposal: ProposalJson
    actor: UserId


class ProposalUpdated(EventFrame, tag="proposal_updated"):
    """A proposal changed: title, author, reviewers, text or verdicts.

    Attributes:
        actor: who changed it; nobody where its text was changed in the workspace.
    """

    proposal_id: ProposalId
    proposal: ProposalJson
    actor: UserId | UnsetType = UNSET


class ProposalDeleted(EventFrame, tag="proposal_deleted"):
    """A proposal was removed, with its comments and runs. Its id may be given anew.

    Attributes:
        version: one more than the proposal's last; one of the same id goes on from there.
    """

    proposal_id: ProposalId
    version: Ordinal
    actor: UserId


class ArchivedJson(TypedDict):
    """What archiving did to the specs.

    Attributes:
        archived_as: the name that the change's folder has now.
        specs: how many requirements were `added`, `modified`, `removed` and `renamed`.
    """

    archived_as: str
    specs: dict[str, int]


class StatusChanged(EventFrame, tag="status_changed"):
    """A proposal moved on, or back.

    Attributes:
        version: the proposal's, now.
        actor: who moved it; nobody where its text was changed in the workspace.
        cause: `revised` where an approved one went back because its text is being changed.
        archive: what OpenSpec did, where it archived the change.
    """

    proposal_id: ProposalId
    from_: ProposalStatus = msgspec.field(name="from")
    to: ProposalStatus
    version: Ordinal
    updated_at: Moment
    actor: UserId | UnsetType = UNSET
    cause: Literal["revised"] | UnsetType = UNSET
    archive: ArchivedJson | UnsetType = UNSET


class RevisionCreated(EventFrame, tag="revision_created"):
    """The text of a proposal is another one now.

    Attributes:
        actor: who made it; null where it was seen in the workspace.
    """

    proposal_id: ProposalId
    revision: RevisionJson
    actor: UserId | None


class FilesFound(EventFrame, tag="files_found"):
    """The project's workspace has folders of changes that are no proposals yet.

    Attributes:
        paths: of the folders, from the workspace's root.
    """

    paths: list[str]


class ReviewSubmitted(EventFrame, tag="review_submitted"):
    """Somebody gave a verdict on a proposal's text.

    Attributes:
        review: the verdict.
        approvals: what all that stand add up to.
    """

    proposal_id: ProposalId
    review: ReviewJson
    approvals: ApprovalsJson
    actor: UserId


class CommentCreated(EventFrame, tag="comment_created"):
    """Somebody commented on a proposal."""

    proposal_id: ProposalId
    comment: CommentJson
    actor: UserId


class CommentUpdated(EventFrame, tag="comment_updated"):
    """A comment's text was changed, or it was called settled, or open again."""

    proposal_id: ProposalId
    comment: CommentJson
    actor: UserId


class CommentDeleted(EventFrame, tag="comment_deleted"):
    """A comment was removed."""

    proposal_id: ProposalId
    comment_id: CommentId
    actor: UserId


class LockChanged(EventFrame, tag="lock_changed"):
    """The project's lock was taken, or ended.

    Attributes:
        by: who holds it, or held it.
        at: since when it is held; only where it is locked.
        cause: why it ended; only where it is not locked.
        actor: who took it or gave it back; nobody where its lease ran out.
    """

    locked: bool
    by: UserId
    reason: str
    at: Moment | UnsetType = UNSET
    cause: Literal["released", "expired"] | UnsetType = UNSET
    actor: UserId | UnsetType = UNSET


class ServiceEvent(msgspec.Struct, kw_only=True):
    """What a service published under a type of its own, or a change of a followed collection.

    Attributes:
        data: as it was published; of a change, the document's id and what is shown of it.
        actor: the service; nobody where a collection changed.
    """

    type: ServiceEventType
    id: EventId
    project_id: ProjectId
    ts: Moment
    data: Any
    actor: UserId | UnsetType = UNSET
    proposal_id: ProposalId | UnsetType = UNSET


EVENT_FRAMES: tuple[type[EventFrame], ...] = (
    ValidationStart,
    Output,
    ValidationComplete,
    ValidationError,
    ValidationCancelled,
    IterationStart,
    Token,
    IterationComplete,
    IterationCancelled,
    IterationError,
    RunQueued,
    ProposalCreated,
    ProposalUpdated,
    ProposalDeleted,
    StatusChanged,
    RevisionCreated,
    FilesFound,
    ReviewSubmitted,
    CommentCreated,
    CommentUpdated,
    CommentDeleted,
    LockChanged,
)
"""Of the server's own types, all that clients get."""
