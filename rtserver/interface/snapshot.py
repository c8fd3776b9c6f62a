"""The snapshot of a project, with the position that it is at least as new as."""

import asyncio
from typing import TypedDict

import msgspec

from rtserver.eventlog.api import EventLog, at
from rtserver.model.field_types import EventId, ProjectId
from rtserver.model.run import RunJson, RunSummaryJson
from rtserver.presence.messages import Person
from rtserver.presence.service import PresenceService
from rtserver.reviews.locks import LockJson, LockStore
from rtserver.reviews.pages import DEFAULT_PAGE, PAGE_BYTES, Cursor, Place
from rtserver.reviews.proposals import ProposalJson, ProposalStore
from rtserver.runs.model import RunStore


class ProposalsJson(TypedDict):
    """A page of a project's proposals, the oldest first.

    Attributes:
        last_runs: of each of them the newest run of each kind that has ended.
        last_verdicts: of each of them the newest run in which the validator passed or failed it.
        next: where it is not null there are more: ask for those `after` it.
    """

    proposals: list[ProposalJson]
    last_runs: list[RunSummaryJson]
    last_verdicts: list[RunSummaryJson]
    next: Cursor | None


class SnapshotJson(TypedDict):
    """A project as it is now.

    Attributes:
        position: the state and all events after this position are the state later.
        proposals: the oldest first; not all of a great many.
        proposals_next: where it is not null there are more: ask for those `after` it.
        last_runs: of each proposal that is here the newest run of each kind that has ended.
        last_verdicts: of each the newest run in which the validator passed or failed it, which a
            later one that was cancelled or went wrong does not hide.
        active_runs: runs that are under way, the oldest first.
        present: who has the project open; not all of a great many.
        present_count: how many do.
    """

    project_id: ProjectId
    position: EventId
    lock: LockJson | None
    proposals: list[ProposalJson]
    proposals_next: Cursor | None
    last_runs: list[RunSummaryJson]
    last_verdicts: list[RunSummaryJson]
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
        presence: PresenceService,
    ) -> None:
        self._log = log
        self._proposals = proposals
        self._locks = locks
        self._runs = runs
        self._presence = presence

    async def take(self, project_id: str, limit: int = DEFAULT_PAGE) -> SnapshotJson:
        """The snapshot. Applying all events after `position` to it gives the later state.

        That goes for further pages of proposals too, which are read later: what is newer in them
        than an event has a higher version than the event.

        Args:
            project_id: which.
            limit: so many proposals at most.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        # The position first: what changes while the rest is read has its event after it.
        position = at(self._log, await self._log.head(project_id))
        page, lock, active_runs, (present, present_count) = await asyncio.gather(
            self.page(project_id, after=None, limit=limit),
            self._locks.get(project_id),
            self._runs.active(project_id),
            self._presence.present(project_id),
        )
        return {
            "project_id": project_id,
            "position": str(position),
            "lock": None if lock is None else lock.to_json(),
            "proposals": page["proposals"],
            "proposals_next": page["next"],
            "last_runs": page["last_runs"],
            "last_verdicts": page["last_verdicts"],
            "active_runs": [run.to_json() for run in active_runs],
            "present": msgspec.to_builtins(present),
            "present_count": present_count,
        }

    async def page(self, project_id: str, *, after: Place | None, limit: int) -> ProposalsJson:
        """Proposals of a project, in the order in which they were made.

        Args:
            project_id: which.
            after: begin after this place; None: at the beginning.
            limit: so many at most; there may be fewer, and more after them.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        found, more = await self._proposals.page(
            project_id, after=after, limit=limit, max_bytes=PAGE_BYTES
        )
        last = await self._runs.last_of([proposal.proposal_id for proposal in found])
        return {
            "proposals": [proposal.to_json() for proposal in found],
            "last_runs": last.runs,
            "last_verdicts": last.verdicts,
            "next": str(found[-1].place) if more else None,
        }
