"""Connections as admins see them: who is connected, over all workers, and ending that."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol, TypedDict

from rtserver.audit.record.actions import Acting, Action
from rtserver.audit.record.auditor import Auditor
from rtserver.model.close_codes import CloseCode
from rtserver.model.connection import ConnectionRecord
from rtserver.model.errors import ForbiddenError, NotFoundError
from rtserver.model.events import AUDIT_PROJECT
from rtserver.model.field_types import ConnectionId, Moment, ProjectId, UserId
from rtserver.model.identity import Identity
from rtserver.model.moments import rfc3339
from rtserver.sessions.closer import ConnectionCloser

REASON = "Disconnected by an administrator"
MAX_LISTED = 10_000


class Registry(Protocol):
    """The registries of connections, as they are searched."""

    async def search(
        self,
        *,
        user_id: str | None = None,
        project_id: str | None = None,
        connection_id: str | None = None,
        limit: int,
    ) -> Sequence[ConnectionRecord]:
        """The live connections of all workers that are so, the oldest first.

        Raises:
            StoreUnavailableError: the registries could not be reached.
        """


class ConnectionJson(TypedDict):
    """A connection as operators see it.

    Attributes:
        project_id: the project that it is for; null where it watches the audit log.
        audit: whether it watches the audit log.
        behind_bytes: what waits to be sent to it.
    """

    id: ConnectionId
    user_id: UserId
    project_id: ProjectId | None
    audit: bool
    transport: str
    ip: str | None
    worker: str
    opened_at: Moment
    age_s: float
    behind_bytes: int


class ConnectionsJson(TypedDict):
    """Connections over all workers, the oldest first.

    Attributes:
        more: whether there are more than are shown.
    """

    connections: list[ConnectionJson]
    more: bool


def check_admin(identity: Identity) -> None:
    """Let pass who holds the role admin.

    Raises:
        ForbiddenError: the user does not.
    """
    if not identity.is_admin:
        raise ForbiddenError("This needs the role admin", "not_admin")


class Connections:
    """The operator's view of all connections. Each method is for admins, and recorded."""

    def __init__(self, registry: Registry, auditor: Auditor, reach: ConnectionCloser) -> None:
        self._registry = registry
        self._auditor = auditor
        self._reach = reach

    def _check(self, identity: Identity, action: Action) -> None:
        check_admin(identity)
        self._auditor.ensure(action)

    async def listed(
        self, identity: Identity, *, user_id: str | None, project_id: str | None
    ) -> ConnectionsJson:
        """Who is connected; at most `MAX_LISTED`, and whether that was all.

        Raises:
            ForbiddenError: the user is no admin.
            AuditFullError: it could not be recorded.
            StoreUnavailableError: the registries could not be reached.
        """
        self._check(identity, Action.CONNECTION_LISTED)
        found = await self._registry.search(
            user_id=user_id, project_id=project_id, limit=MAX_LISTED + 1
        )
        now_s = time.time()
        shown = [self._shown(entry, now_s) for entry in found[:MAX_LISTED]]
        self._auditor.record(Action.CONNECTION_LISTED, connections=len(shown))
        return {"connections": shown, "more": len(found) > MAX_LISTED}

    def _shown(self, entry: ConnectionRecord, now_s: float) -> ConnectionJson:
        behind = self._reach.behind_bytes(entry.connection_id)
        watches_audit = entry.project_id == AUDIT_PROJECT
        return {
            "id": entry.connection_id,
            "user_id": entry.user_id,
            "project_id": None if watches_audit else entry.project_id,
            "audit": watches_audit,
            "transport": entry.transport,
            "ip": entry.ip or None,
            "worker": entry.worker_id,
            "opened_at": rfc3339(datetime.fromtimestamp(entry.opened_at, UTC)),
            "age_s": round(max(0.0, now_s - entry.opened_at), 1),
            "behind_bytes": entry.behind_bytes if behind is None else behind,
        }

    async def disconnect(self, identity: Identity, connection_id: str) -> ConnectionRecord:
        """End a connection; returns when its worker was told.

        Raises:
            ForbiddenError: the user is no admin.
            NotFoundError: there is no such connection.
            AuditFullError: it could not be recorded.
            BusyError, StoreUnavailableError: its worker could not be told.
        """
        self._check(identity, Action.CONNECTION_DISCONNECTED)
        found = await self._registry.search(connection_id=connection_id, limit=1)
        if not found:
            raise NotFoundError(f"There is no connection {connection_id!r}")
        await self._end(found[0])
        return found[0]

    async def disconnect_user(self, identity: Identity, user_id: str) -> list[ConnectionRecord]:
        """End all connections of a user; returns when their workers were told.

        Raises:
            ForbiddenError: the user is no admin.
            AuditFullError: it could not be recorded.
            BusyError, StoreUnavailableError: a worker could not be told.
        """
        self._check(identity, Action.CONNECTION_DISCONNECTED)
        found = list(await self._registry.search(user_id=user_id, limit=MAX_LISTED))
        for entry in found:
            await self._end(entry)
        if not found:
            self._auditor.record(Action.CONNECTION_DISCONNECTED, user_id=user_id, connections=0)
        return found

    async def _end(self, entry: ConnectionRecord) -> None:
        await self._reach.close(entry, CloseCode.FORBIDDEN, REASON)
        self._auditor.record(
            Action.CONNECTION_DISCONNECTED,
            target=entry.connection_id,
            project_id=Acting.of(entry).project_id,
            user_id=entry.user_id,
            worker=entry.worker_id,
        )
