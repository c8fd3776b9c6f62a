"""An active run: a run on the worker that carries it out."""

import asyncio
import math
from typing import Any

import structlog

from rtserver.lib.tasks import TaskOwner
from rtserver.model.events import EventType
from rtserver.model.run import RunState
from rtserver.runs.model import Run
from rtserver.runs.work import Emit, Ending, Work

_log = structlog.get_logger()


class ActiveRun:
    """A run from its start to its end.

    The work is a separate task, which may be cancelled at any moment, also before its first
    step; a task that awaits `ending` is not cancelled by that and always learns how the run ended.

    Attributes:
        run: what is stored of it.
        turn: done when the run need not wait any more: True where it has a place, False where it
            was interrupted before.
        stored: whether the store has it.
        finishing: its end is known, and being stored.
        lost: another worker has ended it.
        cancel_by: who cancelled it, if somebody did.
        told_place: the place in the queue that viewers were told last.
        confirmed_s: loop time at which the store was asked that said last that it is this worker's.
    """

    def __init__(self, run: Run, work: Work, *, has_place: bool) -> None:
        self.run = run
        self.work = work
        self.turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if has_place:
            self.turn.set_result(True)
        self.stored = False
        self.finishing = False
        self.lost = False
        self.cancel_by: str | None = None
        self.told_place: int | None = None
        self.confirmed_s = -math.inf
        self._renewed = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[Ending] | None = None

    def cancel(self, by: str) -> None:
        """End it because somebody asked for it."""
        if self.cancel_by is None and not self.finishing:
            self.cancel_by = by
            self._interrupt()

    def confirm(self, asked_s: float) -> None:
        """The store, asked at that loop time, has renewed its lease."""
        self.confirmed_s = asked_s
        self._renewed.set()

    async def confirmed(self) -> None:
        """Return when the store, asked from now on, has said that it is still this worker's."""
        asked_s = asyncio.get_running_loop().time()
        while self.confirmed_s < asked_s:
            self._renewed.clear()
            await self._renewed.wait()

    def lose(self) -> None:
        """Stop: another worker has ended it."""
        if not self.lost and not self.finishing:
            self.lost = True
            _log.warning("run_lost", run_id=self.run.run_id)
            self._interrupt()

    def stop(self) -> None:
        """End it because the server stops."""
        self._stopping = True
        self._interrupt()

    @property
    def interrupted(self) -> bool:
        """Whether it is to end before its time."""
        return self._stopping or self.lost or self.cancel_by is not None

    def _interrupt(self) -> None:
        if not self.turn.done():
            self.turn.set_result(False)
        if self._task is not None:
            self._task.cancel()

    async def ending(self, emit: Emit, tasks: TaskOwner) -> Ending:
        """Carry the work out; how it ended, whatever happens."""
        self._task = tasks.start(self._work(emit), name=f"{self.run.kind.value}-run")
        if self.interrupted:
            self._task.cancel()
        await asyncio.wait([self._task])
        return self.cut_short() if self._task.cancelled() else self._task.result()

    async def _work(self, emit: Emit) -> Ending:
        try:
            return await self.work.carry_out(self.run, emit)
        except Exception:  # noqa: BLE001 - whatever it is, the run must end with its event
            _log.exception("run_failed", run_id=self.run.run_id, kind=self.run.kind)
            return self._failed("internal", "The server failed to carry this out; try again")

    def cut_short(self) -> Ending:
        """How it ends when it was interrupted."""
        if self.cancel_by is not None:
            return Ending(RunState.CANCELLED, self.work.cancelled, {"actor": self.cancel_by})
        return self._failed(
            "server_stopping", "The server was stopped before this had ended; start it again"
        )

    def _failed(self, reason: str, message: str) -> Ending:
        fields: dict[str, Any] = {"reason": reason, "error": message}
        failed: EventType = self.work.failed
        return Ending(RunState.ERROR, failed, fields)
