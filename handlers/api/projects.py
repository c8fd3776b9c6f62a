"""`/api/v1/projects/{project_id}`: the snapshot."""

import msgspec

from handlers.base.api import ApiHandler
from handlers.base.operations import Answer, operation
from rtserver.interface.snapshot import SnapshotJson
from rtserver.reviews.pages import DEFAULT_PAGE, PageLimit
from rtserver.runs.iteration.factory import LanguageModelJson


class ProjectQuery(msgspec.Struct):
    """How much of a project.

    Attributes:
        limit: so many proposals at most.
    """

    limit: PageLimit = DEFAULT_PAGE


class ProjectJson(SnapshotJson):
    """A project as it is now, and who revises its proposals."""

    language_model: LanguageModelJson | None


class ProjectHandler(ApiHandler):
    """The snapshot."""

    @operation(
        "getProject",
        {200: Answer((ProjectJson,), description="The snapshot")},
        query=ProjectQuery,
        problems=(403,),
    )
    async def get(self, project: str) -> None:
        """Take a snapshot of a project.

        Its state and all events after its `position` are the state later. Of a great many proposals
        it has the first; `proposals_next` tells where the others begin, see `listProposals`.
        """
        project_id = self.open_project(project)
        limit = self.query(ProjectQuery).limit
        snapshot = await self.context.snapshots.take(project_id, limit)
        self.json({**snapshot, "language_model": self.context.iterations.model_json()})
