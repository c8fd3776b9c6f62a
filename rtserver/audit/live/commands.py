"""Commands of an audit session: filter, pause and resume."""

from collections.abc import Mapping

from rtserver.audit.live.filter import AuditFilter
from rtserver.audit.live.messages import FilterAck, FilterCommand, Pause, PauseAck, ResumeCommand
from rtserver.audit.live.session import AuditSession
from rtserver.audit.record.actions import Acting, Action
from rtserver.audit.record.auditor import Auditor
from rtserver.audit.record.outcomes import record_failed
from rtserver.eventlog.api import EventLog
from rtserver.model.errors import RefusedError
from rtserver.sessions.client_messages import Command
from rtserver.sessions.commands import CommonCommands
from rtserver.sessions.gateway import Gateway
from rtserver.sessions.server_frames import Ack
from rtserver.sessions.services import CommandHandler
from rtserver.sessions.session import Session

RECORDED: Mapping[type[Command], Action] = {FilterCommand: Action.AUDIT_WATCHED}
"""What the audit log calls the commands that it must hear of."""


class AuditCommands(CommonCommands):
    """The commands of an audit session."""

    def __init__(self, gateway: Gateway, log: EventLog, auditor: Auditor) -> None:
        super().__init__(gateway, log)
        self._auditor = auditor

    def table(self) -> dict[type[Command], CommandHandler]:
        """From the type of a command to what carries it out."""
        return {
            **super().table(),
            FilterCommand: self.filter,
            Pause: self.pause,
            ResumeCommand: self.resume,
        }

    async def filter(self, session: Session, command: FilterCommand) -> Ack:
        """Show other records from here on.

        There is no await in it: the `ack` goes out before any record that the new filter lets
        through, and after the last that the old one did.
        """
        audit = _audit(session)
        by = Acting.of(session.entry)
        asked = command.parameters()
        try:
            wanted = AuditFilter.make(asked)
            self._auditor.ensure(Action.AUDIT_WATCHED)
        except RefusedError as error:
            record_failed(
                self._auditor, Action.AUDIT_WATCHED, error, by=by, filter=asked, change=True
            )
            raise
        audit.filter = wanted
        self._auditor.record(Action.AUDIT_WATCHED, by=by, filter=wanted.to_json(), change=True)
        return FilterAck(filter=wanted.to_json(), position=self._position(session.seq))

    async def pause(self, session: Session, _command: Pause) -> Ack:
        """Send no more records."""
        _audit(session).pause()
        return PauseAck(paused=True, position=self._position(session.seq))

    async def resume(self, session: Session, _command: ResumeCommand) -> Ack:
        """Send what came since, then go on live."""
        _audit(session).resume()
        return PauseAck(paused=False, position=self._position(session.seq))


def _audit(session: Session) -> AuditSession:
    if not isinstance(session, AuditSession):
        raise TypeError("this command is for audit sessions")
    return session
