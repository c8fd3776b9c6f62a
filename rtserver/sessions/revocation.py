"""Revocation: an admin ends all sessions of a user, and has the tokens refused that opened them.

A revocation is a document of its user, and so outlives workers. Each worker reads those that there
are before it serves, is told of a new one by a message, and looks for what it missed every few
seconds: a message that came while MongoDB was away, say.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, Protocol, TypedDict

import structlog

from rtserver.audit.record.actions import Action
from rtserver.audit.record.auditor import Auditor
from rtserver.auth.revocations import Revocations
from rtserver.eventlog.worker_messages import Control
from rtserver.lib.backoff import Backoff
from rtserver.model import texts
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.field_types import ConnectionId, Moment, UserId
from rtserver.model.identity import Identity
from rtserver.model.moments import rfc3339
from rtserver.model.revocation import Revocation
from rtserver.sessions.connection_admin import MAX_LISTED, Registry, check_admin

POLL_S = 5.0
RETRY_S = 0.5
CLOCK_GRAIN_S = 0.01
"""The loop's clock and the time of day do not tick together."""
MESSAGE = "revoked"
_OVERLAP = timedelta(minutes=1)
"""Changes of two documents may become visible in another order than they were made in."""

_log = structlog.get_logger()


class RevocationStore(Protocol):
    """Revocations, kept where all workers see them."""

    async def revoke(self, user_id: str, before: datetime, by: str) -> Revocation:
        """Store one; it is durable on a majority when this returns.

        Returns:
            What stands: the moment is never earlier than it was.
        """

    async def changed_since(self, moment: datetime | None) -> Sequence[Revocation]:
        """Those that were changed after a moment of the store's clock; all where there is none."""


class RevokedJson(TypedDict):
    """What was revoked.

    Attributes:
        tokens_before: tokens that were issued before this moment are refused, and those that do not
            say when they were issued.
        disconnected: the connections that are being ended, over all workers.
    """

    user_id: UserId
    tokens_before: Moment
    disconnected: list[ConnectionId]


class EndedByUser(Protocol):
    """Serves users for as long as their tokens are good."""

    def end_of_user(self, user_id: str) -> None:
        """End what a user reads by tokens that are revoked."""


class RevocationService:
    """Revokes, and keeps this worker's `Revocations` up to date; `run` is the loop for that."""

    def __init__(
        self,
        known: Revocations,
        store: RevocationStore,
        control: Control,
        registry: Registry,
        auditor: Auditor,
        reading: Sequence[EndedByUser],
    ) -> None:
        """Make the service.

        Args:
            known: what tokens are verified against.
            store: where revocations are.
            control: tells the other workers.
            registry: the connections of all workers.
            auditor: records each revocation.
            reading: what users of this worker read by, and must not after a revocation.
        """
        self._known = known
        self._store = store
        self._control = control
        self._registry = registry
        self._auditor = auditor
        self._reading = reading
        self._changed: datetime | None = None
        control.hear(MESSAGE, self._on_message)

    async def revoke(self, identity: Identity, user_id: str) -> RevokedJson:
        """End all sessions of a user, and refuse the tokens that were issued until now.

        `iat` has whole seconds in most tokens, so the moment is the next whole second, and this
        returns when it has come: who gets a token after that is let in, who had one before is not.

        Raises:
            ForbiddenError: the caller is no admin.
            InvalidError: this cannot be a user's id.
            AuditFullError: it could not be recorded.
            BusyError, StoreUnavailableError: it could not be stored, or not told; repeat it.
        """
        check_admin(identity)
        self._auditor.ensure(Action.USER_REVOKED)
        user_id = texts.user_id("user_id", user_id)
        found = await self._registry.search(user_id=user_id, limit=MAX_LISTED)
        before_s = math.floor(time.time()) + 1.0
        before = datetime.fromtimestamp(before_s, UTC)
        self._learn(await self._store.revoke(user_id, before, identity.user_id))
        # Here, for it is done: whatever becomes of the rest.
        self._auditor.record(
            Action.USER_REVOKED,
            target=user_id,
            tokens_before=rfc3339(before),
            connections=len(found),
        )
        await self._control.tell_all(MESSAGE, user_id=user_id, before_s=before_s)
        await asyncio.sleep(max(0.0, before_s - time.time()) + CLOCK_GRAIN_S)
        return {
            "user_id": user_id,
            "tokens_before": rfc3339(before),
            "disconnected": [entry.connection_id for entry in found],
        }

    async def load(self) -> None:
        """Learn what was revoked since the last time; everything, the first time.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        since = None if self._changed is None else self._changed - _OVERLAP
        for revocation in await self._store.changed_since(since):
            self._changed = max(revocation.changed, self._changed or revocation.changed)
            self._learn(revocation)

    async def run(self) -> NoReturn:
        """Look for what no message told of, until cancelled."""
        backoff = Backoff(RETRY_S, POLL_S)
        wait_s = POLL_S
        while True:
            await asyncio.sleep(wait_s)
            try:
                await self.load()
                backoff.reset()
                wait_s = POLL_S
            except StoreUnavailableError as error:
                wait_s = backoff.next_s()
                _log.warning("revocations_not_read", error=str(error))

    def _learn(self, revocation: Revocation) -> None:
        self._refuse(revocation.user_id, revocation.before.timestamp())

    def _refuse(self, user_id: str, before_s: float) -> None:
        if self._known.learn(user_id, before_s):
            for one in self._reading:
                one.end_of_user(user_id)

    async def _on_message(self, message: dict[str, Any]) -> None:
        self._refuse(message["user_id"], message["before_s"])
