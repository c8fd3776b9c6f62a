"""The queue of commits in MongoDB. See `rtserver.revisions.commits` for what fields mean.

_id, place (host and folder of the workspaces), project_id, actor, at (their order, and a week later
they go: their host is gone), message, files: array of [path, SHA-256 or null], folders
"""

from pymongo import ASCENDING

from rtserver.revisions.commits import PendingCommit
from rtserver.revisions.committing import Waiting
from store.base.client import Database, core_errors

COMMITS = "commits"
MAX_WAITING = 1_000
KEPT_S = 7 * 24 * 3600


class MongoCommits:
    """`rtserver.revisions.committing.CommitQueue` on MongoDB."""

    def __init__(self, database: Database, *, max_waiting: int = MAX_WAITING) -> None:
        self._commits = database[COMMITS]
        self._max_waiting = max_waiting

    async def prepare(self) -> None:
        """Make the indexes: what waits in a project, in order, and what has waited for too long."""
        await self._commits.create_index(
            [("place", ASCENDING), ("project_id", ASCENDING), ("at", ASCENDING)], name="waiting"
        )
        await self._commits.create_index("at", expireAfterSeconds=KEPT_S, name="expiring")

    @core_errors
    async def add(self, place: str, commit: PendingCommit) -> bool:
        """See `CommitQueue.add`."""
        waiting = await self._commits.count_documents(
            {"place": place, "project_id": commit.project_id}, limit=self._max_waiting
        )
        if waiting >= self._max_waiting:
            return False
        await self._commits.insert_one(
            {
                "place": place,
                "project_id": commit.project_id,
                "actor": commit.actor,
                "at": commit.at,
                "message": commit.message,
                "files": [list(pair) for pair in commit.files.items()],
                "folders": list(commit.folders),
            }
        )
        return True

    @core_errors
    async def projects(self, place: str) -> list[str]:
        """See `CommitQueue.projects`."""
        found = await self._commits.distinct("project_id", {"place": place})
        return sorted(str(project_id) for project_id in found)

    @core_errors
    async def first(self, place: str, project_id: str) -> Waiting | None:
        """See `CommitQueue.first`."""
        found = await self._commits.find_one(
            {"place": place, "project_id": project_id}, sort=[("at", ASCENDING), ("_id", ASCENDING)]
        )
        if found is None:
            return None
        return Waiting(
            found["_id"],
            PendingCommit(
                project_id=found["project_id"],
                actor=found["actor"],
                at=found["at"],
                message=found["message"],
                files=dict(found["files"]),
                folders=tuple(found["folders"]),
            ),
        )

    @core_errors
    async def remove(self, name: object) -> None:
        """See `CommitQueue.remove`."""
        await self._commits.delete_one({"_id": name})
