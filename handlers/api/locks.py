"""`/api/v1/projects/{project_id}/lock`."""

from typing import Annotated, ClassVar

import msgspec

from handlers.base.api import ApiHandler
from handlers.base.operations import Answer, operation
from handlers.base.problems import Problem
from rtserver.audit.record.actions import Action
from rtserver.model.field_types import line_of
from rtserver.reviews.locks import (
    MAX_LEASE_S,
    MAX_REASON_CHARS,
    MIN_LEASE_S,
    LeasedLockJson,
    NoLockJson,
)


class LockBody(msgspec.Struct):
    """The body of `PUT .../lock`; it may be left out.

    Attributes:
        reason: why, for people; without it the one that it was taken for stays.
        lease_s: how long it is held unless it is renewed; the setting's value unless given.
        renew: only extend the lease of a lock that is held; 409 where the caller holds none.
    """

    reason: Annotated[str, line_of(MAX_REASON_CHARS, min_chars=0)] | None = None
    lease_s: Annotated[float, msgspec.Meta(ge=MIN_LEASE_S, le=MAX_LEASE_S)] | None = None
    renew: bool = False


class TakenLockJson(LeasedLockJson):
    """A lock that the caller holds.

    Attributes:
        lease_s: how long it is held unless it is renewed.
    """

    lease_s: float


class LockHandler(ApiHandler):
    """The project's lock."""

    audit_actions: ClassVar = {"PUT": Action.LOCK_ACQUIRED, "DELETE": Action.LOCK_RELEASED}

    @operation(
        "getLock",
        {200: Answer((LeasedLockJson, NoLockJson), description="The lock, or that there is none")},
        problems=(403,),
    )
    async def get(self, project: str) -> None:
        """Look at a project's lock."""
        lock = await self.context.locks.get(self.open_project(project))
        self.json({"locked": False} if lock is None else lock.to_json_with_lease())

    @operation(
        "takeLock",
        {200: Answer((TakenLockJson,), description="The lock, which is the caller's")},
        body=(LockBody,),
        body_required=False,
        problems=(403, 409),
    )
    async def put(self, project: str) -> None:
        """Take a project's lock, or renew one's own.

        409 where another user holds it.
        """
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
        self.json({**lock.to_json_with_lease(), "lease_s": locks.lease_of(body.lease_s)})

    @operation(
        "releaseLock", {204: Answer(description="Nobody holds the lock")}, problems=(403, 409)
    )
    async def delete(self, project: str) -> None:
        """Give a project's lock back.

        409 where another user holds it and the caller is no admin.
        """
        project_id = self.open_project(project)
        lock = await self.context.locks.get(project_id)
        if lock is not None and lock.by != self.identity.user_id:
            self.audit_details["held_by"] = lock.by
        await self.context.locks.release(self.identity, project_id)
        self.set_status(204)
        self.finish()
