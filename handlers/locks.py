"""`/api/v1/projects/{project_id}/lock`."""

from typing import ClassVar

import msgspec

from handlers.base import ApiHandler, Problem
from rtserver.audit_actions import Action
from rtserver.locks import Lock


class LockBody(msgspec.Struct):
    """The body of `PUT .../lock`; it may be left out.

    Attributes:
        reason: why, for people; None keeps what it was.
        lease_s: how long the lock is held without renewal; the setting's value unless given.
        renew: only extend the lease of a lock that is held; 409 where the caller holds none.
    """

    reason: str | None = None
    lease_s: float | None = None
    renew: bool = False


class LockHandler(ApiHandler):
    """The project's lock."""

    audit_actions: ClassVar = {"PUT": Action.LOCK_ACQUIRED, "DELETE": Action.LOCK_RELEASED}

    async def get(self, project: str) -> None:
        """Answer with the lock and the end of its lease."""
        lock = await self.context.locks.get(self.open_project(project))
        self.json({"locked": False} if lock is None else _shown(lock))

    async def put(self, project: str) -> None:
        """Take the lock, or renew one's own; 409 where another user holds it."""
        project_id = self.open_project(project)
        body = self.body(LockBody) if self._body else LockBody()
        self.audit_details["words"] = body.reason
        locks = self.context.locks
        if body.renew:
            if body.reason is not None:
                raise Problem(422, "A renewal keeps the reason: leave it out", "invalid")
            lock = await locks.renew(self.identity, project_id, body.lease_s)
        else:
            lock = await locks.acquire(self.identity, project_id, body.reason, body.lease_s)
        self.json({**_shown(lock), "lease_s": locks.lease_of(body.lease_s)})

    async def delete(self, project: str) -> None:
        """Give the lock back; 409 where another user holds it and the caller is no admin."""
        project_id = self.open_project(project)
        lock = await self.context.locks.get(project_id)
        if lock is not None and lock.by != self.identity.user_id:
            self.audit_details["held_by"] = lock.by
        await self.context.locks.release(self.identity, project_id)
        self.set_status(204)
        self.finish()


def _shown(lock: Lock) -> dict[str, object]:
    return lock.to_json_with_lease()
