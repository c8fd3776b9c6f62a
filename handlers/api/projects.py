"""`/api/v1/projects/{project_id}`: the snapshot."""

from handlers.base.api import ApiHandler
from handlers.base.operations import Answer, operation
from rtserver.interface.snapshot import SnapshotJson
from rtserver.runs.iteration.factory import LanguageModelJson


class ProjectJson(SnapshotJson):
    """A project as it is now, and who revises its proposals."""

    language_model: LanguageModelJson | None


class ProjectHandler(ApiHandler):
    """The snapshot."""

    @operation(
        "getProject", {200: Answer((ProjectJson,), description="The snapshot")}, problems=(403,)
    )
    async def get(self, project: str) -> None:
        """Take a snapshot of a project.

        Its state and all events after its `position` are the state later.
        """
        project_id = self.open_project(project)
        snapshot = await self.context.snapshots.take(project_id)
        self.json({**snapshot, "language_model": self.context.iterations.model_json()})
