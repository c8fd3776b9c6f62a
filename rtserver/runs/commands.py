"""Session commands that start and cancel runs."""

from collections.abc import Mapping
from typing import Protocol

from msgspec import UNSET

from rtserver.audit.record.actions import Action
from rtserver.model import ids
from rtserver.model.identity import Identity
from rtserver.model.run import RunKind
from rtserver.reviews.proposals import Proposal, ProposalStore
from rtserver.runs.messages import (
    CancelAck,
    CancelIteration,
    CancelValidation,
    StartedAck,
    StartIteration,
    StartValidation,
)
from rtserver.runs.service import RunService, proposal_for_run
from rtserver.runs.work import Work
from rtserver.sessions.client_messages import Command
from rtserver.sessions.server_frames import Ack
from rtserver.sessions.services import CommandHandler
from rtserver.sessions.session import Session

RECORDED: Mapping[type[Command], Action] = {
    StartValidation: Action.VALIDATION_STARTED,
    CancelValidation: Action.VALIDATION_CANCELLED,
    StartIteration: Action.ITERATION_STARTED,
    CancelIteration: Action.ITERATION_CANCELLED,
}
"""What the audit log calls these commands."""


class ValidationMaker(Protocol):
    """Makes the work of a validation."""

    def work(self, proposal: Proposal) -> Work:
        """The validation of a proposal."""


class IterationMaker(Protocol):
    """Makes the work of an iteration."""

    def work(self, proposal: Proposal, by: Identity, instruction: str) -> Work:
        """The work that an instruction stands for.

        Raises:
            RefusedError: there is no language model, or the instruction cannot be used.
        """


class RunCommands:
    """Starts and cancels runs in the project of a session."""

    def __init__(
        self,
        proposals: ProposalStore,
        runs: RunService,
        validations: ValidationMaker,
        iterations: IterationMaker,
    ) -> None:
        self._proposals = proposals
        self._runs = runs
        self._validations = validations
        self._iterations = iterations

    def table(self) -> Mapping[type[Command], CommandHandler]:
        """From the type of a command to what carries it out."""
        return {
            StartValidation: self.start_validation,
            CancelValidation: self.cancel_validation,
            StartIteration: self.start_iteration,
            CancelIteration: self.cancel_iteration,
        }

    async def start_validation(self, session: Session, command: StartValidation) -> Ack:
        """Start the validator."""
        proposal = await self._proposal(session, command.proposal_id)
        return await self._start(
            session, RunKind.VALIDATION, proposal, self._validations.work(proposal)
        )

    async def start_iteration(self, session: Session, command: StartIteration) -> Ack:
        """Have a proposal revised."""
        proposal = await self._proposal(session, command.proposal_id)
        work = self._iterations.work(proposal, session.identity, command.instruction)
        return await self._start(session, RunKind.ITERATION, proposal, work)

    async def cancel_validation(self, session: Session, command: CancelValidation) -> Ack:
        """Stop a validation."""
        return await self._cancel(session, RunKind.VALIDATION, command.run_id)

    async def cancel_iteration(self, session: Session, command: CancelIteration) -> Ack:
        """Stop an iteration."""
        return await self._cancel(session, RunKind.ITERATION, command.run_id)

    async def _proposal(self, session: Session, proposal_id: str) -> Proposal:
        return await proposal_for_run(
            self._proposals, session.identity, ids.proposal_id(proposal_id), session.project_id
        )

    async def _start(self, session: Session, kind: RunKind, proposal: Proposal, work: Work) -> Ack:
        run = await self._runs.start(kind, proposal, session.identity, work)
        return StartedAck(
            run_id=run.run_id,
            proposal_id=run.proposal_id,
            state=run.state,
            place=UNSET if run.place is None else run.place,
        )

    async def _cancel(self, session: Session, kind: RunKind, run_id: str) -> Ack:
        run = await self._runs.cancel(session.identity, ids.run_id(run_id), kind)
        return CancelAck(run_id=run.run_id, proposal_id=run.proposal_id)
