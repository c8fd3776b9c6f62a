"""Audited session commands: each is recorded, whatever becomes of it."""

from collections.abc import Callable, Mapping
from typing import Any

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


def _audited(auditor: Auditor, handler: CommandHandler, action: Action | None) -> CommandHandler:
    async def run(session: Session, command: Any) -> Ack:
        acting = auditor.act(Acting.of(session.entry))
        if action is None:
            return await handler(session, command)
        target = getattr(command, "proposal_id", None)
        details: dict[str, Any] = {
            "run_id": getattr(command, "run_id", None),
            "instruction": getattr(command, "instruction", None),
        }
        outcome = Outcome.ALLOWED
        try:
            auditor.ensure(action)
            result = await handler(session, command)
            # What the ack says of these is what a record should say of them too.
            target = getattr(result, "proposal_id", target)
            details["run_id"] = getattr(result, "run_id", details["run_id"])
            details["expires_at"] = getattr(result, "token_expires_at", None)
        except BaseException as error:
            outcome, details["reason"] = outcome_of(error)
            if isinstance(error, HiddenError):
                acting.project_id = error.project_id
            raise
        else:
            return result
        finally:
            if not acting.recorded:
                auditor.record(action, outcome, target=target, by=acting, **details)

    return run


def recorded_refusals(
    auditor: Auditor, recorded: Mapping[type[Command], Action]
) -> Callable[[ConnectionRecord, MessageRefusedError], None]:
    """Records messages that become no command: what they were meant to be, or that they came.

    Args:
        auditor: takes the records.
        recorded: the actions of the commands that are recorded, of whatever kind of session.
    """
    meant: Mapping[str | None, Action] = {
        type_of(kind): action for kind, action in recorded.items()
    }

    def record(entry: ConnectionRecord, refusal: MessageRefusedError) -> None:
        action = meant.get(refusal.command, Action.MESSAGE_REFUSED)
        details: dict[str, Any] = {"reason": refusal.reason}
        if action is Action.MESSAGE_REFUSED:
            details["command"] = refusal.command
        elif action is Action.AUDIT_WATCHED:
            details["change"] = True
        outcome = outcome_of_refusal(refusal.reason)
        auditor.record(action, outcome, by=Acting.of(entry), **details)

    return record
