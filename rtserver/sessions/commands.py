"""Commands of the session protocol: view, replay and the refresh of a token."""

from collections.abc import Mapping
from datetime import UTC, datetime

from rtserver.audit.record.actions import Action
from rtserver.auth.tokens import TokenRefused
from rtserver.eventlog.api import EventLog
from rtserver.model.close_codes import CloseCode
from rtserver.model.errors import ForbiddenError, InvalidError, UnauthorizedError
from rtserver.model.moments import rfc3339
from rtserver.model.positions import BadPositionError, Position
from rtserver.model.visibility import focus_of, view_of
from rtserver.sessions.client_messages import Command, RefreshToken, Replay, View
from rtserver.sessions.gateway import Gateway
from rtserver.sessions.server_frames import Ack, RefreshAck, ReplayAck, ViewAck
from rtserver.sessions.services import CommandHandler
from rtserver.sessions.session import Session

RECORDED: Mapping[type[Command], Action] = {RefreshToken: Action.TOKEN_REFRESHED}
"""What changes something. `view` and `replay` concern only the session that sends them."""


class CommonCommands:
    """What every kind of session takes. One method a command; each returns what its `ack` says."""

    def __init__(self, gateway: Gateway, log: EventLog) -> None:
        self._gateway = gateway
        self._log = log

    def table(self) -> Mapping[type[Command], CommandHandler]:
        """From the type of a command to what carries it out."""
        return {RefreshToken: self.refresh_token, Replay: self.replay}

    def _position(self, seq: int) -> str:
        return str(Position(self._log.epoch, seq))

    async def refresh_token(self, session: Session, command: RefreshToken) -> Ack:
        """Go on under another token of the same user."""
        try:
            identity = await self._gateway.refresh(session.identity, command.token)
        except TokenRefused as refused:
            raise UnauthorizedError(refused.message) from None
        if not session.allows(identity):
            session.close(CloseCode.FORBIDDEN)
            raise ForbiddenError("The new token does not open what this session is for")
        session.renew_identity(identity)
        expires_at = datetime.fromtimestamp(identity.expires_at, UTC)
        return RefreshAck(token_expires_at=rfc3339(expires_at))

    async def replay(self, session: Session, command: Replay) -> Ack:
        """Send again what came after a position."""
        try:
            position = Position.parse(command.from_)
        except BadPositionError as error:
            raise InvalidError(f"replay: {error}") from None
        if position.epoch != self._log.epoch:
            raise InvalidError("replay: the position is of an earlier log; fetch the state anew")
        if position.seq > session.seq:
            raise InvalidError("replay: the position is ahead of the log")
        session.replay(position.seq)
        return ReplayAck(from_=command.from_, position=self._position(session.seq))


class ProjectCommands(CommonCommands):
    """The commands of a session that is for a project, but for those of its runs."""

    def table(self) -> Mapping[type[Command], CommandHandler]:
        """From the type of a command to what carries it out."""
        return {
            View: self.view,
            **super().table(),
        }

    async def view(self, session: Session, command: View) -> Ack:
        """Narrow or widen what is viewed."""
        viewed = view_of(command.proposal_ids)
        looking_at = focus_of(command.focus, viewed)
        session.set_view(viewed)
        session.look_at(looking_at)
        return ViewAck(proposal_ids=sorted(viewed or ()), position=self._position(session.seq))
