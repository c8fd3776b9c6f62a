"""Leases of runs: a worker keeps those of its own, and ends the runs whose lease lapsed."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import structlog

from rtserver.lib.lease_trust import LeaseTrust
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import EventDraft, EventType
from rtserver.model.run import RunKind, RunState
from rtserver.runs.active_run import ActiveRun
from rtserver.runs.model import Run, RunStore
from rtserver.runs.work import Salvage

MAX_INTERVAL_S = 2.0

_FAILED = {
    RunKind.VALIDATION: EventType.VALIDATION_ERROR,
    RunKind.ITERATION: EventType.ITERATION_ERROR,
}
_GONE = "The server that carried this out is gone; start it again"

_log = structlog.get_logger()

Draft = Callable[[Run, EventType, dict[str, Any]], EventDraft]


class RunLeases:
    """`run` is the loop; the caller owns its task."""

    def __init__(
        self,
        runs: RunStore,
        worker_id: str,
        lease_s: float,
        *,
        trust: LeaseTrust,
        active: Callable[[], Iterable[ActiveRun]],
        draft: Draft,
        salvage: Mapping[RunKind, Salvage],
        on_lost: Callable[[Run, RunState, dict[str, Any]], None],
    ) -> None:
        """Make the loop.

        Args:
            runs: the store.
            worker_id: this worker.
            lease_s: how long a lease lasts.
            trust: says whether leases that look lapsed are.
            active: the runs of this worker.
            draft: makes an event of a run.
            salvage: by kind, what to do about what a lost worker left.
            on_lost: called for each run that this worker ended so, with its terminal fields.
        """
        self._runs = runs
        self._worker_id = worker_id
        self._lease_s = lease_s
        self._active = active
        self._draft = draft
        self._salvage = salvage
        self._on_lost = on_lost
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
        known = [active for active in self._active() if active.stored]
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
        mine = {active.run.run_id for active in self._active()}
        for run in lapsed:
            if run.run_id in mine:
                continue
            fields = {"reason": "worker_lost", **await self._salvaged(run)}
            if await self._runs.lose(run, fields, self._draft(run, _FAILED[run.kind], fields)):
                _log.warning("run_of_lost_worker_ended", run_id=run.run_id, owner=run.owner)
                self._on_lost(run, RunState.ERROR, fields)

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
