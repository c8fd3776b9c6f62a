"""The messages of `/ws/audit` that a project's session does not have."""

from collections.abc import Sequence
from typing import Any

import msgspec

from rtserver.protocol import (
    Command,
    CommandParser,
    Gap,
    HeartbeatTimes,
    Limits,
    RefreshToken,
    Replay,
    Resume,
    SessionFrame,
)


class FilterCommand(Command, tag="filter", forbid_unknown_fields=True):
    """Show what this filter wants from the next record on; what is left out wants all."""

    action: str | list[str] = msgspec.field(default_factory=list)
    actor: str | None = None
    project_id: str | None = None
    target: str | None = None
    outcome: str | None = None
    since: str | None = None

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


class Pause(Command, tag="pause"):
    """Send nothing until `resume`."""


class ResumeCommand(Command, tag="resume"):
    """Send what came since `pause`, then go on live."""


parse_audit_command = CommandParser((FilterCommand, Pause, ResumeCommand, RefreshToken, Replay))
"""Reads the messages of audit sessions."""


class AuditWelcome(SessionFrame, tag="welcome"):
    """The first frame of an audit session. `history` earlier records follow it."""

    connection_id: str
    user_id: str
    name: str
    position: str
    resume: Resume
    heartbeat: HeartbeatTimes
    limits: Limits
    token_expires_at: str
    filter: dict[str, Any]
    history: int


class AuditGap(Gap, tag="gap"):
    """Records that are left out.

    Attributes:
        reason: `overwritten`: they are gone, and `lost` counts all of them, whatever the filter.
            `paused`: more came during a pause than is kept for it, and `lost` counts what the
            filter wanted; they can be read from `refetch`.
    """

    reason: str = "overwritten"
