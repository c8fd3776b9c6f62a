"""`/api/v1/connections`: who is connected, for admins."""

from typing import ClassVar

from handlers.base import ApiHandler, Problem
from rtserver import ids
from rtserver.audit_actions import Action
from rtserver.identity import MAX_NAME_CHARS


class ConnectionsHandler(ApiHandler):
    """All connections, over all workers."""

    audit_actions: ClassVar = {
        "GET": Action.CONNECTION_LISTED,
        "DELETE": Action.CONNECTION_DISCONNECTED,
    }

    async def get(self) -> None:
        """Answer with who is connected; `user_id` and `project_id` narrow it."""
        project_id = self.get_query_argument("project_id", None)
        self.json(
            await self.context.connections.listed(
                self.identity,
                user_id=self._user_id(),
                project_id=None if project_id is None else ids.project_id(project_id),
            )
        )

    async def delete(self) -> None:
        """End all connections of the user `user_id`; 202, for other workers end theirs soon."""
        user_id = self._user_id()
        if user_id is None:
            raise Problem(400, "user_id says whose connections are to end", "invalid")
        self.audit_details["user_id"] = user_id
        ended = await self.context.connections.disconnect_user(self.identity, user_id)
        self.json({"disconnected": [entry.connection_id for entry in ended]}, 202)

    def _user_id(self) -> str | None:
        text = self.get_query_argument("user_id", None, strip=False)
        if text is not None and not 1 <= len(text) <= MAX_NAME_CHARS:
            raise Problem(400, f"user_id takes 1 to {MAX_NAME_CHARS} characters", "invalid")
        return text


class ConnectionHandler(ApiHandler):
    """One connection."""

    audit_actions: ClassVar = {"DELETE": Action.CONNECTION_DISCONNECTED}

    async def delete(self, connection_id: str) -> None:
        """End it; 202, for another worker ends it a moment later."""
        ended = await self.context.connections.disconnect(
            self.identity, ids.connection_id(connection_id)
        )
        self.json({"disconnected": [ended.connection_id]}, 202)
