"""The service of runs on real stores: places, turns, cancelling, and one end for each."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from rtserver.audit.record.actions import Action, Outcome
from rtserver.eventlog.api import LogBusyError
from rtserver.eventlog.worker_messages import Control
from rtserver.lib.tasks import TaskOwner
from rtserver.model.errors import BusyError, ForbiddenError, NotFoundError, StoreUnavailableError
from rtserver.model.events import CONTROL_PROJECT, EventType
from rtserver.model.identity import Identity, Role
from rtserver.model.run import RunKind, RunState
from rtserver.observe.metrics import MetricsRegistry
from rtserver.reviews.editing import ProposalService, creation_event
from rtserver.reviews.locks import LockedError, LockService
from rtserver.reviews.proposals import Proposal
from rtserver.reviews.statuses import ProposalStatus
from rtserver.runs.metrics import RunMetrics
from rtserver.runs.model import Run, RunConflictError
from rtserver.runs.service import RunLimits, RunService, proposal_for_run
from rtserver.runs.work import Emit, Ending
from store.base.client import Database
from store.base.relay import OutboxRelay
from store.documents.locks import LOCKS, MongoLocks
from store.documents.proposals import PROPOSALS, MongoProposals
from store.documents.runs import RUNS, MongoRuns
from store.log.writer import MongoEventLog
from tests.support.lease_trust import ScriptedTrust
from tests.support.recorder import LogRecorder
from tests.support.waiting import running, until
from tests.unit.store.parts import make_log

LEASE_S = 60.0
ENDS = {"iteration_complete", "iteration_cancelled", "iteration_error"}


class NotedAudit:
    """What would be recorded."""

    def __init__(self) -> None:
        self.records: list[tuple[Action, Outcome, dict[str, Any]]] = []

    def record(self, action: Action, outcome: Outcome, **details: Any) -> None:
        self.records.append((action, outcome, details))


class FrailRuns(MongoRuns):
    """A store that fails as often as a test says.

    Attributes:
        failures: by method, how many of its next calls fail.
        answers_lost: those calls do what they should, and only their answers are lost.
    """

    failures: dict[str, int]
    answers_lost = False

    async def _fail(self, method: str) -> bool:
        left = self.failures.get(method, 0)
        self.failures[method] = max(0, left - 1)
        if left and not self.answers_lost:
            raise StoreUnavailableError("away")
        return left > 0

    async def create(self, *parts: Any) -> None:
        lost = await self._fail("create")
        await super().create(*parts)
        if lost:
            raise StoreUnavailableError("away")

    async def begin(self, *parts: Any) -> bool:
        lost = await self._fail("begin")
        begun = await super().begin(*parts)
        if lost:
            raise StoreUnavailableError("away")
        return begun

    async def finish(self, *parts: Any) -> bool:
        lost = await self._fail("finish")
        ended = await super().finish(*parts)
        if lost:
            raise StoreUnavailableError("away")
        return ended


class Talk:
    """Work that says words when it is told to, and ends when it is told to."""

    started = EventType.ITERATION_START
    cancelled = EventType.ITERATION_CANCELLED
    failed = EventType.ITERATION_ERROR

    def __init__(self, **fields: Any) -> None:
        self.begun = asyncio.Event()
        self.over = asyncio.Event()
        self.fields = fields
        self.words: asyncio.Queue[str] = asyncio.Queue()

    def start_fields(self) -> dict[str, Any]:
        return {"model": "m"}

    async def carry_out(self, _run: Run, emit: Emit) -> Ending:
        self.begun.set()
        talking = asyncio.create_task(self._talk(emit))
        try:
            await self.over.wait()
        finally:
            talking.cancel()
            await asyncio.wait([talking])
        return Ending(
            RunState.COMPLETED, EventType.ITERATION_COMPLETE, {"files_modified": [], **self.fields}
        )

    async def _talk(self, emit: Emit) -> None:
        while True:
            await emit(EventType.TOKEN, [{"content": await self.words.get()}])


class World:
    """Workers on one database."""

    def __init__(self, db: Database, log: MongoEventLog) -> None:
        self.db = db
        self.log = log
        self.relay = OutboxRelay(db, log, (RUNS, PROPOSALS, LOCKS))
        self.proposals = MongoProposals(db, self.relay)
        self.locks = LockService(MongoLocks(db, self.relay), lease_s=60, trust=ScriptedTrust())
        self.editing = ProposalService(self.proposals, self.locks)
        self.workers: list[WorkerParts] = []

    async def prepare(self) -> None:
        await self.proposals.prepare()
        await MongoRuns(self.db, self.relay, lease_s=LEASE_S).prepare()

    def worker(
        self, *, per_worker: int = 10, per_project: int = 10, queued: int = 10
    ) -> "WorkerParts":
        worker_id = f"w{len(self.workers) + 1}"
        store = FrailRuns(self.db, self.relay, lease_s=LEASE_S)
        store.failures = {}
        audit: Any = NotedAudit()
        tasks = TaskOwner()
        control = Control(self.log, worker_id=worker_id)
        service = RunService(
            store,
            self.proposals,
            self.editing,
            self.log,
            control,
            tasks,
            RunMetrics(MetricsRegistry()),
            audit,
            worker_id=worker_id,
            lease_s=LEASE_S,
            trust=ScriptedTrust(),
            limits=RunLimits(per_worker, per_project, queued),
        )
        worker = WorkerParts(service, store, control, audit, tasks)
        self.workers.append(worker)
        return worker

    async def proposal(self, proposal_id: str, project_id: str = "p1") -> Proposal:
        now = datetime.now(UTC)
        one = Proposal(
            *(proposal_id, project_id, "T", "author", ["ada", "bob", "rev"]),
            *(ProposalStatus.DRAFT, now, now, "author"),
        )
        await self.proposals.create(one, creation_event(one, "author"))
        return one

    async def told(self, project_id: str = "p1") -> list[dict[str, Any]]:
        """All events of runs, in order."""
        head = await self.log.head(project_id)
        packs = await self.log.read(project_id, after=0, upto=head, limit=1000)
        frames = [event.frame() for pack in packs for event in pack.events()]
        return [frame for frame in frames if "run_id" in frame]

    async def types(self, run: Run) -> list[str]:
        frames = await self.told(run.project_id)
        return [frame["type"] for frame in frames if frame["run_id"] == run.run_id]

    async def ended(self, run: Run) -> list[str]:
        """The types of a run's events when it has ended."""

        async def over() -> bool:
            return bool(ENDS & set(await self.types(run)))

        await until(over, "its end")
        for worker in self.workers:
            await worker.tasks.finish("run")
        return await self.types(run)


class WorkerParts:
    """One worker."""

    def __init__(
        self,
        service: RunService,
        store: FrailRuns,
        control: Control,
        audit: NotedAudit,
        tasks: TaskOwner,
    ) -> None:
        self.runs = service
        self.store = store
        self.control = control
        self.audit = audit
        self.tasks = tasks


@asynccontextmanager
async def a_world(db: Database) -> AsyncIterator[World]:
    log = await make_log(db)
    async with running(log.run()):
        world = World(db, log)
        await world.prepare()
        try:
            yield world
        finally:
            for worker in world.workers:
                await worker.runs.stop()
                await worker.tasks.stop()


def user(user_id: str = "ada", *, admin: bool = False, projects: str = "p1") -> Identity:
    roles = frozenset({Role.ADMIN} if admin else ())
    return Identity(user_id, user_id, frozenset({projects}), roles, time.time() + 600)


@pytest.mark.gen_test
async def test_from_start_to_end(db: Database) -> None:
    async with a_world(db) as world:
        worker, work = world.worker(), Talk()
        run = await worker.runs.start(RunKind.ITERATION, await world.proposal("a"), user(), work)
        assert run.state is RunState.RUNNING
        (active,) = await worker.runs.active_json("p1")
        assert active["run_id"] == run.run_id
        await work.words.put("hello")
        work.over.set()
        types = await world.ended(run)
        assert types[0] == "iteration_start"
        assert types[-1] == "iteration_complete"
        start = (await world.told())[0]
        assert (start["actor"], start["model"], start["proposal_id"]) == ("ada", "m", "a")
        # Whoever replays from there gets all of it, and nothing that was before.
        assert run.replay_from is not None
        first = int(start["id"].split("-")[1])
        assert int(run.replay_from.split("-")[1]) == first - 1
        stored = await worker.runs.get(user(), run.run_id)
        assert (stored.state, stored.result) == (RunState.COMPLETED, {"files_modified": []})
        assert await worker.runs.active_json("p1") == []
        ((action, outcome, details),) = worker.audit.records
        assert (action, outcome) == (Action.ITERATION_ENDED, Outcome.ALLOWED)
        assert (details["run_id"], details["state"]) == (run.run_id, "completed")


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.gen_test
async def test_what_others_made_is_kept_as_it_is(db: Database) -> None:
    """A report 180 deep was tried again for ever; a long number ended a run as `worker_lost`."""
    async with a_world(db) as world:
        worker = world.worker()
        made = {
            "report": {"a\0b": 1, "$set": 2, "a.b": 3, "deep": _nested(200)},
            "usage": {"total_tokens": 1 << 70},
        }
        work = Talk(**made)
        run = await worker.runs.start(RunKind.ITERATION, await world.proposal("a"), user(), work)
        work.over.set()
        assert (await world.ended(run))[-1] == "iteration_complete"
        stored = await worker.runs.get(user(), run.run_id)
        assert stored.result == {"files_modified": [], **made}


@pytest.mark.gen_test
async def test_a_run_ends_without_what_cannot_be_kept(db: Database, logs: LogRecorder) -> None:
    logs.expect("run_end_cut_down")
    async with a_world(db) as world:
        worker = world.worker()
        work = Talk(report="x" * (17 << 20), note="short")
        run = await worker.runs.start(RunKind.ITERATION, await world.proposal("a"), user(), work)
        work.over.set()
        assert (await world.ended(run))[-1] == "iteration_complete"
        stored = await worker.runs.get(user(), run.run_id)
        assert stored.result == {"note": "short", "left_out_fields": ["files_modified", "report"]}


@pytest.mark.gen_test
async def test_what_keeps_one_from_starting(db: Database) -> None:
    async with a_world(db) as world:
        worker, work = world.worker(queued=0, per_project=1), Talk()
        one, other = await world.proposal("a"), await world.proposal("b")
        await world.locks.acquire(user("bob"), "p1", "releasing", None)
        with pytest.raises(LockedError):
            await worker.runs.start(RunKind.ITERATION, one, user(), work)
        await world.locks.release(user("bob"), "p1")
        run = await worker.runs.start(RunKind.ITERATION, one, user(), work)
        with pytest.raises(BusyError, match="under way"):
            await worker.runs.start(RunKind.ITERATION, other, user(), Talk())
        work.over.set()
        await world.ended(run)
        # Nothing of all that has cost a place.
        again = await worker.runs.start(RunKind.ITERATION, other, user(), Talk())
        await worker.runs.stop()
        assert (await world.types(again))[-1] == "iteration_error"
        with pytest.raises(BusyError, match="stopping"):
            await worker.runs.start(RunKind.ITERATION, one, user(), Talk())


@pytest.mark.gen_test
async def test_a_second_one_of_a_proposal(db: Database) -> None:
    async with a_world(db) as world:
        one, other = world.worker(per_project=2), world.worker(per_project=2)
        proposal = await world.proposal("a")
        run = await one.runs.start(RunKind.ITERATION, proposal, user(), Talk())
        for worker in (one, other):
            with pytest.raises(RunConflictError) as conflict:
                await worker.runs.start(RunKind.ITERATION, proposal, user("bob"), Talk())
            assert conflict.value.running.run_id == run.run_id
        # The refused ones hold no place: the project has two.
        second = await world.proposal("b")
        later = await other.runs.start(RunKind.ITERATION, second, user(), Talk())
        assert later.state is RunState.RUNNING


@pytest.mark.gen_test
@pytest.mark.parametrize("answers_lost", [False, True])
async def test_a_start_that_fails_leaves_nothing(db: Database, answers_lost: bool) -> None:
    async with a_world(db) as world:
        worker = world.worker(per_worker=1, per_project=1, queued=1)
        proposal = await world.proposal("a")
        worker.store.failures = {"create": 1}
        worker.store.answers_lost = answers_lost
        with pytest.raises(StoreUnavailableError):
            await worker.runs.start(RunKind.ITERATION, proposal, user(), Talk())
        assert len(worker.tasks) == 0
        other = await world.proposal("b")
        run = await worker.runs.start(RunKind.ITERATION, other, user(), Talk())
        assert run.state is RunState.RUNNING


@pytest.mark.gen_test
async def test_runs_wait_for_their_turn(db: Database) -> None:
    async with a_world(db) as world:
        worker = world.worker(per_worker=1)
        works = [Talk() for _ in range(3)]
        runs = [
            await worker.runs.start(
                RunKind.ITERATION, await world.proposal(f"a{number}"), user(), work
            )
            for number, work in enumerate(works)
        ]
        assert [run.state for run in runs] == ["running", "queued", "queued"]
        assert [run.place for run in runs] == [None, 1, 2]
        assert (await worker.runs.get(user(), runs[2].run_id)).place == 2
        works[0].over.set()
        await asyncio.wait_for(works[1].begun.wait(), 20)
        assert not works[2].begun.is_set()

        async def moved_up() -> bool:
            frames = await world.told()
            last = [frame for frame in frames if frame["run_id"] == runs[2].run_id][-1]
            return (last["type"], last.get("place")) == ("run_queued", 1)

        await until(moved_up, "the news of its place")
        # One that waits may be cancelled, and never begins.
        await worker.runs.cancel(user(), runs[2].run_id)
        types = await world.types(runs[2])
        works[1].over.set()
        assert (await world.ended(runs[2]))[-1] == "iteration_cancelled"
        assert await world.ended(runs[1]) == ["run_queued", "iteration_start", "iteration_complete"]
        assert "iteration_start" not in types
        assert not works[2].begun.is_set()


@pytest.mark.gen_test
async def test_places_count_over_all_workers(db: Database) -> None:
    async with a_world(db) as world:
        one, other = world.worker(per_project=1), world.worker(per_project=1)
        works = [Talk(), Talk(), Talk()]
        first = await one.runs.start(RunKind.ITERATION, await world.proposal("a"), user(), works[0])
        second = await other.runs.start(
            RunKind.ITERATION, await world.proposal("b"), user(), works[1]
        )
        elsewhere = await other.runs.start(
            RunKind.ITERATION, await world.proposal("c", "p2"), user(projects="p2"), works[2]
        )
        assert [run.state for run in (first, second, elsewhere)] == ["running", "queued", "running"]
        works[0].over.set()
        await asyncio.wait_for(works[1].begun.wait(), 20)
        assert (await other.runs.get(user(), second.run_id)).state is RunState.RUNNING


@pytest.mark.gen_test
async def test_who_may_cancel(db: Database) -> None:
    async with a_world(db) as world:
        worker = world.worker()
        proposal = await world.proposal("a")
        for canceller in (user("ada"), user("author"), user("root", admin=True)):
            run = await worker.runs.start(RunKind.ITERATION, proposal, user("ada"), Talk())
            for stranger in (user("rev"), user("eve")):
                with pytest.raises(ForbiddenError):
                    await worker.runs.cancel(stranger, run.run_id)
            with pytest.raises(NotFoundError):
                await worker.runs.cancel(user("ada", projects="p2"), run.run_id)
            with pytest.raises(NotFoundError):
                await worker.runs.cancel(user("ada"), run.run_id, RunKind.VALIDATION)
            await worker.runs.cancel(canceller, run.run_id)
            assert await world.ended(run) == ["iteration_start", "iteration_cancelled"]
            assert (await world.told())[-1]["actor"] == canceller.user_id
            # Once more is no error, and changes nothing.
            await worker.runs.cancel(user("ada"), run.run_id)
        assert [details["cancelled_by"] for _, _, details in worker.audit.records] == [
            *("ada", "author", "root")
        ]


@pytest.mark.gen_test
async def test_cancelling_on_a_worker_that_does_not_own_it(db: Database) -> None:
    async with a_world(db) as world:
        owner, other = world.worker(), world.worker()
        run = await owner.runs.start(RunKind.ITERATION, await world.proposal("a"), user(), Talk())
        await other.runs.cancel(user(), run.run_id)
        stored = await other.runs.get(user(), run.run_id)
        assert stored.cancel_by == "ada"  # so that it outlives a message that is lost
        packs = await world.log.read(CONTROL_PROJECT, after=0, upto=99, limit=9)
        for event in (event for pack in packs for event in pack.events()):
            await other.control.on_event(event)
            await owner.control.on_event(event)
        assert await world.ended(run) == ["iteration_start", "iteration_cancelled"]


@pytest.mark.gen_test
@pytest.mark.parametrize("answers_lost", [False, True])
async def test_an_outage_around_begin_and_end(
    db: Database, logs: LogRecorder, answers_lost: bool
) -> None:
    async with a_world(db) as world:
        worker, first, work = world.worker(per_worker=1), Talk(), Talk()
        before = await worker.runs.start(
            RunKind.ITERATION, await world.proposal("a"), user(), first
        )
        run = await worker.runs.start(RunKind.ITERATION, await world.proposal("b"), user(), work)
        worker.store.answers_lost = answers_lost
        worker.store.failures = {"begin": 2, "finish": 2}
        first.over.set()
        work.over.set()
        assert await world.ended(before) == ["iteration_start", "iteration_complete"]
        await until(lambda: len(worker.audit.records) == 2, "both ends in the audit log")
        assert await world.ended(run) == ["run_queued", "iteration_start", "iteration_complete"]
        warned = {line["event"] for line in logs.lines if line["level"] == "warning"}
        assert {"run_not_begun_yet", "run_end_not_stored"} <= warned
        assert "run_was_ended_elsewhere" not in [line["event"] for line in logs.lines]


@pytest.mark.gen_test
async def test_words_wait_for_a_log_that_is_behind(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_world(db) as world:
        worker, work = world.worker(), Talk()
        run = await worker.runs.start(RunKind.ITERATION, await world.proposal("a"), user(), work)
        await asyncio.wait_for(work.begun.wait(), 10)
        publish, refused = world.log.publish, [LogBusyError(retry_after_s=0) for _ in range(3)]

        async def busy(*parts: Any, **options: Any) -> Any:
            if refused:
                raise refused.pop()
            return await publish(*parts, **options)

        monkeypatch.setattr(world.log, "publish", busy)
        await work.words.put("hello")

        async def said() -> bool:
            return "token" in await world.types(run)

        await until(said, "the word")
        assert refused == []


@pytest.mark.gen_test
async def test_which_proposal_is_meant(db: Database) -> None:
    async with a_world(db) as world:
        await world.proposal("a")
        found = await proposal_for_run(world.proposals, user(), "a", "p1")
        assert found.proposal_id == "a"
        for identity, proposal_id, project_id in [
            (user(), "b", None),
            (user(projects="p2"), "a", None),
            (user("root", admin=True), "a", "p2"),
        ]:
            with pytest.raises(NotFoundError):
                await proposal_for_run(world.proposals, identity, proposal_id, project_id)
