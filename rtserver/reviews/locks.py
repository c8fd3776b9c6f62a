"""A project's lock: somebody asks the others to leave the project alone for a while.

It is held on a lease, which its holder's page renews. What a lock keeps others from is listed in
docs/collaboration.md; it does not keep anybody from reading, commenting or validating.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, TypedDict

import structlog

from rtserver.lib.lease_trust import LeaseTrust
from rtserver.model import texts
from rtserver.model.errors import ConflictError, InvalidError, StoreUnavailableError
from rtserver.model.events import EventDraft, EventType
from rtserver.model.field_types import Moment, UserId
from rtserver.model.identity import Identity
from rtserver.model.moments import present_moment, rfc3339

MAX_REASON_CHARS = 500
MAX_LEASE_S = 3600.0
MIN_LEASE_S = 1.0
SWEEP_INTERVAL_S = 1.0

_log = structlog.get_logger()


class LockJson(TypedDict):
    """A lock that is held.

    Attributes:
        by: who holds it.
        reason: why, for people; may be empty.
        at: since when it is held by this user for this reason.
    """

    locked: Literal[True]
    by: UserId
    reason: str
    at: Moment


class LeasedLockJson(LockJson):
    """A lock that is held, with the end of its lease.

    Attributes:
        expires_at: when it ends unless it is renewed.
    """

    expires_at: Moment


class NoLockJson(TypedDict):
    """Nobody holds the lock."""

    locked: Literal[False]


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that is held.

    Attributes:
        project_id: what is locked.
        by: the user who holds it.
        reason: why, for people; may be empty.
        at: since when it is held by this user for this reason.
        expires_at: when it ends unless it is renewed.
        lapsed: whether that was in the past, by MongoDB's clock, when this was read.
    """

    project_id: str
    by: str
    reason: str
    at: datetime
    expires_at: datetime
    lapsed: bool = False

    def to_json(self) -> LockJson:
        """The lock as it stands in snapshots: what `lock_changed` events say of it, no more."""
        return {"locked": True, "by": self.by, "reason": self.reason, "at": rfc3339(self.at)}

    def to_json_with_lease(self) -> LeasedLockJson:
        """The same with the end of its lease, which renewals move without an event."""
        return {**self.to_json(), "expires_at": rfc3339(self.expires_at)}


class LockedError(ConflictError):
    """Somebody else holds the lock."""

    reason = "locked"

    def __init__(self, lock: Lock) -> None:
        why = f": {lock.reason}" if lock.reason else ""
        super().__init__(f"The project is locked by {lock.by}{why}", lock=lock.to_json_with_lease())


class NotHeldError(ConflictError):
    """The caller's lock has ended."""

    reason = "not_held"

    def __init__(self) -> None:
        super().__init__("You do not hold the project's lock (any more)")


class LockStore(Protocol):
    """Locks, kept where all workers see them. Each change and its event are one.

    Time is the store's own, so that workers' clocks need not agree.
    """

    async def get(self, project_id: str) -> Lock | None:
        """The lock of a project, or None. A lapsed one is there until it is ended."""

    async def renew(
        self, project_id: str, by: str, reason: str | None, lease_s: float
    ) -> Lock | None:
        """Extend the lease of a lock that `by` holds for this reason (None: for any), silently.

        Returns:
            The lock; None where there is none like this.
        """

    async def take(
        self, lock: Lock, lease_s: float, changed: EventDraft, *, from_self: bool = False
    ) -> Lock | None:
        """Lock what is free or, if asked, what the same user holds for another reason.

        Returns:
            The lock; None where it is held otherwise.
        """

    async def end(self, lock: Lock, changed: EventDraft, *, only_lapsed: bool) -> bool:
        """End exactly this lock; False where it was ended, changed or (if asked) renewed."""

    async def lapsed(self) -> Sequence[Lock]:
        """All locks whose lease has run out."""


class LockGuard(Protocol):
    """What asks before it changes a project."""

    async def check(self, project_id: str, identity: Identity) -> None:
        """Let pass who may change the project now.

        Raises:
            LockedError: somebody else has locked it.
            StoreUnavailableError: MongoDB does not answer.
        """


class LockRecords(Protocol):
    """Keeps what happened to locks that nobody asked for."""

    def lock_expired(self, lock: Lock) -> None:
        """A lock ended because nobody renewed it. Told once."""


class LockService:
    """Takes, renews and releases locks, and ends those that nobody renews."""

    def __init__(
        self,
        store: LockStore,
        *,
        lease_s: float,
        trust: LeaseTrust,
        records: LockRecords | None = None,
    ) -> None:
        """Make the service.

        Args:
            store: where locks are.
            lease_s: how long a lock is held without renewal, unless its holder says.
            trust: says whether leases that look lapsed are.
            records: told of locks that ended by themselves.
        """
        self._store = store
        self._trust = trust
        self._records = records
        self.lease_s = lease_s

    async def get(self, project_id: str) -> Lock | None:
        """The lock that is held, or None.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        return await self._store.get(project_id)

    async def check(self, project_id: str, identity: Identity) -> None:
        """See `LockGuard.check`."""
        believed = self._believes_lapsed()
        lock = await self._store.get(project_id)
        if lock is not None and lock.by != identity.user_id and not (lock.lapsed and believed):
            raise LockedError(lock)

    def _believes_lapsed(self) -> bool:
        return self._trust.holds(self.lease_s)

    async def acquire(
        self, identity: Identity, project_id: str, reason: str | None, lease_s: float | None
    ) -> Lock:
        """Lock a project, or renew the lease of one's own lock.

        Renewing tells nobody. Giving another reason does.

        Args:
            identity: who asks; the project was checked by the caller.
            project_id: which.
            reason: why, for people; None keeps what it was.
            lease_s: how long without renewal; the setting's value unless given.

        Raises:
            LockedError: somebody else holds it.
            InvalidError: reason or lease cannot be used.
            StoreUnavailableError: MongoDB does not answer.
        """
        if reason is not None:
            reason = texts.line("reason", reason, MAX_REASON_CHARS, min_chars=0)
        lease_s = self.lease_of(lease_s)
        by = identity.user_id
        while True:
            renewed = await self._store.renew(project_id, by, reason, lease_s)
            if renewed is not None:
                return renewed
            believed = self._believes_lapsed()
            held = await self._store.get(project_id)
            if held is not None and held.by != by:
                if not (held.lapsed and believed):
                    raise LockedError(held)
                await self._expire(held)
            now = present_moment()
            wanted = Lock(project_id, by, reason or "", now, now)
            taken = await self._store.take(
                wanted, lease_s, _locked(wanted), from_self=reason is not None
            )
            if taken is not None:
                return taken

    async def renew(self, identity: Identity, project_id: str, lease_s: float | None) -> Lock:
        """Extend the lease of one's own lock, and do nothing where that has ended.

        For a page that keeps a lock: what its user gave back in another window, or an admin took
        away, must not be taken anew.

        Raises:
            LockedError: somebody else holds it.
            NotHeldError: nobody does.
            InvalidError: the lease cannot be used.
            StoreUnavailableError: MongoDB does not answer.
        """
        by = identity.user_id
        renewed = await self._store.renew(project_id, by, None, self.lease_of(lease_s))
        if renewed is not None:
            return renewed
        believed = self._believes_lapsed()
        held = await self._store.get(project_id)
        if held is not None and held.by != by and not (held.lapsed and believed):
            raise LockedError(held)
        raise NotHeldError

    def lease_of(self, wanted_s: float | None) -> float:
        """How long a lock is held for whom asks for so long.

        Raises:
            InvalidError: that is too short or too long.
        """
        if wanted_s is None:
            return self.lease_s
        if not MIN_LEASE_S <= wanted_s <= MAX_LEASE_S:
            raise InvalidError(f"lease_s takes {MIN_LEASE_S:g} to {MAX_LEASE_S:g} seconds")
        return wanted_s

    async def release(self, identity: Identity, project_id: str) -> None:
        """Give a lock back; nothing happens where there is none.

        Raises:
            LockedError: somebody else holds it, and the caller is no admin.
            StoreUnavailableError: MongoDB does not answer.
        """
        believed = self._believes_lapsed()
        while (lock := await self._store.get(project_id)) is not None:
            mine = lock.by == identity.user_id
            if lock.lapsed and believed and not mine:
                await self._expire(lock)
                continue
            if not mine and not identity.is_admin:
                raise LockedError(lock)
            ended = _unlocked(lock, {"cause": "released", "actor": identity.user_id})
            if await self._store.end(lock, ended, only_lapsed=False):
                return

    async def _expire(self, lock: Lock) -> None:
        """End a lapsed lock; of several workers that try, one does."""
        ended = _unlocked(lock, {"cause": "expired"})
        if await self._store.end(lock, ended, only_lapsed=True):
            _log.info("lock_expired", project_id=lock.project_id, user_id=lock.by)
            if self._records is not None:
                self._records.lock_expired(lock)

    async def run(self) -> None:
        """End lapsed locks until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            if not self._believes_lapsed():
                continue
            try:
                for lock in await self._store.lapsed():
                    await self._expire(lock)
            except StoreUnavailableError as error:
                _log.warning("locks_not_swept", error=str(error))


def _locked(lock: Lock) -> EventDraft:
    return _event(lock, {**lock.to_json(), "actor": lock.by})


def _unlocked(lock: Lock, fields: dict[str, str]) -> EventDraft:
    return _event(lock, {"locked": False, "by": lock.by, "reason": lock.reason, **fields})


def _event(lock: Lock, fields: dict[str, Any]) -> EventDraft:
    return EventDraft(lock.project_id, EventType.LOCK_CHANGED, fields)
