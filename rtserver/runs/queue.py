"""The queue of runs on this worker: which of those that wait is next."""

from collections.abc import Container, Iterable

from rtserver.model.errors import BusyError


class RunQueue:
    """Waiting runs. Projects take turns, and within a project the first to come is first.

    So a project with a hundred waiting runs delays another project's only one by one run.
    """

    def __init__(self, *, max_waiting_per_project: int, max_waiting: int) -> None:
        """Make an empty queue.

        Args:
            max_waiting_per_project: runs of one project that may wait; 0: none.
            max_waiting: runs of all projects that may wait.
        """
        self._max_waiting_per_project = max_waiting_per_project
        self._max_waiting = max_waiting
        # In order of turns: the project whose turn was last stands last.
        self._projects: dict[str, dict[str, None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def projects(self) -> Iterable[str]:
        """Those that have a waiting run."""
        return tuple(self._projects)

    def waiting(self, project_id: str) -> tuple[str, ...]:
        """The waiting runs of a project, first come first."""
        return tuple(self._projects.get(project_id, ()))

    def add(self, run_id: str, project_id: str) -> None:
        """Let a run wait.

        Raises:
            BusyError: as many are waiting as may.
        """
        waiting = self._projects.get(project_id, {})
        if len(waiting) >= self._max_waiting_per_project or self._count >= self._max_waiting:
            raise BusyError(
                "As many runs are under way and waiting as may; try again later", retry_after_s=10
            )
        self._projects.setdefault(project_id, {})[run_id] = None
        self._count += 1

    def remove(self, run_id: str, project_id: str) -> bool:
        """Take a run out, wherever it stands; False where it was not waiting."""
        waiting = self._projects.get(project_id, {})
        if run_id not in waiting:
            return False
        del waiting[run_id]
        self._count -= 1
        if not waiting:
            del self._projects[project_id]
        return True

    def next(self, blocked: Container[str] = ()) -> str | None:
        """The project whose turn it is, leaving out those that can't go on now; None for none."""
        return next((project for project in self._projects if project not in blocked), None)

    def take(self, project_id: str) -> str:
        """Take a project's first run out; its next turn comes after all others'.

        Raises:
            KeyError: it has none waiting.
        """
        waiting = self._projects.pop(project_id)
        run_id = next(iter(waiting))
        del waiting[run_id]
        self._count -= 1
        if waiting:
            self._projects[project_id] = waiting
        return run_id
