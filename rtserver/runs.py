"""Starts runs, carries them out, cancels them, and sees to it that each ends exactly once."""

import asyncio
import math
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from rtserver.audit import Acting, Auditor
from rtserver.audit_actions import Action, Outcome
from rtserver.control import Control
from rtserver.errors import (
    BusyError,
    ForbiddenError,
    NotFoundError,
    StoreUnavailableError,
)
from rtserver.events import EventDraft, EventType, viewers_of
from rtserver.identity import Identity
from rtserver.locks import LockGuard
from rtserver.log import EventLog, at
from rtserver.metrics import Metrics, RunKind, RunOutcome
from rtserver.proposals import Proposal, ProposalStore, visible_proposal
from rtserver.run_model import Run, RunConflictError, RunState, RunStore
from rtserver.tasks import TaskOwner

LEASE_GRACE_S = 2.0
ENDED = {
    RunKind.VALIDATION: Action.VALIDATION_ENDED,
    RunKind.ITERATION: Action.ITERATION_ENDED,
}
FINISH_RETRY_S = (0.1, 0.5, 1.0, 2.0)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run's work ended.

    Attributes:
        state: the final state.
        type: the terminal event's type.
        fields: the terminal event's keys beside `run_id`.
    """

    state: RunState
    type: EventType
    fields: dict[str, Any]


class Work(Protocol):
    """What a kind of run does. One object a run."""

    started: EventType
    cancelled: EventType
    failed: EventType

    def start_fields(self) -> dict[str, Any]:
        """What the start event says beside `run_id`."""

    async def carry_out(self, run: Run, emit: "Emit") -> Ending:
        """Do it. Cancelling the task must stop it for good and leave nothing half done."""


Emit = Callable[[EventType, list[dict[str, Any]]], Awaitable[None]]
"""Appends events of the run, in order; returns when they are durable. Never gives up."""


@dataclass(slots=True)
class _Active:
    run: Run
    work: Work
    task: "asyncio.Task[None] | None" = None
    cancel_by: str | None = None
    lost: bool = False


class RunService:
    """The runs of this worker, and what may be done with those of others."""

    def __init__(
        self,
        runs: RunStore,
        proposals: ProposalStore,
        locks: LockGuard,
        log: EventLog,
        control: Control,
        tasks: TaskOwner,
        metrics: Metrics,
        auditor: Auditor,
        *,
        worker_id: str,
        lease_s: float,
        max_runs: int,
    ) -> None:
        self._runs = runs
        self._proposals = proposals
        self._locks = locks
        self._log = log
        self._control = control
        self._tasks = tasks
        self._metrics = metrics
        self._auditor = auditor
        self._worker_id = worker_id
        self._lease_s = lease_s
        self._max_runs = max_runs
        self._active: dict[str, _Active] = {}
        self._stopping = False
        control.handle("cancel", self._on_cancel_message)

    async def start(self, kind: RunKind, proposal: Proposal, by: Identity, work: Work) -> Run:
        """Start a run and return when its start event is on its way.

        Raises:
            RunConflictError: the proposal has one of this kind under way.
            LockedError: it would change files while somebody else has locked the project.
            BusyError: this worker carries out as many runs as it may, or is stopping.
            StoreUnavailableError: MongoDB does not answer.
        """
        if self._stopping:
            raise BusyError("The server is stopping; try again in a moment", retry_after_s=2)
        if len(self._active) >= self._max_runs:
            raise BusyError(
                f"This worker carries out {self._max_runs} runs, as many as it may", retry_after_s=5
            )
        if kind is RunKind.ITERATION:
            await self._locks.check(proposal.project_id, by)
        run = Run(
            run_id=secrets.token_hex(8),
            kind=kind,
            project_id=proposal.project_id,
            proposal_id=proposal.proposal_id,
            owner=self._worker_id,
            started_by=by.user_id,
            started_at=datetime.now(UTC),
            replay_from=str(at(self._log, await self._log.head(proposal.project_id))),
        )
        active = _Active(run, work)
        self._active[run.run_id] = active
        try:
            await self._runs.create(
                run, self._draft(run, work.started, {**work.start_fields(), "actor": by.user_id})
            )
        except BaseException:
            del self._active[run.run_id]
            raise
        self._metrics.run_started(kind)
        active.task = self._tasks.start(self._carry_out(active), name=f"{kind.value}-run")
        return run

    def _draft(self, run: Run, type_: EventType, fields: Mapping[str, Any]) -> EventDraft:
        return EventDraft(
            run.project_id,
            type_,
            {"run_id": run.run_id, **fields},
            audience=viewers_of(run.proposal_id),
            proposal_id=run.proposal_id,
        )

    async def _carry_out(self, active: _Active) -> None:
        run, work = active.run, active.work

        async def emit(type_: EventType, many: list[dict[str, Any]]) -> None:
            if active.lost:
                raise asyncio.CancelledError  # another worker has ended this run
            drafts = [self._draft(run, type_, fields) for fields in many]
            while True:
                try:
                    await self._log.publish(drafts, timeout_s=math.inf)
                except BusyError as error:
                    await asyncio.sleep(error.retry_after_s)
                else:
                    return

        try:
            ending = await work.carry_out(run, emit)
        except asyncio.CancelledError:
            ending = self._cut_short(active)
        except Exception:  # noqa: BLE001 - whatever it is, the run must end with its event
            _log.exception("run_failed", run_id=run.run_id, kind=run.kind)
            ending = Ending(
                RunState.ERROR,
                work.failed,
                {"reason": "internal", "error": "The server failed to carry this out; try again"},
            )
        # The end must be written although the task was cancelled, so it is a task of its own.
        await asyncio.shield(self._tasks.start(self._finish(active, ending), name="finish-run"))

    def _cut_short(self, active: _Active) -> Ending:
        if active.cancel_by is not None:
            return Ending(RunState.CANCELLED, active.work.cancelled, {"actor": active.cancel_by})
        return Ending(
            RunState.ERROR,
            active.work.failed,
            {
                "reason": "server_stopping",
                "error": "The server was stopped before this had ended; start it again",
            },
        )

    async def _finish(self, active: _Active, ending: Ending) -> None:
        run = active.run
        ended = self._draft(run, ending.type, ending.fields)
        attempts = 0
        try:
            while not active.lost:
                try:
                    if await self._runs.finish(run, ending.state, ending.fields, ended):
                        self._record_end(run, ending.state, ending.fields)
                    break
                except StoreUnavailableError as error:
                    _log.warning("run_end_not_stored", run_id=run.run_id, error=str(error))
                    await asyncio.sleep(FINISH_RETRY_S[min(attempts, len(FINISH_RETRY_S) - 1)])
                    attempts += 1
        finally:
            self._active.pop(run.run_id, None)
            self._metrics.run_ended(run.kind, RunOutcome(ending.state.value))

    def _record_end(self, run: Run, state: RunState, fields: Mapping[str, Any]) -> None:
        error = state is RunState.ERROR
        took = datetime.now(UTC) - run.started_at
        self._auditor.record(
            ENDED[run.kind],
            Outcome.FAILED if error else Outcome.ALLOWED,
            by=Acting(actor=run.started_by, project_id=run.project_id),
            target=run.proposal_id,
            run_id=run.run_id,
            state=state.value,
            reason=fields.get("reason") if error else None,
            cancelled_by=fields.get("actor") if state is RunState.CANCELLED else None,
            duration_ms=round(took.total_seconds() * 1000),
        )

    async def get(self, identity: Identity, run_id: str) -> Run:
        """A run that this user may see.

        Raises:
            NotFoundError: there is none, or it is in a project that the token does not open.
        """
        run = await self._runs.get(run_id)
        if run is None or not identity.may_open(run.project_id):
            raise NotFoundError(f"There is no run {run_id!r}")
        return run

    async def cancel(self, identity: Identity, run_id: str, kind: RunKind | None = None) -> Run:
        """Ask for the end of a run; its owner ends it within a moment.

        Raises:
            NotFoundError: there is no such run that this user may see.
            ForbiddenError: only its starter, the proposal's author and admins may.
        """
        run = await self.get(identity, run_id)
        if kind is not None and run.kind is not kind:
            raise NotFoundError(f"There is no {kind.value} {run_id!r}")
        proposal = await self._proposals.get(run.proposal_id)
        allowed = {run.started_by, proposal.author if proposal else None}
        if identity.user_id not in allowed and not identity.is_admin:
            raise ForbiddenError(
                "Only who started it, the proposal's author and admins may cancel it"
            )
        if run.state in (RunState.QUEUED, RunState.RUNNING):
            if run.owner == self._worker_id and run.run_id in self._active:
                self._cancel_here(run.run_id, identity.user_id)
            else:
                await self._runs.ask_cancel(run_id, identity.user_id)
                await self._control.send("cancel", run.owner, run_id=run_id, actor=identity.user_id)
        return run

    def _cancel_here(self, run_id: str, by: str) -> None:
        active = self._active.get(run_id)
        if active is not None and active.cancel_by is None and active.task is not None:
            active.cancel_by = by
            active.task.cancel()

    async def _on_cancel_message(self, message: dict[str, Any]) -> None:
        self._cancel_here(message["run_id"], message["actor"])

    async def active_json(self, project_id: str) -> list[dict[str, Any]]:
        """The runs of a project that are under way, as clients see them."""
        return [run.to_json() for run in await self._runs.active(project_id)]

    async def run(self) -> None:
        """Keep this worker's leases, and end the runs of workers that lost theirs."""
        interval_s = self._lease_s / 3
        confident = False
        while True:
            try:
                await self._renew()
                if confident:
                    await self._end_lapsed()
                confident = True
            except StoreUnavailableError as error:
                # After an outage every lease has lapsed: give the owners a round to renew.
                confident = False
                _log.warning("run_leases_not_renewed", error=str(error))
            await asyncio.sleep(min(interval_s, LEASE_GRACE_S))

    async def _renew(self) -> None:
        # Snapshot first: a run that starts or ends meanwhile is none of this round's business.
        known = [active for active in self._active.values() if active.task is not None]
        if not known:
            return
        held = {
            run.run_id: run
            for run in await self._runs.renew(
                [active.run.run_id for active in known], self._worker_id
            )
        }
        for active in known:
            run = held.get(active.run.run_id)
            if run is None:
                if active.task is not None and not active.task.done():
                    active.lost = active.run.run_id in self._active and not active.cancel_by
                    if active.lost:
                        _log.warning("run_lost", run_id=active.run.run_id)
                        active.task.cancel()
            elif run.cancel_by is not None:
                self._cancel_here(run.run_id, run.cancel_by)

    async def _end_lapsed(self) -> None:
        for run in await self._runs.lapsed():
            failed = (
                EventType.VALIDATION_ERROR
                if run.kind is RunKind.VALIDATION
                else EventType.ITERATION_ERROR
            )
            fields = {
                "reason": "worker_lost",
                "error": "The server that carried this out is gone; start it again",
            }
            if await self._runs.lose(run, fields, self._draft(run, failed, fields)):
                _log.warning("run_of_lost_worker_ended", run_id=run.run_id, owner=run.owner)
                self._record_end(run, RunState.ERROR, fields)

    async def stop(self) -> None:
        """End this worker's runs, each with its terminal event."""
        self._stopping = True
        tasks = [active.task for active in self._active.values() if active.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=10)


async def proposal_for_run(
    proposals: ProposalStore, identity: Identity, proposal_id: str, project_id: str | None = None
) -> Proposal:
    """The proposal that a run is asked for.

    Args:
        proposals: where proposals are.
        identity: who asks.
        proposal_id: which.
        project_id: the session's project, where it is a session that asks.

    Raises:
        NotFoundError: there is none here that this user may see.
    """
    proposal = await visible_proposal(proposals, identity, proposal_id)
    if project_id is not None and proposal.project_id != project_id:
        raise NotFoundError(f"There is no proposal {proposal_id!r} in this project")
    return proposal


__all__ = ["Emit", "Ending", "RunConflictError", "RunService", "Work", "proposal_for_run"]
