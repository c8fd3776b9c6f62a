"""Shutdown of a process: named steps that undo what a start did, the newest first.

Each step happens whatever became of those before it, and has a time-out; what fails is in the log
with the name of the step.
"""

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from rtserver.lib.tasks import TaskOwner

MOMENT_S = 0.25
"""A step gets as much where the grace period is over: closing a file needs no more."""

TASKS_SHARE = 0.5
"""So much of what is left of the grace period tasks get to end in once they are cancelled."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    stop: Callable[[], Awaitable[object] | None]
    share: float
    least_s: float


class Shutdown:
    """The steps that take a process apart. Whatever starts something pushes what stops it."""

    def __init__(self, *, grace_s: float) -> None:
        """Make it, without steps.

        Args:
            grace_s: how long all steps together may wait for what is under way.
        """
        self._grace_s = grace_s
        self._deadline_s: float | None = None
        self._steps: list[_Step] = []
        self._going_back = False

    def push(
        self,
        name: str,
        stop: Callable[[], Awaitable[object] | None],
        *,
        share: float = 1.0,
        least_s: float = MOMENT_S,
    ) -> None:
        """Add the step that happens before all that were pushed until now.

        Args:
            name: what it stops, for the log.
            stop: does it.
            share: how much it may take of what is left of the grace period.
            least_s: how long it may take even where the grace period is over.
        """
        self._steps.append(_Step(name, stop, share, least_s))

    def tasks(self, name: str) -> TaskOwner:
        """An owner of tasks that are cancelled as one step."""
        tasks = TaskOwner()
        self.push(f"{name}-tasks", _TasksEnd(tasks, self).stop, share=TASKS_SHARE)
        return tasks

    def mark(self) -> int:
        """Where the steps stand now, for `back_to`."""
        return len(self._steps)

    async def back_to(self, mark: int) -> None:
        """Take only the steps that were pushed since: what they undo will be tried again."""
        self._going_back = True
        try:
            while len(self._steps) > mark:
                await self._take(self._steps.pop())
        finally:
            self._going_back = False

    def problem(self) -> str | None:
        """See `rtserver.observe.readiness.Part`."""
        return None if self._deadline_s is None else "the worker is stopping"

    @property
    def has_begun(self) -> bool:
        """Whether the process, or a start that failed, is being taken apart."""
        return self._going_back or self._deadline_s is not None

    def left_s(self) -> float:
        """How much of the grace period is left; a moment where nothing is."""
        if self._deadline_s is None:
            return self._grace_s
        return max(MOMENT_S, self._deadline_s - asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Take the steps, each once: one that was taken is forgotten."""
        if self._deadline_s is None:
            self._deadline_s = asyncio.get_running_loop().time() + self._grace_s
        while self._steps:
            await self._take(self._steps.pop())

    async def _take(self, step: _Step) -> None:
        # A step that keeps time itself, by `left_s`, has the first word in what it says about it.
        timeout_s = max(step.least_s, step.share * self.left_s()) + MOMENT_S
        timeout = asyncio.timeout(timeout_s)
        try:
            async with timeout:
                result = step.stop()
                if inspect.isawaitable(result):
                    await result
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            _log.exception("shutdown_step_failed", step=step.name)
        except TimeoutError:
            if timeout.expired():
                _log.warning("shutdown_step_cut_off", step=step.name, waited_s=round(timeout_s, 2))
            else:
                _log.exception("shutdown_step_failed", step=step.name)
        except Exception:  # noqa: BLE001 - the others still have to happen
            _log.exception("shutdown_step_failed", step=step.name)


class _TasksEnd:
    """Cancels the tasks of an owner; it says itself which did not end."""

    def __init__(self, tasks: TaskOwner, shutdown: Shutdown) -> None:
        self._tasks = tasks
        self._shutdown = shutdown

    async def stop(self) -> None:
        with contextlib.suppress(TimeoutError):
            await self._tasks.stop(TASKS_SHARE * self._shutdown.left_s())


def _is_cancelled() -> bool:
    """Whether it is this task that was cancelled, and not one that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
