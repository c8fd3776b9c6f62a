"""Background tasks and their owner: none is lost, none fails unseen, all end with it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

T = TypeVar("T")
_log = structlog.get_logger()


class TaskOwner:
    """Starts tasks and answers for them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> "asyncio.Task[T]":
        """Run something in the background; a failure is logged under its name."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("task_failed", task=task.get_name(), exc_info=error)

    def __len__(self) -> int:
        return len(self._tasks)

    async def finish(self, *names: str) -> None:
        """Wait until nothing of these names is under way any more. No time-out here."""
        while tasks := [task for task in self._tasks if task.get_name() in names]:
            await asyncio.wait(tasks)

    async def stop(self, timeout_s: float = 5.0) -> None:
        """Cancel what still runs and wait for its end.

        Raises:
            TimeoutError: a task did not end in time; its name is in the log.
        """
        while self._tasks:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            _, still = await asyncio.wait(tasks, timeout=timeout_s)
            if still:
                names = [task.get_name() for task in still]
                _log.error("tasks_did_not_end", tasks=names)
                raise TimeoutError(f"tasks did not end: {names}")
