"""The words of an audit record: actions, outcomes, and on whose behalf something is done."""

import enum
from dataclasses import dataclass
from typing import Self

from rtserver.model.connection import ConnectionRecord
from rtserver.model.events import AUDIT_PROJECT


class Outcome(enum.StrEnum):
    """How an act ended."""

    ALLOWED = "allowed"
    """It was done, or it happened."""
    DENIED = "denied"
    """The server refused it: no right to it, or a limit."""
    FAILED = "failed"
    """It could not be done: wrong input, a conflict, something missing or broken."""


class Action(enum.StrEnum):
    """Every action that a record can have. What each means stands in the catalogue."""

    CONNECTION_OPENED = "connection.opened"
    CONNECTION_CLOSED = "connection.closed"
    CONNECTION_DENIED = "connection.denied"
    CONNECTION_EVICTED = "connection.evicted"
    CONNECTION_DISCONNECTED = "connection.disconnected"
    CONNECTION_LISTED = "connection.listed"
    USER_REVOKED = "user.revoked"
    TOKEN_REFUSED = "token.refused"  # noqa: S105 - an action
    TOKEN_REFRESHED = "token.refreshed"  # noqa: S105 - an action
    LIMIT_HIT = "limit.hit"
    MESSAGE_REFUSED = "message.refused"
    VALIDATION_STARTED = "validation.started"
    VALIDATION_CANCELLED = "validation.cancelled"
    VALIDATION_ENDED = "validation.ended"
    ITERATION_STARTED = "iteration.started"
    ITERATION_CANCELLED = "iteration.cancelled"
    ITERATION_ENDED = "iteration.ended"
    RUN_CANCELLED = "run.cancelled"
    PROPOSAL_CREATED = "proposal.created"
    PROPOSAL_UPDATED = "proposal.updated"
    PROPOSAL_STATUS_CHANGED = "proposal.status_changed"
    PROPOSAL_DELETED = "proposal.deleted"
    COMMENT_CREATED = "comment.created"
    COMMENT_UPDATED = "comment.updated"
    COMMENT_DELETED = "comment.deleted"
    REVISION_CREATED = "revision.created"
    REVIEW_SUBMITTED = "review.submitted"
    LOCK_ACQUIRED = "lock.acquired"
    LOCK_RELEASED = "lock.released"
    LOCK_EXPIRED = "lock.expired"
    EVENT_PUBLISHED = "event.published"
    LOG_EPOCH_BEGUN = "log.epoch_begun"
    API_CALLED = "api.called"
    AUDIT_WATCHED = "audit.watched"
    AUDIT_READ = "audit.read"
    LOG_RESIZED = "log.resized"
    AUDIT_ANCHORED = "audit.anchored"
    AUDIT_CHECKPOINTED = "audit.checkpointed"
    AUDIT_DROPPED = "audit.dropped"
    AUDIT_ARCHIVE_TAKEN = "audit.archive_taken"
    AUDIT_ARCHIVE_FAILED = "audit.archive_failed"
    AUDIT_ARCHIVE_GAP = "audit.archive_gap"
    WORKER_STARTED = "worker.started"
    WORKER_STOPPED = "worker.stopped"
    WORKER_LOST = "worker.lost"
    MONGODB_LOST = "mongodb.lost"
    MONGODB_FOUND = "mongodb.found"
    WATCH_HISTORY_LOST = "watch.history_lost"
    WEBHOOK_DEAD_LETTERED = "webhook.dead_lettered"
    WEBHOOK_GAP = "webhook.gap"
    WEBHOOK_DISABLED = "webhook.disabled"
    WEBHOOK_ENABLED = "webhook.enabled"
    WEBHOOK_SENT_AGAIN = "webhook.sent_again"


def matching(pattern: str) -> tuple[Action, ...]:
    """The actions that a filter's word stands for: one, or with `*` at the end all that begin so.

    None where there is no such action.
    """
    if pattern.endswith("*"):
        return tuple(action for action in Action if action.value.startswith(pattern[:-1]))
    return tuple(action for action in Action if action.value == pattern)


@dataclass(slots=True)
class Acting:
    """On whose behalf the present task acts, and from where.

    Attributes:
        ip: the client's address.
        actor: the user, once the token was verified.
        project_id: the project concerned, once it is known.
        connection_id: of the session, where it is one.
        path: the address that was asked for, over HTTP, without its query.
        recorded: how many records were made on this behalf.
    """

    ip: str | None = None
    actor: str | None = None
    project_id: str | None = None
    connection_id: str | None = None
    path: str | None = None
    recorded: int = 0

    @property
    def is_stranger(self) -> bool:
        """Whether it is a client that has not shown who it is. The server itself is no stranger."""
        return self.actor is None and (self.ip is not None or self.path is not None)

    @classmethod
    def of(cls, entry: ConnectionRecord) -> Self:
        """On behalf of a connection's user."""
        return cls(
            ip=entry.ip or None,
            actor=entry.user_id,
            project_id=None if entry.project_id == AUDIT_PROJECT else entry.project_id,
            connection_id=entry.connection_id,
        )
