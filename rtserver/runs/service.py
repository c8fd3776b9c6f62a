"""The run service: starts, queues, carries out and cancels runs, and ends each exactly once."""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.auditor import Auditor
from rtserver.eventlog.api import EventLog, at
from rtserver.eventlog.worker_messages import Control
from rtserver.lib.backoff import Backoff
from rtserver.lib.lease_trust import LeaseTrust
from rtserver.lib.tasks import TaskOwner
from rtserver.lib.waiting import is_set_within
from rtserver.model.errors import (
    BusyError,
    ForbiddenError,
    HiddenError,
    NotFoundError,
    StoreUnavailableError,
    UnstorableError,
)
from rtserver.model.events import EventDraft, EventType
from rtserver.model.identity import Identity
from rtserver.model.run import ACTIVE_STATES, RunJson, RunKind, RunState
from rtserver.reviews.editing import ProposalService
from rtserver.reviews.pages import Place
from rtserver.reviews.proposals import Proposal, ProposalStore, visible_proposal
from rtserver.runs.active_run import ActiveRun
from rtserver.runs.leases import RunLeases
from rtserver.runs.metrics import RunMetrics
from rtserver.runs.model import Run, RunStore
from rtserver.runs.queue import RunQueue
from rtserver.runs.run_log import RunLog, run_event
from rtserver.runs.work import Ending, Salvage, Work

ENDED = {
    RunKind.VALIDATION: Action.VALIDATION_ENDED,
    RunKind.ITERATION: Action.ITERATION_ENDED,
}
RETRY_S, MAX_RETRY_S = 0.2, 2.0
QUEUE_POLL_S = 0.5
QUEUE_TELL_S = 2.0
STOP_S = 10.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RunLimits:
    """How many runs there may be.

    Attributes:
        per_worker: under way on one worker.
        per_project: under way in one project, over all workers.
        queued_per_project: waiting in one project on one worker; 0: none may wait.
    """

    per_worker: int
    per_project: int
    queued_per_project: int


class RunService:
    """The runs of this worker, and what may be done with those of others."""

    def __init__(
        self,
        runs: RunStore,
        proposals: ProposalStore,
        editing: ProposalService,
        log: EventLog,
        control: Control,
        tasks: TaskOwner,
        metrics: RunMetrics,
        auditor: Auditor,
        *,
        worker_id: str,
        lease_s: float,
        trust: LeaseTrust,
        limits: RunLimits,
        salvage: Mapping[RunKind, Salvage] | None = None,
    ) -> None:
        self._runs = runs
        self._proposals = proposals
        self._editing = editing
        self._log = log
        self._control = control
        self._tasks = tasks
        self._metrics = metrics
        self._auditor = auditor
        self._worker_id = worker_id
        self._limits = limits
        self._active: dict[str, ActiveRun] = {}
        self._under_way = 0
        self._queue = RunQueue(
            max_waiting_per_project=limits.queued_per_project,
            max_waiting=limits.queued_per_project * limits.per_worker,
        )
        self._queue_moves = asyncio.Event()
        self._queue_runner: asyncio.Task[None] | None = None
        self._stopping = False
        self._leases = RunLeases(runs, self, worker_id, lease_s, trust=trust, salvage=salvage or {})
        control.handle("cancel", self._on_cancel_message)

    # Starting

    async def start(self, kind: RunKind, proposal: Proposal, by: Identity, work: Work) -> Run:
        """Start a run, or let it wait, and return when its first event is on its way.

        Raises:
            RunConflictError: the proposal has one of this kind under way.
            ForbiddenError: it would change files, and the user may not have that done.
            ArchivedError, LockedError: it would change files, which nobody, or only somebody else,
                may do now.
            BusyError: as many are under way and waiting as may, or the server is stopping.
            StoreUnavailableError: MongoDB does not answer.
        """
        if self._stopping:
            raise BusyError("The server is stopping; try again in a moment", retry_after_s=2)
        if kind is RunKind.ITERATION:
            await self._editing.check_text(by, proposal.proposal_id)
        run = Run(
            run_id=secrets.token_hex(8),
            kind=kind,
            project_id=proposal.project_id,
            proposal_id=proposal.proposal_id,
            owner=self._worker_id,
            started_by=by.user_id,
            started_at=datetime.now(UTC),
        )
        has_place = await self._may_begin(run)
        active = ActiveRun(run, work, has_place=has_place)
        self._active[run.run_id] = active
        try:
            if not has_place:
                self._queue.add(run.run_id, run.project_id)
                run.state = RunState.QUEUED
            if kind is RunKind.ITERATION:
                await self._editing.reopen(proposal.proposal_id, by.user_id)
            await self._store(active)
        except BaseException:
            self._active.pop(run.run_id, None)
            self._queue.remove(run.run_id, run.project_id)
            self._under_way -= has_place
            await self._withdraw(run)
            raise
        active.stored = True
        self._metrics.run_started(kind)
        self._tasks.start(self._live(active), name="run")
        if run.state is RunState.QUEUED:
            self._move_queue()
        return run

    async def _store(self, active: ActiveRun) -> None:
        run = active.run
        run.replay_from = str(at(self._log, await self._log.head(run.project_id)))
        if run.state is RunState.RUNNING:
            await self._runs.create(run, self._started(active))
            return
        ahead = [other for other in await self._runs.active(run.project_id) if other.place]
        active.told_place = run.place = len(ahead) + 1
        await self._runs.create(run, run_event(run, EventType.RUN_QUEUED, _queued_fields(run)))

    def _started(self, active: ActiveRun) -> EventDraft:
        fields = {**active.work.start_fields(), "actor": active.run.started_by}
        return run_event(active.run, active.work.started, fields)

    async def _may_begin(self, run: Run) -> bool:
        """Take a place at once, unless others were waiting for it before."""
        if self._queue.waiting(run.project_id) or self._under_way >= self._limits.per_worker:
            return False
        self._under_way += 1
        try:
            taken = await self._runs.take_place(run, self._limits.per_project)
        except BaseException:
            self._under_way -= 1
            raise
        if not taken:
            self._under_way -= 1
        return taken

    async def _withdraw(self, run: Run) -> None:
        """Give a place back over all workers, or no longer ask for one."""
        self._queue_moves.set()
        try:
            await self._runs.release_place(run)
        except StoreUnavailableError as error:
            # It is not renewed any more, and so lapses.
            _log.warning("run_place_not_released", run_id=run.run_id, error=str(error))

    # Waiting

    def _move_queue(self) -> None:
        self._queue_moves.set()
        if self._queue_runner is None or self._queue_runner.done():
            self._queue_runner = self._tasks.start(self._run_queue(), name="run-queue")

    async def _run_queue(self) -> None:
        """Give places to those who wait, for as long as somebody does."""
        now_s = asyncio.get_running_loop().time
        tell_at_s = 0.0
        while len(self._queue):
            moved = self._queue_moves.is_set()
            self._queue_moves.clear()
            try:
                moved |= await self._give_places()
                if moved or now_s() >= tell_at_s:
                    await self._tell_places()
                    tell_at_s = now_s() + QUEUE_TELL_S
            except StoreUnavailableError as error:
                _log.warning("run_queue_stands", error=str(error))
            # Places of a project may also be freed by other workers, which nobody tells here.
            await is_set_within(self._queue_moves, QUEUE_POLL_S)

    async def _give_places(self) -> bool:
        """Whether somebody got one."""
        given = False
        full: set[str] = set()
        while self._under_way < self._limits.per_worker:
            project_id = self._queue.next(full)
            if project_id is None:
                break
            active = self._active[self._queue.waiting(project_id)[0]]
            if active.stored and await self._take_place(active):
                given = True
            else:
                full.add(project_id)
        return given

    async def _take_place(self, active: ActiveRun) -> bool:
        run = active.run
        self._under_way += 1
        taken = False
        try:
            taken = await self._runs.take_place(run, self._limits.per_project)
        finally:
            if not taken:
                self._under_way -= 1
        if taken and not active.turn.done():
            self._queue.take(run.project_id)
            active.turn.set_result(True)
        elif taken:  # it was interrupted meanwhile
            self._under_way -= 1
            await self._withdraw(run)
        return taken

    async def _tell_places(self) -> None:
        """Tell viewers where their runs stand now, where that has changed."""
        for project_id in self._queue.projects:
            for run in await self._runs.active(project_id):
                active = self._active.get(run.run_id)
                if active is None or run.place is None or run.place == active.told_place:
                    continue
                active.told_place = active.run.place = run.place
                try:
                    await RunLog(self._log, active).tell(
                        EventType.RUN_QUEUED, _queued_fields(active.run)
                    )
                except BusyError as error:
                    _log.warning("run_place_not_told", run_id=run.run_id, error=str(error))

    # Carrying out

    async def _live(self, active: ActiveRun) -> None:
        """See a run through. Not cancelled before the server's very end."""
        has_place = False
        try:
            has_place = await active.turn
            if not has_place:
                self._queue.remove(active.run.run_id, active.run.project_id)
                ending = active.cut_short()
            elif active.run.state is RunState.QUEUED and not await self._begin(active):
                return  # another worker has ended it
            else:
                ending = await active.ending(RunLog(self._log, active).append, self._tasks)
            await self._finish(active, ending)
        finally:
            self._active.pop(active.run.run_id, None)
            self._under_way -= has_place
            await self._withdraw(active.run)

    async def _begin(self, active: ActiveRun) -> bool:
        run = active.run
        backoff = Backoff(RETRY_S, MAX_RETRY_S)
        while True:
            try:
                run.replay_from = str(at(self._log, await self._log.head(run.project_id)))
                begun = await self._runs.begin(run, self._started(active))
            except StoreUnavailableError as error:
                _log.warning("run_not_begun_yet", run_id=run.run_id, error=str(error))
                await backoff.wait()
            else:
                run.state, run.place = RunState.RUNNING, None
                return begun

    async def _finish(self, active: ActiveRun, ending: Ending) -> None:
        run = active.run
        active.finishing = True
        backoff = Backoff(RETRY_S, MAX_RETRY_S)
        try:
            while True:
                ended = run_event(run, ending.type, ending.fields)
                try:
                    stored = await self._runs.finish(run, ending.state, ending.fields, ended)
                except StoreUnavailableError as error:
                    _log.warning("run_end_not_stored", run_id=run.run_id, error=str(error))
                    await backoff.wait()
                    continue
                except UnstorableError as error:
                    if ending.left_out:
                        raise
                    ending = ending.cut_down()
                    _log.warning(
                        "run_end_cut_down",
                        run_id=run.run_id,
                        left_out=ending.left_out,
                        error=str(error.__cause__ or error),
                    )
                    continue
                if stored:
                    self.record_end(run, ending.state, ending.fields)
                else:
                    _log.info("run_was_ended_elsewhere", run_id=run.run_id)
                return
        finally:
            self._metrics.run_ended(run.kind, ending.state)

    def active_runs(self) -> tuple[ActiveRun, ...]:
        """Those that are under way or wait here, as of now."""
        return tuple(self._active.values())

    def record_end(self, run: Run, state: RunState, fields: Mapping[str, Any]) -> None:
        """Put the end of a run into the audit log."""
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

    # Looking and cancelling

    async def get(self, identity: Identity, run_id: str) -> Run:
        """A run that this user may see.

        Raises:
            NotFoundError: there is none, or (`HiddenError`) it is in a project that the token does
                not open.
        """
        run = await self._runs.get(run_id)
        none = f"There is no run {run_id!r}"
        if run is None:
            raise NotFoundError(none)
        if not identity.may_open(run.project_id):
            raise HiddenError(none, run.project_id)
        if run.state is RunState.QUEUED:
            for active in await self._runs.active(run.project_id):
                if active.run_id == run_id:
                    return active
        return run

    async def of_proposal(
        self, identity: Identity, proposal_id: str, *, after: Place | None, limit: int
    ) -> tuple[list[Run], bool]:
        """Runs of a proposal without their results, newest first, and whether there are more.

        Raises:
            NotFoundError: there is no such proposal that this user may see.
            StoreUnavailableError: MongoDB does not answer.
        """
        proposal = await visible_proposal(self._proposals, identity, proposal_id)
        found, more = await self._runs.of_proposal(proposal_id, after=after, limit=limit)
        if any(run.state is RunState.QUEUED for run in found):
            waiting = {
                run.run_id: run.place for run in await self._runs.active(proposal.project_id)
            }
            for run in found:
                run.place = waiting.get(run.run_id)
        return found, more

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
        if run.state in ACTIVE_STATES:
            await self._ask_end(run, identity.user_id)
        return run

    async def cancel_all(self, proposal: Proposal, by: Identity) -> None:
        """Ask for the end of all runs of a proposal that was removed; what fails is logged."""
        try:
            for run in await self._runs.active(proposal.project_id):
                if run.proposal_id == proposal.proposal_id:
                    await self._ask_end(run, by.user_id)
        except (BusyError, StoreUnavailableError) as error:
            # They end by themselves, and an iteration asks for its proposal before it writes.
            _log.warning("runs_not_cancelled", proposal_id=proposal.proposal_id, error=str(error))

    async def _ask_end(self, run: Run, by: str) -> None:
        active = self._active.get(run.run_id)
        if active is not None:
            active.cancel(by)
        else:
            await self._runs.ask_cancel(run.run_id, by)
            await self._control.send("cancel", run.owner, run_id=run.run_id, actor=by)

    async def _on_cancel_message(self, message: dict[str, Any]) -> None:
        active = self._active.get(message["run_id"])
        if active is not None:
            active.cancel(message["actor"])

    async def active_json(self, project_id: str) -> list[RunJson]:
        """The runs of a project that are under way, as clients see them."""
        return [run.to_json() for run in await self._runs.active(project_id)]

    async def run(self) -> None:
        """Keep this worker's leases, and end the runs of workers that lost theirs."""
        await self._leases.run()

    async def stop(self) -> None:
        """End this worker's runs, each with its terminal event."""
        self._stopping = True
        for active in tuple(self._active.values()):
            active.stop()
        try:
            async with asyncio.timeout(STOP_S):
                while self._active:
                    await self._tasks.finish("run")
                    await asyncio.sleep(0)  # one that was being stored may follow
        except TimeoutError:
            _log.warning("runs_not_ended_in_time", runs=len(self._active))


def _queued_fields(run: Run) -> dict[str, Any]:
    return {"kind": run.kind.value, "place": run.place, "actor": run.started_by}


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
