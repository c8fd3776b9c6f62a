"""The snapshot of a project, with the position that it is at least as new as."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypedDict

import msgspec

from rtserver.eventlog.api import EventLog, at
from rtserver.model.field_types import EventId, ProjectId
from rtserver.model.run import RunJson
from rtserver.presence.messages import Person
from rtserver.reviews.locks import LockJson, LockStore
from rtserver.reviews.proposals import ProposalJson, ProposalStore
from rtserver.runs.model import RunStore


class SnapshotJson(TypedDict):
    """A project as it is now.

    Attributes:
        position: the state and all events after this position are the state later.
        active_runs: runs that are under way, the oldest first.
        present: who has the project open; not all of a great many.
        present_count: how many do.
    """

    project_id: ProjectId
    position: EventId
    lock: LockJson | None
    proposals: list[ProposalJson]
    active_runs: list[RunJson]
    present: list[Person]
    present_count: int


class Snapshots:
    """Puts a project's state together for those who begin or begin anew."""

    def __init__(
        self,
        log: EventLog,
        proposals: ProposalStore,
        locks: LockStore,
        runs: RunStore,
        present: Callable[[str], Awaitable[tuple[list[Person], int]]],
    ) -> None:
        self._log = log
        self._proposals = proposals
        self._locks = locks
        self._runs = runs
        self._present = present

    async def take(self, project_id: str) -> SnapshotJson:
        """The snapshot. Applying all events after `position` to it gives the later state.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        # The position first: what changes while the rest is read has its event after it.
        position = at(self._log, await self._log.head(project_id))
        proposals, lock, active_runs, (present, present_count) = await asyncio.gather(
            self._proposals.of_project(project_id),
            self._locks.get(project_id),
            self._runs.active(project_id),
            self._present(project_id),
        )
        return {
            "project_id": project_id,
            "position": str(position),
            "lock": None if lock is None else lock.to_json(),
            "proposals": [proposal.to_json() for proposal in proposals],
            "active_runs": [run.to_json() for run in active_runs],
            "present": msgspec.to_builtins(present),
            "present_count": present_count,
        }
