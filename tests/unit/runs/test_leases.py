"""The loop that keeps leases: whose runs it ends, and whose it leaves alone."""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from rtserver.lib.lease_trust import LeaseTrust
from rtserver.model.events import EventDraft
from rtserver.model.run import RunKind, RunState
from rtserver.runs.active_run import ActiveRun
from rtserver.runs.leases import MAX_INTERVAL_S, RunLeases
from rtserver.runs.model import Run
from rtserver.runs.work import Salvage
from tests.support.lease_trust import ScriptedTrust
from tests.support.recorder import LogRecorder
from tests.support.waiting import running, until
from tests.unit.runs.test_active_run import ScriptedWork, never

LEASE_S = 0.3


class ScriptedStore:
    """The part of the store that the loop uses; the leases in it are the test's to let lapse.

    Attributes:
        runs: those under way, by id.
        lapsed_ids: whose lease has run out.
        ended: terminal events and fields, by run id.
        rounds: how often it was asked for lapsed runs.
        failure: raised instead of every answer.
    """

    def __init__(self, *runs: Run) -> None:
        self.runs = {run.run_id: run for run in runs}
        self.lapsed_ids: set[str] = set()
        self.ended: dict[str, tuple[str, dict[str, Any]]] = {}
        self.rounds = 0
        self.failure: Exception | None = None

    async def _answer(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def renew(self, runs: Sequence[Run], owner: str) -> list[Run]:
        await self._answer()
        held = [self.runs[run.run_id] for run in runs if run.run_id in self.runs]
        return [run for run in held if run.owner == owner]

    async def lapsed(self) -> list[Run]:
        self.rounds += 1
        await self._answer()
        return [run for run_id, run in self.runs.items() if run_id in self.lapsed_ids]

    async def lose(self, run: Run, result: dict[str, Any], ended: EventDraft) -> bool:
        await self._answer()
        if self.runs.pop(run.run_id, None) is None:
            return False
        self.ended[run.run_id] = (ended.type, result)
        return True

    async def rounds_later(self, count: int) -> None:
        """Wait for so many further rounds."""
        target = self.rounds + count
        await until(lambda: self.rounds >= target, f"{count} rounds")


def a_run(run_id: str, owner: str, kind: RunKind = RunKind.ITERATION) -> Run:
    return Run(run_id, kind, "p1", run_id, owner, "ada", datetime.now(UTC))


def carried_out(run: Run, *, stored: bool = True) -> ActiveRun:
    active = ActiveRun(run, ScriptedWork(never), has_place=True)
    active.stored = stored
    return active


class Owner:
    """A worker with runs, which notes those whose end it is to record."""

    def __init__(self, mine: Sequence[ActiveRun], lost: list[str]) -> None:
        self._mine = mine
        self._lost = lost

    def active_runs(self) -> Sequence[ActiveRun]:
        return self._mine

    def record_end(self, run: Run, state: RunState, fields: Mapping[str, Any]) -> None:
        assert (state, fields["reason"]) == (RunState.ERROR, "worker_lost")
        self._lost.append(run.run_id)


@asynccontextmanager
async def leases(
    store: ScriptedStore,
    *mine: ActiveRun,
    worker_id: str = "w1",
    lease_s: float = LEASE_S,
    trust: LeaseTrust | None = None,
    salvage: Mapping[RunKind, Salvage] | None = None,
    lost: list[str] | None = None,
) -> AsyncIterator[None]:
    parts: Any = store
    loop = RunLeases(
        parts,
        Owner(mine, [] if lost is None else lost),
        worker_id,
        lease_s,
        trust=trust or ScriptedTrust(),
        salvage=salvage or {},
    )
    async with running(loop.run()):
        yield


@pytest.mark.gen_test
async def test_runs_of_a_lost_worker_are_ended_each_once(logs: LogRecorder) -> None:
    store = ScriptedStore(a_run("i", "gone"), a_run("v", "gone", RunKind.VALIDATION))
    store.lapsed_ids = {"i", "v"}
    lost: list[str] = []

    async def salvage(run: Run) -> dict[str, Any]:
        return {"error": f"nothing was written for {run.run_id}"}

    kinds = {RunKind.ITERATION: salvage}
    async with (
        leases(store, salvage=kinds, lost=lost),
        leases(store, worker_id="w2", salvage=kinds, lost=lost),
    ):
        await until(lambda: len(store.ended) == 2, "two ends")
        await store.rounds_later(4)
    assert sorted(lost) == ["i", "v"]
    type_, fields = store.ended["i"]
    assert (type_, fields["error"]) == ("iteration_error", "nothing was written for i")
    type_, fields = store.ended["v"]
    assert type_ == "validation_error"
    assert "start it again" in fields["error"]
    ended = [line for line in logs.lines if line["event"] == "run_of_lost_worker_ended"]
    assert len(ended) == 2


@pytest.mark.gen_test
async def test_an_end_does_not_wait_for_what_can_not_be_salvaged(logs: LogRecorder) -> None:
    logs.expect("run_not_salvaged")
    store = ScriptedStore(a_run("i", "gone"))
    store.lapsed_ids = {"i"}

    async def salvage(_run: Run) -> dict[str, Any]:
        raise OSError("the disk is gone")

    async with leases(store, salvage={RunKind.ITERATION: salvage}):
        await until(lambda: bool(store.ended), "an end")
    assert "the disk" not in store.ended["i"][1]["error"]


@pytest.mark.gen_test
async def test_one_s_own_runs_are_renewed_and_never_ended() -> None:
    mine, new = carried_out(a_run("mine", "w1")), carried_out(a_run("new", "w1"), stored=False)
    store = ScriptedStore(mine.run)
    store.lapsed_ids = {"mine"}
    async with leases(store, mine, new):
        await store.rounds_later(3)
    now_s = asyncio.get_running_loop().time()
    assert now_s - LEASE_S < mine.confirmed_s <= now_s
    assert not mine.interrupted
    assert store.ended == {}
    # One that is just being stored is nobody's business yet.
    assert (new.confirmed_s, new.lost) == (-math.inf, False)


@pytest.mark.gen_test
async def test_what_others_did_to_a_run_is_noticed() -> None:
    gone, unwanted = carried_out(a_run("gone", "w1")), carried_out(a_run("unwanted", "w1"))
    store = ScriptedStore(unwanted.run)
    unwanted.run.cancel_by = "bob"
    async with leases(store, gone, unwanted):
        await until(lambda: gone.lost and unwanted.cancel_by is not None, "both to end")
    assert unwanted.cancel_by == "bob"
    assert not unwanted.lost


@pytest.mark.gen_test
async def test_after_an_outage_others_get_the_time_to_come_back() -> None:
    """Nobody could renew meanwhile, so that all leases have lapsed although their owners live."""
    mine = carried_out(a_run("mine", "w1"))
    store = ScriptedStore(mine.run, a_run("i", "other"))
    store.lapsed_ids = {"i"}
    trust = ScriptedTrust()
    trust.outage()
    async with leases(store, mine, trust=trust):
        await until(lambda: mine.confirmed_s > 0, "a round")
        renewed_s = mine.confirmed_s
        await until(lambda: mine.confirmed_s > renewed_s, "another round")
        assert store.ended == {}
        trust.over()
        await until(lambda: bool(store.ended), "its end, for the owner did not come back")


@pytest.mark.gen_test
async def test_a_defect_does_not_end_the_loop(logs: LogRecorder) -> None:
    logs.expect("run_leases_failed")
    mine = carried_out(a_run("mine", "w1"))
    store = ScriptedStore(mine.run)
    store.failure = ValueError("a defect")
    async with leases(store, mine):
        await until(lambda: any(line["event"] == "run_leases_failed" for line in logs.lines), "it")
        store.failure = None
        await until(lambda: mine.confirmed_s > 0, "a renewal")


def test_rounds_are_short_enough_for_an_end_within_the_lease_and_five_seconds() -> None:
    """One round may look a moment before the lapse, and the next one waits an interval."""
    assert 2 * MAX_INTERVAL_S < 5
