"""Frames and what they hold, as the server describes them. Generated: do not edit.

Objects may have more keys than are named here, and frames may have types that are not.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

Cause = Literal["disk", "first", "iteration", "restore", "upload"]
"""How a revision came about."""
CloseCode = Literal[1001, 1011, 4001, 4003, 4008, 4009, 4010, 4029, 4053, 4400]
"""The close codes of rtserver. Each has an `Advice` in `ADVICE`."""
FileChange = Literal["added", "modified", "removed", "unchanged"]
"""What became of a file since the revision before."""
ProposalStatus = Literal["approved", "archived", "draft", "in_review", "rejected"]
"""How far a proposal is."""
RunKind = Literal["iteration", "validation"]
"""What a run does."""
RunState = Literal["cancelled", "completed", "error", "failed", "passed", "queued", "running"]
"""Where a run is. All but `queued` and `running` are final."""
Verdict = Literal["approve", "comment", "request_changes"]
"""What a reviewer says of a text."""


class Anchor(TypedDict):
    """The place in a text that a comment is about."""

    heading: str | None
    line: int | None
    path: str
    quote: str | None
    revision: int


class Approvals(TypedDict):
    """How far a proposal is from being approved."""

    blocked_by: list[str]
    given: int
    missing: int
    required: int


class Archived(TypedDict):
    """What archiving did to the specs."""

    archived_as: str
    specs: dict[str, int]


class ClosingFrame(TypedDict):
    """Sent before the server closes."""

    type: Literal["closing"]
    code: CloseCode
    reason: str
    reconnect: bool
    retry_after_ms: int | None


class Collision(TypedDict):
    """A requirement that another open proposal touches too."""

    capability: str
    here: Literal["added", "modified", "removed", "renamed"]
    proposal_id: str
    requirement: str
    there: Literal["added", "modified", "removed", "renamed"]


class Comment(TypedDict):
    """A comment as clients see it."""

    anchor: Anchor | None
    author: str
    author_name: str
    created_at: str | None
    edited_at: str | None
    id: str
    outdated: NotRequired[bool]
    place: NotRequired[Place | None]
    proposal_id: str
    reply_to: str | None
    resolved: Resolved | None
    text: str


class CommentCreated(TypedDict):
    """Somebody commented on a proposal."""

    type: Literal["comment_created"]
    proposal_id: str
    comment: Comment
    actor: str
    id: str
    project_id: str
    ts: str


class CommentDeleted(TypedDict):
    """A comment was removed."""

    type: Literal["comment_deleted"]
    proposal_id: str
    comment_id: str
    actor: str
    id: str
    project_id: str
    ts: str


class CommentUpdated(TypedDict):
    """A comment's text was changed, or it was called settled, or open again."""

    type: Literal["comment_updated"]
    proposal_id: str
    comment: Comment
    actor: str
    id: str
    project_id: str
    ts: str


class ErrorFrame(TypedDict):
    """A message or command was refused. `error` is for people, `reason` for programs."""

    type: Literal["error"]
    error: str
    reason: str
    request_id: NotRequired[str | int | None]
    details: NotRequired[dict[str, Any]]


class FileDiff(TypedDict):
    """What changed in a file."""

    path: str
    diff: str
    truncated: NotRequired[Literal[True]]


class FilesFound(TypedDict):
    """The project's workspace has folders of changes that are no proposals yet."""

    type: Literal["files_found"]
    paths: list[str]
    id: str
    project_id: str
    ts: str


class Finding(TypedDict):
    """What a validator found at one place."""

    file: str | None
    level: str
    line: int | None
    message: str


class Gap(TypedDict):
    """Events after `requested` are gone: fetch the state anew from `refetch`."""

    type: Literal["gap"]
    requested: str
    oldest_available: str | None
    lost: int | None
    refetch: str


class HeartbeatTimes(TypedDict):
    """When the server pings, and how long it waits for the pong."""

    ping_interval_s: float
    pong_timeout_s: float


class Horizon(TypedDict):
    """How far back a client can resume without a gap, as it was a few seconds ago at most."""

    oldest: str | None
    seconds: int


class IterationCancelled(TypedDict):
    """Somebody stopped the iteration; nothing was written."""

    type: Literal["iteration_cancelled"]
    proposal_id: str
    run_id: str
    actor: str
    id: str
    project_id: str
    ts: str


class IterationComplete(TypedDict):
    """The model's files are written, and were judged."""

    type: Literal["iteration_complete"]
    proposal_id: str
    run_id: str
    files_modified: list[str]
    validation: IterationValidation
    usage: Usage
    diffs: list[FileDiff]
    left_out: NotRequired[dict[str, str]]
    revision: NotRequired[JudgedText]
    id: str
    project_id: str
    ts: str


class IterationError(TypedDict):
    """The iteration failed."""

    type: Literal["iteration_error"]
    proposal_id: str
    run_id: str
    error: str
    reason: str
    files_modified: NotRequired[list[str]]
    id: str
    project_id: str
    ts: str


class IterationStart(TypedDict):
    """A language model was asked to revise the proposal."""

    type: Literal["iteration_start"]
    proposal_id: str
    run_id: str
    model: str
    instruction: str
    actor: str
    demo: NotRequired[Literal[True]]
    id: str
    project_id: str
    ts: str


class IterationValidation(TypedDict):
    """What the validator said of the files as the model left them; see `Summary`."""

    status: Literal["error", "failed", "passed"]
    exit_code: NotRequired[int | None]
    duration_ms: NotRequired[int]
    lines: NotRequired[int]
    lines_dropped: NotRequired[int]
    report: NotRequired[Any]
    findings: NotRequired[list[Finding]]
    findings_left_out: NotRequired[int]
    report_error: NotRequired[str]
    error: NotRequired[str]
    reason: NotRequired[str]


class JudgedText(TypedDict):
    """The text of a proposal that a run was about, as the proposal has it in `revision`."""

    at: str
    digest: str
    number: int


class Limits(TypedDict):
    """What a client may send, and how much may wait for it."""

    max_message_bytes: int
    outbox_bytes: int
    messages_per_s: float


class LockChanged(TypedDict):
    """The project's lock was taken, or ended."""

    type: Literal["lock_changed"]
    locked: bool
    by: str
    reason: str
    at: NotRequired[str]
    cause: NotRequired[Literal["expired", "released"]]
    actor: NotRequired[str]
    id: str
    project_id: str
    ts: str


class Output(TypedDict):
    """A line that the validator printed."""

    type: Literal["output"]
    proposal_id: str
    run_id: str
    line: str
    stream: Literal["stderr", "stdout"]
    n: int
    truncated: NotRequired[Literal[True]]
    omitted_bytes: NotRequired[int]
    partial: NotRequired[Literal[True]]
    replaces: NotRequired[Literal[True]]
    notice: NotRequired[Literal["output_cut", "output_may_be_lost"]]
    id: str
    project_id: str
    ts: str


class Person(TypedDict):
    """Somebody who is present, once, however many connections they have."""

    user_id: str
    name: str
    proposal_ids: NotRequired[list[str]]


class Place(TypedDict):
    """Where the place that a comment is about is in the newest revision."""

    line: int
    revision: int


class PositionFrame(TypedDict):
    """Where the log stands, for a client that was not sent the last events."""

    type: Literal["position"]
    id: str


class Presence(TypedDict):
    """Who is present: everyone (`present`), or what changed since the frame before."""

    type: Literal["presence"]
    count: int
    present: NotRequired[list[Person]]
    joined: NotRequired[list[Person]]
    moved: NotRequired[list[Person]]
    left: NotRequired[list[str]]


class Proposal(TypedDict):
    """A proposal as clients see it."""

    approvals: Approvals
    author: str
    collisions: list[Collision]
    created_at: str
    created_by: str
    id: str
    project_id: str
    reviewers: list[str]
    reviews: list[Review]
    revision: RevisionRef | None
    status: ProposalStatus
    title: str
    updated_at: str
    version: int


class ProposalCreated(TypedDict):
    """A proposal was made known."""

    type: Literal["proposal_created"]
    proposal_id: str
    proposal: Proposal
    actor: str
    id: str
    project_id: str
    ts: str


class ProposalDeleted(TypedDict):
    """A proposal was removed, with its comments and runs. Its id may be given anew."""

    type: Literal["proposal_deleted"]
    proposal_id: str
    version: int
    actor: str
    id: str
    project_id: str
    ts: str


class ProposalUpdated(TypedDict):
    """A proposal changed: title, author, reviewers, text or verdicts."""

    type: Literal["proposal_updated"]
    proposal_id: str
    proposal: Proposal
    actor: NotRequired[str]
    id: str
    project_id: str
    ts: str


class Resolved(TypedDict):
    """By whom a thread was called settled, and when."""

    at: str
    by: str


class Resume(TypedDict):
    """How a session took up where the client left off."""

    outcome: Literal["fresh", "lost", "nothing_missed", "replayed"]
    requested: NotRequired[str | None]
    replayed: NotRequired[int]
    lost: NotRequired[int | None]


class Review(TypedDict):
    """A verdict as clients see it."""

    at: str
    digest: str
    reviewer: str
    reviewer_name: str
    revision: int
    stale: bool
    text: str
    verdict: Verdict


class ReviewSubmitted(TypedDict):
    """Somebody gave a verdict on a proposal's text."""

    type: Literal["review_submitted"]
    proposal_id: str
    review: Review
    approvals: Approvals
    actor: str
    id: str
    project_id: str
    ts: str


class Revision(TypedDict):
    """A revision as clients see it."""

    actor: str | None
    at: str
    cause: Cause
    digest: str
    files: list[RevisionFile]
    left_out: NotRequired[dict[str, str]]
    note: NotRequired[str]
    number: int
    proposal_id: str
    removed: list[str]
    restored_from: NotRequired[int]
    run_id: str | None


class RevisionCreated(TypedDict):
    """The text of a proposal is another one now."""

    type: Literal["revision_created"]
    proposal_id: str
    revision: Revision
    actor: str | None
    id: str
    project_id: str
    ts: str


class RevisionFile(TypedDict):
    """A file of a revision."""

    change: FileChange
    path: str
    sha256: str
    size_bytes: int


class RevisionRef(TypedDict):
    """The newest revision, in a proposal."""

    at: str
    digest: str
    number: int


class Run(TypedDict):
    """A run as clients see it."""

    ended_at: NotRequired[str]
    kind: RunKind
    place: NotRequired[int]
    project_id: str
    proposal_id: str
    replay_from: NotRequired[str]
    result: NotRequired[dict[str, Any]]
    run_id: str
    started_at: str
    started_by: str
    state: RunState


class RunQueued(TypedDict):
    """A run waits for its turn."""

    type: Literal["run_queued"]
    proposal_id: str
    run_id: str
    kind: RunKind
    place: int
    actor: str
    id: str
    project_id: str
    ts: str


class ServiceEvent(TypedDict):
    """What a service published under a type of its own, or a change of a followed collection."""

    type: str
    id: str
    project_id: str
    ts: str
    data: Any
    actor: NotRequired[str]
    proposal_id: NotRequired[str]


class Summary(TypedDict):
    """How a validator ended."""

    exit_code: int | None
    duration_ms: int
    lines: int
    lines_dropped: NotRequired[int]
    output_may_be_lost: NotRequired[Literal[True]]
    report: NotRequired[Any]
    findings: NotRequired[list[Finding]]
    findings_left_out: NotRequired[int]
    report_error: NotRequired[str]


class Token(TypedDict):
    """A piece of the model's reply."""

    type: Literal["token"]
    proposal_id: str
    run_id: str
    content: str
    n: int
    first_n: NotRequired[int]
    reasoning: NotRequired[str]
    id: str
    project_id: str
    ts: str


class Usage(TypedDict):
    """Numbers of tokens, as far as the model's endpoint told them."""

    prompt_tokens: NotRequired[int]
    completion_tokens: NotRequired[int]
    total_tokens: NotRequired[int]


class ValidationCancelled(TypedDict):
    """Somebody stopped the validation."""

    type: Literal["validation_cancelled"]
    proposal_id: str
    run_id: str
    actor: str
    id: str
    project_id: str
    ts: str


class ValidationComplete(TypedDict):
    """The validator came to a verdict."""

    type: Literal["validation_complete"]
    proposal_id: str
    run_id: str
    status: Literal["failed", "passed"]
    summary: Summary
    revision: NotRequired[JudgedText]
    id: str
    project_id: str
    ts: str


class ValidationError(TypedDict):
    """The validator came to no verdict."""

    type: Literal["validation_error"]
    proposal_id: str
    run_id: str
    error: str
    reason: str
    summary: NotRequired[Summary]
    id: str
    project_id: str
    ts: str


class ValidationStart(TypedDict):
    """A validation began."""

    type: Literal["validation_start"]
    proposal_id: str
    run_id: str
    command: str
    actor: str
    id: str
    project_id: str
    ts: str


class Welcome(TypedDict):
    """The first frame of a session that was let in."""

    type: Literal["welcome"]
    connection_id: str
    user_id: str
    name: str
    position: str
    horizon: Horizon
    resume: Resume
    heartbeat: HeartbeatTimes
    limits: Limits
    token_expires_at: str
    ts: str
    project_id: str
    active_runs: list[Run]


StatusChanged = TypedDict(
    "StatusChanged",
    {
        "type": Literal["status_changed"],
        "proposal_id": str,
        "from": ProposalStatus,
        "to": ProposalStatus,
        "version": int,
        "updated_at": str,
        "actor": NotRequired[str],
        "cause": NotRequired[Literal["revised"]],
        "archive": NotRequired[Archived],
        "id": str,
        "project_id": str,
        "ts": str,
    },
)
"""A proposal moved on, or back."""


StoredEvent = (
    ValidationStart
    | Output
    | ValidationComplete
    | ValidationError
    | ValidationCancelled
    | IterationStart
    | Token
    | IterationComplete
    | IterationCancelled
    | IterationError
    | RunQueued
    | ProposalCreated
    | ProposalUpdated
    | ProposalDeleted
    | StatusChanged
    | RevisionCreated
    | FilesFound
    | ReviewSubmitted
    | CommentCreated
    | CommentUpdated
    | CommentDeleted
    | LockChanged
    | ServiceEvent
)
"""An event of the log; a service's own has a dot in its type."""
