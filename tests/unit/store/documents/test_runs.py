"""Runs on a real MongoDB: each change and its event are one, and each run ends once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rtserver.model.audience import viewers_of
from rtserver.model.events import EventDraft, EventType
from rtserver.model.moments import present_moment
from rtserver.model.run import JudgedText, RunKind, RunState
from rtserver.reviews.editing import creation_event
from rtserver.reviews.pages import Place
from rtserver.reviews.proposals import Proposal
from rtserver.reviews.statuses import ProposalStatus
from rtserver.runs.model import Run, RunConflictError
from store.base.client import Database
from store.base.relay import OutboxRelay
from store.documents.proposals import PROPOSALS, MongoProposals
from store.documents.runs import RUNS, MongoRuns, note_last_run, telling_in_order
from store.log.writer import MongoEventLog
from tests.support.waiting import running
from tests.unit.store.parts import make_log

LEASE_S = 60.0


class World:
    """The store of runs, and the log behind it."""

    def __init__(self, db: Database, log: MongoEventLog) -> None:
        self.db = db
        self.log = log
        self.relay = OutboxRelay(db, log, (RUNS,))
        self.runs = MongoRuns(db, self.relay, lease_s=LEASE_S)

    async def told(self) -> list[tuple[str, str]]:
        """Run and type of each event, in order."""
        head = await self.log.head("p1")
        packs = await self.log.read("p1", after=0, upto=head, limit=1000)
        frames = [event.frame() for pack in packs for event in pack.events()]
        return [(frame["run_id"], frame["type"]) for frame in frames]

    async def create(self, run: Run) -> Run:
        type_ = EventType.RUN_QUEUED if run.state is RunState.QUEUED else EventType.ITERATION_START
        await self.runs.create(run, draft(run, type_))
        return run

    async def lapse(self, *run_ids: str) -> None:
        past = datetime.now(UTC) - timedelta(seconds=5)
        await self.db[RUNS].update_many(
            {"_id": {"$in": list(run_ids)}}, {"$set": {"lease_until": past}}
        )


def a_run(
    run_id: str = "r1",
    *,
    proposal_id: str = "a",
    kind: RunKind = RunKind.ITERATION,
    owner: str = "w1",
    state: RunState = RunState.RUNNING,
    age_s: float = 0,
) -> Run:
    started = datetime.now(UTC) - timedelta(seconds=age_s)
    return Run(run_id, kind, "p1", proposal_id, owner, "ada", started, state)


def draft(run: Run, type_: EventType, **fields: Any) -> EventDraft:
    return EventDraft(
        run.project_id,
        type_,
        {"run_id": run.run_id, **fields},
        audience=viewers_of(run.proposal_id),
        proposal_id=run.proposal_id,
    )


@asynccontextmanager
async def a_world(db: Database) -> AsyncIterator[World]:
    log = await make_log(db)
    async with running(log.run()):
        world = World(db, log)
        await world.runs.prepare()
        yield world


@pytest.mark.gen_test
async def test_from_start_to_end(db: Database) -> None:
    async with a_world(db) as world:
        run = await world.create(a_run())
        stored = await world.runs.get("r1")
        assert stored is not None
        assert (stored.state, stored.started_by, stored.result) == (RunState.RUNNING, "ada", {})
        assert await world.runs.progress(run, "writing", ["a.md", "$b.md"])
        stored = await world.runs.get("r1")
        assert stored is not None
        assert (stored.stage, stored.files) == ("writing", ["a.md", "$b.md"])
        fields = {"usage": {"total_tokens": 3}}
        ended = draft(run, EventType.ITERATION_COMPLETE, **fields)
        assert await world.runs.finish(run, RunState.COMPLETED, fields, ended)
        stored = await world.runs.get("r1")
        assert stored is not None
        assert (stored.state, stored.result) == (RunState.COMPLETED, fields)
        assert stored.ended_at is not None
        assert await world.told() == [("r1", "iteration_start"), ("r1", "iteration_complete")]
        assert await world.relay.sweep() == 0  # nothing was left for it
        assert await world.runs.active("p1") == []
        assert not await world.runs.progress(run, "validating", [])
        assert await world.runs.get("r2") is None


@pytest.mark.gen_test
async def test_one_of_a_kind_at_a_time(db: Database) -> None:
    async with a_world(db) as world:
        first = await world.create(a_run("r1"))
        with pytest.raises(RunConflictError) as conflict:
            await world.create(a_run("r2"))
        assert conflict.value.running.run_id == "r1"
        await world.create(first)  # an attempt whose answer was lost
        await world.create(a_run("r3", kind=RunKind.VALIDATION))
        await world.create(a_run("r4", proposal_id="b"))
        await world.runs.finish(
            first, RunState.CANCELLED, {}, draft(first, EventType.ITERATION_CANCELLED)
        )
        await world.create(a_run("r5"))
        assert sorted([run.run_id for run in await world.runs.active("p1")]) == ["r3", "r4", "r5"]
        assert [told for told in await world.told() if told[0] in ("r1", "r2")] == [
            ("r1", "iteration_start"),
            ("r1", "iteration_cancelled"),
        ]


@pytest.mark.gen_test
async def test_two_start_at_once(db: Database) -> None:
    async with a_world(db) as world:
        results = await asyncio.gather(
            *(world.create(a_run(f"r{n}", owner=f"w{n}")) for n in range(8)),
            return_exceptions=True,
        )
        assert sum(isinstance(result, Run) for result in results) == 1
        assert sum(isinstance(result, RunConflictError) for result in results) == 7
        assert len(await world.told()) == 1


@pytest.mark.gen_test
async def test_begin_and_finish_may_be_tried_again(db: Database) -> None:
    """An answer that was lost on its way: the second attempt says the same, and tells nobody."""
    async with a_world(db) as world:
        run = await world.create(a_run(state=RunState.QUEUED))
        for _ in range(2):
            assert await world.runs.begin(run, draft(run, EventType.ITERATION_START))
        fields = {"reason": "internal"}
        ended = draft(run, EventType.ITERATION_ERROR, **fields)
        for _ in range(2):
            assert await world.runs.finish(run, RunState.ERROR, fields, ended)
        assert not await world.runs.finish(run, RunState.COMPLETED, {}, ended)
        assert not await world.runs.finish(run, RunState.ERROR, {"reason": "other"}, ended)
        assert not await world.runs.begin(run, draft(run, EventType.ITERATION_START))
        assert await world.told() == [
            ("r1", "run_queued"),
            ("r1", "iteration_start"),
            ("r1", "iteration_error"),
        ]


@pytest.mark.gen_test
async def test_only_its_owner_may_end_it(db: Database) -> None:
    async with a_world(db) as world:
        run = await world.create(a_run())
        stranger = a_run(owner="w2")
        ended = draft(run, EventType.ITERATION_ERROR)
        assert not await world.runs.finish(stranger, RunState.ERROR, {}, ended)
        assert not await world.runs.progress(stranger, "writing", [])
        assert not await world.runs.begin(stranger, ended)
        # Nor may anybody take it for lost while its lease runs.
        assert await world.runs.lapsed() == []
        assert not await world.runs.lose(run, {}, ended)
        stored = await world.runs.get("r1")
        assert stored is not None
        assert stored.state is RunState.RUNNING


@pytest.mark.gen_test
async def test_a_lapsed_lease_ends_it_once_though_many_see_it(db: Database) -> None:
    async with a_world(db) as world:
        run = await world.create(a_run())
        await world.lapse("r1")
        lapsed = await world.runs.lapsed()
        assert [one.run_id for one in lapsed] == ["r1"]
        fields = {"reason": "worker_lost"}
        ended = draft(run, EventType.ITERATION_ERROR, **fields)
        results = await asyncio.gather(*(world.runs.lose(run, fields, ended) for _ in range(8)))
        assert sorted(results) == [False] * 7 + [True]
        # The owner comes back, and is too late.
        assert await world.runs.renew([run], "w1") == []
        late = draft(run, EventType.ITERATION_COMPLETE)
        assert not await world.runs.finish(run, RunState.COMPLETED, {}, late)
        assert await world.told() == [("r1", "iteration_start"), ("r1", "iteration_error")]


@pytest.mark.gen_test
async def test_an_owner_that_comes_back_in_time_keeps_it(db: Database) -> None:
    async with a_world(db) as world:
        run = await world.create(a_run())
        other = await world.create(a_run("r2", proposal_id="b", owner="w2"))
        await world.lapse("r1", "r2")
        (lapsed,) = [one for one in await world.runs.lapsed() if one.run_id == "r1"]
        assert [one.run_id for one in await world.runs.renew([run, other], "w1")] == ["r1"]
        assert not await world.runs.lose(lapsed, {}, draft(run, EventType.ITERATION_ERROR))
        assert [one.run_id for one in await world.runs.lapsed()] == ["r2"]


@pytest.mark.gen_test
async def test_a_run_whose_worker_died_before_the_first_lease(db: Database) -> None:
    async with a_world(db) as world:
        await world.create(a_run("r1", age_s=LEASE_S + 5))
        await world.create(a_run("r2", proposal_id="b"))
        await db[RUNS].update_many({}, {"$unset": {"lease_until": ""}})
        assert [run.run_id for run in await world.runs.lapsed()] == ["r1"]


@pytest.mark.gen_test
async def test_the_wish_to_cancel_outlives_whoever_had_it(db: Database) -> None:
    async with a_world(db) as world:
        run = await world.create(a_run())
        await world.runs.ask_cancel("r1", "bob")
        (renewed,) = await world.runs.renew([run], "w1")
        assert renewed.cancel_by == "bob"
        await world.runs.ask_cancel("r2", "bob")  # there is none, or no more


@pytest.mark.gen_test
async def test_places_of_those_that_wait(db: Database) -> None:
    async with a_world(db) as world:
        for number, state in enumerate([RunState.RUNNING, *[RunState.QUEUED] * 3]):
            run = a_run(f"r{number}", proposal_id=f"p{number}", state=state, age_s=10 - number)
            await world.create(run)
        active = await world.runs.active("p1")
        assert [(run.run_id, run.place) for run in active] == [
            *[("r0", None), ("r1", 1), ("r2", 2), ("r3", 3)]
        ]
        assert await world.runs.active("p2") == []


@pytest.mark.gen_test
async def test_the_newest_verdict(db: Database) -> None:
    async with a_world(db) as world:
        assert await world.runs.last_validation("a") is None
        verdicts: list[tuple[RunKind, RunState, dict[str, Any]]] = [
            (RunKind.VALIDATION, RunState.FAILED, {"status": "failed", "summary": {"report": 1}}),
            (RunKind.ITERATION, RunState.COMPLETED, {"validation": {"status": "passed"}}),
            (RunKind.VALIDATION, RunState.ERROR, {"reason": "timeout"}),
            (RunKind.ITERATION, RunState.COMPLETED, {"validation": {"status": "error"}}),
        ]
        expected: list[Any] = [verdicts[0][2], {"status": "passed"}, *[{"status": "passed"}] * 2]
        for number, (kind, state, result) in enumerate(verdicts):
            run = await world.create(a_run(f"r{number}", kind=kind))
            await world.runs.finish(run, state, result, draft(run, EventType.ITERATION_COMPLETE))
            # Ends within one millisecond would have no order.
            await db[RUNS].update_one(
                {"_id": run.run_id},
                {"$set": {"ended_at": datetime.now(UTC) + timedelta(seconds=number)}},
            )
            assert await world.runs.last_validation("a") == expected[number]
        assert await world.runs.last_validation("b") is None


class Relayless(OutboxRelay):
    """A worker that dies right after a change."""

    async def try_relay(self, collection: str, document: dict[str, Any]) -> None:
        """Never get here."""


@pytest.mark.gen_test
async def test_a_proposals_runs_newest_first_in_pages_without_what_they_said(db: Database) -> None:
    async with a_world(db) as world:
        ages = [30, 20, 20, 20, 10]
        for number, age_s in enumerate(ages):
            # In the order of time, which is not that of the ids; several have one moment.
            run = a_run(f"r{9 - number}")
            run.started_at = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(seconds=age_s)
            await world.create(run)
            said = {"validation": {"status": "failed", "report": "x" * 1000}}
            ended = draft(run, EventType.ITERATION_COMPLETE)
            await world.runs.finish(run, RunState.COMPLETED, said, ended)
        await world.create(a_run("other", proposal_id="b"))
        await world.create(a_run("now"))
        found: list[Run] = []
        wanted = ["now", "r5", "r8", "r7", "r6", "r9"]
        for limit in (1, 2, 5, 6, 7):
            found = []
            after: Place | None = None
            while True:
                page, more = await world.runs.of_proposal("a", after=after, limit=limit)
                found += page
                if not more:
                    break
                after = Place.parse(str(page[-1].place_in_list))
            assert [run.run_id for run in found] == wanted
        assert found[0].to_summary().keys() == {
            *("run_id", "kind", "proposal_id", "state", "started_by", "started_at")
        }
        assert found[1].result == {}
        assert found[1].to_summary()["verdict"] == "failed"
        plan = (
            await db[RUNS]
            .find({"proposal_id": "a"})
            .sort([("started_at", -1), ("_id", -1)])
            .explain()
        )
        assert "'SORT'" not in str(plan["queryPlanner"]["winningPlan"])


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.gen_test
async def test_how_the_last_runs_ended_stands_with_their_proposal(db: Database, dies: bool) -> None:
    async with a_world(db) as world:
        parts: Any = (db, world.log, (RUNS, PROPOSALS), None, {RUNS: note_last_run})
        relay = OutboxRelay(*parts)
        runs = MongoRuns(db, Relayless(*parts) if dies else relay, lease_s=LEASE_S)
        proposals = MongoProposals(db, relay)
        now = present_moment()
        for name in ("a", "b"):
            one = Proposal(name, "p1", "T", "ada", [], ProposalStatus.DRAFT, now, now, "ada")
            await proposals.create(one, creation_event(one, "ada"))
        text: JudgedText = {"number": 3, "digest": "sha256:3", "at": "then"}

        async def end(run_id: str, kind: RunKind, state: RunState, **said: Any) -> None:
            run = a_run(run_id, kind=kind)
            await runs.create(run, draft(run, EventType.VALIDATION_START))
            ended = draft(run, EventType.VALIDATION_COMPLETE, **said)
            assert await runs.finish(run, state, said, ended)

        await end("v1", RunKind.VALIDATION, RunState.FAILED, status="failed", revision=text)
        await end("v2", RunKind.VALIDATION, RunState.ERROR, error="x", reason="timeout")
        judged = {"validation": {"status": "passed"}, "revision": text}
        await end("i1", RunKind.ITERATION, RunState.COMPLETED, **judged)
        await end("v3", RunKind.VALIDATION, RunState.CANCELLED, actor="ben")
        await end("i2", RunKind.ITERATION, RunState.ERROR, error="x", reason="upstream_cut")
        await asyncio.gather(relay.sweep(), relay.sweep())
        last = await runs.last_of(["b", "a", "none"])
        assert [(run["run_id"], run["state"]) for run in last.runs] == [
            ("i2", "error"),
            ("v3", "cancelled"),
        ]
        assert last.runs[0]["reason"] == "upstream_cut"
        # What came to no verdict hides none.
        (verdict,) = last.verdicts
        assert (verdict["run_id"], verdict["verdict"]) == ("i1", "passed")
        assert verdict["revision"] == text
        assert verdict["ended_at"].endswith("Z")
        # An end that is noted late takes nothing back, and the runs may be gone.
        ended = await db[RUNS].find_one({"_id": "v1"})
        assert ended is not None
        await note_last_run(db, ended, {})
        await db[RUNS].delete_many({})
        assert await runs.last_of(["a"]) == last


@pytest.mark.gen_test
async def test_no_run_is_told_to_begin_before_the_end_of_the_one_before(db: Database) -> None:
    """Its worker was slower to tell of it than another one to begin the next."""
    async with a_world(db) as world:
        parts: Any = (db, world.log, (RUNS,), None, {RUNS: telling_in_order(lambda: relay)})
        relay = OutboxRelay(*parts)
        slow = MongoRuns(db, Relayless(*parts), lease_s=LEASE_S)
        for n in (1, 2):
            run = a_run(f"r{n}", age_s=10 - n)
            await slow.create(run, draft(run, EventType.ITERATION_START))
            assert await slow.finish(
                run, RunState.COMPLETED, {}, draft(run, EventType.ITERATION_COMPLETE)
            )
        last = a_run("r3")
        await MongoRuns(db, relay, lease_s=LEASE_S).create(
            last, draft(last, EventType.ITERATION_START)
        )
        assert await world.told() == [
            ("r1", "iteration_start"),
            ("r1", "iteration_complete"),
            ("r2", "iteration_start"),
            ("r2", "iteration_complete"),
            ("r3", "iteration_start"),
        ]
        assert await relay.sweep() == 0
