"""Leases of runs: a worker renews those that it holds, and ends the runs whose lease lapsed."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, Protocol

import structlog

from rtserver.lib.lease_trust import LeaseTrust
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import EventType
from rtserver.model.run import RunKind, RunState
from rtserver.runs.active_run import ActiveRun
from rtserver.runs.model import Run, RunStore
from rtserver.runs.run_log import run_event
from rtserver.runs.work import Salvage

MAX_INTERVAL_S = 2.0

_FAILED = {
    RunKind.VALIDATION: EventType.VALIDATION_ERROR,
    RunKind.ITERATION: EventType.ITERATION_ERROR,
}
_GONE = "The server that carried this out is gone; start it again"

_log = structlog.get_logger()


class RunOwner(Protocol):
    """Has the runs of this worker; see `rtserver.runs.service.RunService`."""

    def active_runs(self) -> Iterable[ActiveRun]:
        """Those that are under way or wait, as of now."""

    def record_end(self, run: Run, state: RunState, fields: Mapping[str, Any]) -> None:
        """A run has ended here, with these terminal fields."""


class RunLeases:
    """`run` is the loop; the caller owns its task."""

    def __init__(
        self,
        runs: RunStore,
        owner: RunOwner,
        worker_id: str,
        lease_s: float,
        *,
        trust: LeaseTrust,
        salvage: Mapping[RunKind, Salvage],
    ) -> None:
        """Make the loop.

        Args:
            runs: the store.
            owner: has the runs of this worker, and records the ends of those that others lost.
            worker_id: this worker.
            lease_s: how long a lease lasts.
            trust: says whether leases that look lapsed are.
            salvage: by kind, what to do about what a lost worker left.
        """
        self._runs = runs
        self._worker_id = worker_id
        self._lease_s = lease_s
        self._owner = owner
        self._salvage = salvage
        self._trust = trust

    async def run(self) -> NoReturn:
        """Renew and look, until cancelled."""
        interval_s = min(self._lease_s / 3, MAX_INTERVAL_S)
        while True:
            try:
                await self._renew()
                if self._trust.holds():
                    await self._end(await self._runs.lapsed())
            except StoreUnavailableError as error:
                _log.warning("run_leases_not_renewed", error=str(error))
            except Exception:  # noqa: BLE001 - without this loop no run would be safe any more
                _log.exception("run_leases_failed")
            await asyncio.sleep(interval_s)

    async def _renew(self) -> None:
        # Snapshot first: a run that starts meanwhile is for the next round.
        known = [active for active in self._owner.active_runs() if active.stored]
        if not known:
            return
        runs = [active.run for active in known]
        began_s = asyncio.get_running_loop().time()
        held = {run.run_id: run for run in await self._runs.renew(runs, self._worker_id)}
        for active in known:
            run = held.get(active.run.run_id)
            if run is None:
                active.lose()
                continue
            active.confirm(began_s)
            if run.cancel_by is not None:
                active.cancel(run.cancel_by)

    async def _end(self, lapsed: list[Run]) -> None:
        mine = {active.run.run_id for active in self._owner.active_runs()}
        for run in lapsed:
            if run.run_id in mine:
                continue
            fields = {"reason": "worker_lost", **await self._salvaged(run)}
            if await self._runs.lose(run, fields, run_event(run, _FAILED[run.kind], fields)):
                _log.warning("run_of_lost_worker_ended", run_id=run.run_id, owner=run.owner)
                self._owner.record_end(run, RunState.ERROR, fields)

    async def _salvaged(self, run: Run) -> dict[str, Any]:
        salvage = self._salvage.get(run.kind)
        if salvage is None:
            return {"error": _GONE}
        try:
            return await salvage(run)
        except StoreUnavailableError:
            raise  # the next round tries again
        except Exception:  # noqa: BLE001 - the run has to end whatever is left of it
            _log.exception("run_not_salvaged", run_id=run.run_id)
            return {"error": _GONE}
