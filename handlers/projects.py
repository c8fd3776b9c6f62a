"""`/api/v1/projects/{project_id}`: the snapshot."""

from handlers.base import ApiHandler


class ProjectHandler(ApiHandler):
    """The snapshot."""

    async def get(self, project: str) -> None:
        """Answer with the project as it is now."""
        project_id = self.open_project(project)
        snapshot = await self.context.snapshots.take(project_id)
        self.json({**snapshot, "language_model": self.context.iterations.model_json()})
