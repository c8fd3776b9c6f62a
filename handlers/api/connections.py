"""`/api/v1/connections`: who is connected, for admins."""

from typing import Annotated, ClassVar, TypedDict

import msgspec

from handlers.base.handler import ApiHandler
from handlers.base.operations import Answer, operation
from rtserver.audit.record.actions import Action
from rtserver.model import ids
from rtserver.model.field_types import ConnectionId, ProjectId, UserId
from rtserver.model.identity import MAX_NAME_CHARS
from rtserver.sessions.connection_admin import ConnectionsJson

UserParameter = Annotated[UserId, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)]


class ConnectionsQuery(msgspec.Struct):
    """Which connections; those of everybody unless it is said."""

    user_id: UserParameter | None = None
    project_id: ProjectId | None = None


class UserQuery(msgspec.Struct):
    """Whose connections."""

    user_id: UserParameter


class DisconnectedJson(TypedDict):
    """The connections that are being ended."""

    disconnected: list[ConnectionId]


class ConnectionsHandler(ApiHandler):
    """All connections, over all workers."""

    audit_actions: ClassVar = {
        "GET": Action.CONNECTION_LISTED,
        "DELETE": Action.CONNECTION_DISCONNECTED,
    }

    @operation(
        "listConnections",
        {200: Answer((ConnectionsJson,), description="The connections")},
        query=ConnectionsQuery,
        roles=("admin",),
    )
    async def get(self) -> None:
        """List who is connected, over all workers."""
        query = self.query(ConnectionsQuery)
        self.json(
            await self.context.connections.listed(
                self.identity,
                user_id=query.user_id,
                project_id=None if query.project_id is None else ids.project_id(query.project_id),
            )
        )

    @operation(
        "disconnectUser",
        {202: Answer((DisconnectedJson,), description="They are being ended, by their workers")},
        query=UserQuery,
        roles=("admin",),
    )
    async def delete(self) -> None:
        """End all connections of a user."""
        user_id = self.query(UserQuery).user_id
        self.audit_details["user_id"] = user_id
        ended = await self.context.connections.disconnect_user(self.identity, user_id)
        self.json({"disconnected": [entry.connection_id for entry in ended]}, 202)


class ConnectionHandler(ApiHandler):
    """One connection."""

    audit_actions: ClassVar = {"DELETE": Action.CONNECTION_DISCONNECTED}

    @operation(
        "disconnect",
        {202: Answer((DisconnectedJson,), description="It is being ended, by its worker")},
        problems=(404,),
        roles=("admin",),
    )
    async def delete(self, connection_id: str) -> None:
        """End a connection."""
        ended = await self.context.connections.disconnect(
            self.identity, ids.connection_id(connection_id)
        )
        self.json({"disconnected": [ended.connection_id]}, 202)
