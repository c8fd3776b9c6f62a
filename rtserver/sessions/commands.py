"""What the commands of the session protocol do."""

from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import UNSET

from rtserver.auth.tokens import TokenRefused
from rtserver.eventlog.api import EventLog
from rtserver.model import ids
from rtserver.model.close_codes import CloseCode
from rtserver.model.errors import ForbiddenError, InvalidError, RefusedError
from rtserver.model.events import rfc3339
from rtserver.model.positions import BadPositionError, Position
from rtserver.model.run import RunKind
from rtserver.reviews.proposals import ProposalStore
from rtserver.runs.iteration.factory import Iterations
from rtserver.runs.model import Run
from rtserver.runs.service import RunService, proposal_for_run
from rtserver.runs.validation.validator import Validator
from rtserver.runs.validation.work import ValidationWork
from rtserver.sessions.gateway import Gateway
from rtserver.sessions.messages import (
    Ack,
    CancelAck,
    CancelIteration,
    CancelValidation,
    Command,
    RefreshAck,
    RefreshToken,
    Replay,
    ReplayAck,
    StartedAck,
    StartIteration,
    StartValidation,
    View,
    ViewAck,
)
from rtserver.sessions.session import CommandHandler, Session

MAX_VIEWED = 100
MAX_LOOKED_AT = 10
"""Of one connection; the rest is not told."""


def view_of(proposal_ids: list[str]) -> frozenset[str] | None:
    """What a list of proposal ids narrows the view to; None (the whole project) where it is empty.

    Raises:
        InvalidError: an id is not one, or there are too many.
    """
    if len(proposal_ids) > MAX_VIEWED:
        raise InvalidError(f"At most {MAX_VIEWED} proposals can be viewed by name; leave them out")
    try:
        return frozenset(map(ids.proposal_id, proposal_ids)) or None
    except ids.BadIdentifier as error:
        raise InvalidError(str(error)) from None


def looked_at(focus: list[str] | None, viewed: frozenset[str] | None) -> frozenset[str]:
    """What presence says that a user looks at: the focus, or else what is viewed by name.

    Raises:
        InvalidError: an id is not one, or there are too many.
    """
    focused = viewed if focus is None else view_of(focus)
    if focused is None:
        return frozenset()
    return focused if len(focused) <= MAX_LOOKED_AT else frozenset(sorted(focused)[:MAX_LOOKED_AT])


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
            raise RefusedError(refused.message, "unauthorized") from None
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


class SessionCommands(CommonCommands):
    """The commands of a session that is for a project."""

    def __init__(
        self,
        gateway: Gateway,
        log: EventLog,
        proposals: ProposalStore,
        runs: RunService,
        iterations: Iterations,
        validator: Validator,
    ) -> None:
        super().__init__(gateway, log)
        self._proposals = proposals
        self._runs = runs
        self._iterations = iterations
        self._validator = validator

    def table(self) -> Mapping[type[Command], CommandHandler]:
        """From the type of a command to what carries it out."""
        return {
            **super().table(),
            View: self.view,
            StartValidation: self.start_validation,
            CancelValidation: self.cancel_validation,
            StartIteration: self.start_iteration,
            CancelIteration: self.cancel_iteration,
        }

    async def view(self, session: Session, command: View) -> Ack:
        """Narrow or widen what is viewed."""
        viewed = view_of(command.proposal_ids)
        looking_at = looked_at(command.focus, viewed)
        session.set_view(viewed)
        session.look_at(looking_at)
        return ViewAck(proposal_ids=sorted(viewed or ()), position=self._position(session.seq))

    async def start_validation(self, session: Session, command: StartValidation) -> Ack:
        """Start the validator."""
        proposal = await proposal_for_run(
            self._proposals,
            session.identity,
            ids.proposal_id(command.proposal_id),
            session.project_id,
        )
        work = ValidationWork(self._validator, proposal.project_id, proposal.proposal_id)
        run = await self._runs.start(RunKind.VALIDATION, proposal, session.identity, work)
        return _started(run)

    async def cancel_validation(self, session: Session, command: CancelValidation) -> Ack:
        """Stop a validation."""
        run = await self._runs.cancel(
            session.identity, ids.run_id(command.run_id), RunKind.VALIDATION
        )
        return CancelAck(run_id=run.run_id, proposal_id=run.proposal_id)

    async def start_iteration(self, session: Session, command: StartIteration) -> Ack:
        """Have a proposal revised."""
        proposal = await proposal_for_run(
            self._proposals,
            session.identity,
            ids.proposal_id(command.proposal_id),
            session.project_id,
        )
        work = self._iterations.work(proposal, session.identity, command.instruction)
        run = await self._runs.start(RunKind.ITERATION, proposal, session.identity, work)
        return _started(run)

    async def cancel_iteration(self, session: Session, command: CancelIteration) -> Ack:
        """Stop an iteration."""
        run = await self._runs.cancel(
            session.identity, ids.run_id(command.run_id), RunKind.ITERATION
        )
        return CancelAck(run_id=run.run_id, proposal_id=run.proposal_id)


def _started(run: Run) -> Ack:
    return StartedAck(
        run_id=run.run_id,
        proposal_id=run.proposal_id,
        state=run.state,
        place=UNSET if run.place is None else run.place,
    )
