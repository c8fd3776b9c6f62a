"""Audited session commands: each is recorded, whatever becomes of it."""

from collections.abc import Mapping
from typing import Any

import msgspec

from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.auditor import Auditor
from rtserver.audit.record.outcomes import outcome_of, outcome_of_refusal
from rtserver.model.connection import ConnectionRecord
from rtserver.model.errors import HiddenError
from rtserver.sessions.client_messages import Command, MessageRefusedError, type_of
from rtserver.sessions.server_frames import Ack
from rtserver.sessions.services import CommandHandler
from rtserver.sessions.session import Session


def audited(
    auditor: Auditor,
    commands: Mapping[type[Command], CommandHandler],
    recorded: Mapping[type[Command], Action],
) -> dict[type[Command], CommandHandler]:
    """The same commands, each recorded as the action that `recorded` gives it.

    A command whose handler records it is not recorded again.
    """
    return {
        kind: _audited(auditor, handler, recorded.get(kind)) for kind, handler in commands.items()
    }


_RECORDED_FIELDS = {
    "proposal_id": "target",
    "run_id": "run_id",
    "instruction": "instruction",
    "token_expires_at": "expires_at",
}
"""Of commands and their acks: field to argument of `Auditor.record`."""


def _recordable(message: msgspec.Struct) -> dict[str, Any]:
    fields = msgspec.structs.asdict(message)
    return {name: fields[field] for field, name in _RECORDED_FIELDS.items() if field in fields}


def _audited(auditor: Auditor, handler: CommandHandler, action: Action | None) -> CommandHandler:
    async def run(session: Session, command: Any) -> Ack:
        acting = auditor.act(Acting.of(session.entry))
        if action is None:
            return await handler(session, command)
        details = _recordable(command)
        outcome = Outcome.ALLOWED
        try:
            auditor.ensure(action)
            result = await handler(session, command)
            # What the ack says of these is what a record should say of them too.
            details |= _recordable(result)
        except BaseException as error:
            outcome, details["reason"] = outcome_of(error)
            if isinstance(error, HiddenError):
                acting.project_id = error.project_id
            raise
        else:
            return result
        finally:
            if not acting.recorded:
                auditor.record(action, outcome, by=acting, **details)

    return run


class RecordedRefusals:
    """Records messages that become no command: what they were meant to be, or that they came."""

    def __init__(self, auditor: Auditor, recorded: Mapping[type[Command], Action]) -> None:
        """Make it.

        Args:
            auditor: takes the records.
            recorded: the actions of the commands that are recorded, of whatever kind of session.
        """
        self._auditor = auditor
        self._meant: Mapping[str | None, Action] = {
            type_of(kind): action for kind, action in recorded.items()
        }

    def record(self, entry: ConnectionRecord, refusal: MessageRefusedError) -> None:
        """Record that a message was refused."""
        action = self._meant.get(refusal.command, Action.MESSAGE_REFUSED)
        details: dict[str, Any] = {"reason": refusal.reason}
        if action is Action.MESSAGE_REFUSED:
            details["command"] = refusal.command
        elif action is Action.AUDIT_WATCHED:
            details["change"] = True
        outcome = outcome_of_refusal(refusal.reason)
        self._auditor.record(action, outcome, by=Acting.of(entry), **details)
