"""Messages of `/ws/audit` that a project's session does not have."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from rtserver.audit.live.filter import (
    ActionPattern,
    AuditFilterJson,
    AuditParameters,
    FilterText,
    OutcomeName,
)
from rtserver.audit.record.actions import Action
from rtserver.model.field_types import EventId, Moment, ProjectId, UserId
from rtserver.sessions.client_messages import Command
from rtserver.sessions.server_frames import Ack, AnyWelcome, Gap

AuditLogName = Literal["users", "strangers"]
"""`users`: what users and the server itself did. `strangers`: what was refused to clients without a
valid token, see docs/audit.md."""


class FilterCommand(Command, tag="filter", forbid_unknown_fields=True):
    """Show what this filter wants from the next record on; what is left out wants all."""

    action: ActionPattern | list[ActionPattern] = msgspec.field(default_factory=list)
    actor: UserId | None = None
    project_id: ProjectId | None = None
    target: FilterText | None = None
    outcome: OutcomeName | None = None
    since: Moment | None = None

    def parameters(self) -> dict[str, Sequence[str]]:
        """The filter's parameters, as `AuditFilter.make` takes them."""
        single = {
            "actor": self.actor,
            "project_id": self.project_id,
            "target": self.target,
            "outcome": self.outcome,
            "since": self.since,
        }
        given: dict[str, Sequence[str]] = {
            name: [value] for name, value in single.items() if value is not None
        }
        actions = [self.action] if isinstance(self.action, str) else self.action
        return {"action": actions, **given} if actions else given


MAX_HISTORY = 10_000


class AuditSocketQuery(AuditParameters):
    """The query of `/ws/audit`: the filter to begin with, and where.

    Attributes:
        log: which log; not to be changed by `filter`.
        last_event_id: resume after this record.
        history: without a resume, send so many of the newest that match first.
    """

    log: AuditLogName = "users"
    last_event_id: str | None = None
    history: Annotated[int, msgspec.Meta(ge=0, le=MAX_HISTORY)] = 0


class Pause(Command, tag="pause"):
    """Send nothing until `resume`."""


class ResumeCommand(Command, tag="resume"):
    """Send what came since `pause`, then go on live."""


class AuditWelcome(AnyWelcome, tag="welcome"):
    """The first frame of an audit session. `history` earlier records follow it."""

    filter: AuditFilterJson
    history: int


GapReason = Literal["overwritten", "paused"]


class AuditGap(Gap, tag="gap"):
    """Records that are left out.

    Attributes:
        reason: `overwritten`: they are gone, and `lost` counts all of them, whatever the filter.
            `paused`: more came during a pause than is kept for it, and `lost` counts what the
            filter wanted; they can be read from `refetch`.
    """

    reason: GapReason = "overwritten"


class FilterAck(Ack):
    """The answer to `filter`: it holds from `position` on."""

    filter: AuditFilterJson
    position: EventId


class PauseAck(Ack):
    """The answer to `pause` and `resume`."""

    paused: bool
    position: EventId


class AuditRecord(msgspec.Struct, tag_field="type", tag="audit", kw_only=True):
    """What somebody did or tried; see docs/audit.md.

    Attributes:
        ts: when.
        actor: the user who acted; null for the server itself.
        target: what was acted on.
        ip: the client's address.
        worker: the worker that recorded it.
        details: what there is to say of this action.
        chain, n: the chain of hashes that it belongs to, and its number there.
        prev, hash: of the record before it in the chain, and its own.
    """

    id: EventId
    ts: Moment
    actor: str | None
    action: Action
    outcome: OutcomeName
    project_id: str | None
    target: str | None
    connection_id: str | None
    ip: str | None
    worker: str
    details: dict[str, Any]
    chain: str
    n: Annotated[int, msgspec.Meta(ge=1)]
    prev: str
    hash: str
