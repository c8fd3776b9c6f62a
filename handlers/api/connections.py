"""`/api/v1/connections` and `/api/v1/users`: who is connected, and the end of it, for admins."""

from typing import Annotated, ClassVar, TypedDict

import msgspec

from handlers.base.api import ApiHandler
from handlers.base.operations import Answer, operation
from rtserver.audit.record.actions import Action
from rtserver.model import ids
from rtserver.model.field_types import ConnectionId, ProjectId, UserId
from rtserver.model.identity import MAX_NAME_CHARS
from rtserver.sessions.connection_admin import ConnectionsJson
from rtserver.sessions.revocation import RevokedJson

UserParameter = Annotated[UserId, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)]


class ConnectionsQuery(msgspec.Struct):
    """Which connections; those of everybody unless it is said."""

    user_id: UserParameter | None = None
    project_id: ProjectId | None = None


class UserQuery(msgspec.Struct):
    """Whose connections."""

    user_id: UserParameter


class DisconnectedJson(TypedDict):
    """The connections that are being ended.

    Attributes:
        note: what this does not do, for people.
    """

    disconnected: list[ConnectionId]
    note: str


NOTE = (
    "Their user can come back with a token that is still valid. "
    "POST /api/v1/users/{user_id}/revoke refuses those too."
)


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
        """End all connections of a user, who can come back with a token that is still valid."""
        user_id = self.query(UserQuery).user_id
        self.audit_details["user_id"] = user_id
        ended = await self.context.connections.disconnect_user(self.identity, user_id)
        disconnected = [entry.connection_id for entry in ended]
        self.json({"disconnected": disconnected, "note": NOTE}, 202)


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
        """End a connection; its user can come back with a token that is still valid."""
        ended = await self.context.connections.disconnect(
            self.identity, ids.connection_id(connection_id)
        )
        self.json({"disconnected": [ended.connection_id], "note": NOTE}, 202)


class RevocationHandler(ApiHandler):
    """`/api/v1/users/{user_id}/revoke`."""

    audit_actions: ClassVar = {"POST": Action.USER_REVOKED}

    @operation(
        "revokeUser",
        {200: Answer((RevokedJson,), description="The tokens are refused, on every worker")},
        problems=(422,),
        roles=("admin",),
    )
    async def post(self, user_id: str) -> None:
        """End all sessions of a user, and refuse the tokens that were issued until now.

        Also tokens that do not say when they were issued (`iat`). Answered within a second, once
        new tokens of the user are let in.
        """
        self.json(await self.context.revocation.revoke(self.identity, user_id))
