"""Lets clients in: who they are, whether there is room, and the sessions of this worker."""

import secrets
import time
from collections.abc import Callable

import structlog

from rtserver.admission import Admission, Entry, ProjectFullError
from rtserver.audit import Acting, Auditor
from rtserver.audit_actions import Action, Outcome
from rtserver.audit_outcome import outcome_of
from rtserver.close_codes import CloseCode
from rtserver.errors import ForbiddenError, StoreUnavailableError
from rtserver.identity import Identity
from rtserver.metrics import Metrics
from rtserver.session import Ended, Session, SessionServices, Transport
from rtserver.token_source import FoundToken
from rtserver.tokens import TokenRefused, TokenVerifier

_LIMITS = {
    CloseCode.TOO_SLOW: "outbox_bytes",
    CloseCode.TOO_MANY_MESSAGES: "messages_per_s",
    CloseCode.PROTOCOL_ERROR: "unusable_messages",
}

_log = structlog.get_logger()


class Gateway:
    """What every way in uses."""

    def __init__(
        self,
        verifier: TokenVerifier,
        admission: Admission,
        services: Callable[[], SessionServices],
        metrics: Metrics,
        auditor: Auditor,
        *,
        worker_id: str,
    ) -> None:
        self._verifier = verifier
        self._admission = admission
        self._services = services
        self._metrics = metrics
        self._auditor = auditor
        self._worker_id = worker_id
        self.sessions: dict[str, Session] = {}

    async def identify(self, found: FoundToken | None) -> Identity:
        """Whom a token names.

        Raises:
            TokenRefused: it proves nothing.
        """
        try:
            identity = await self._verifier.verify(found.token if found else "")
        except TokenRefused as refused:
            self._refused(refused)
            raise
        self._auditor.acting().actor = identity.user_id
        return identity

    def _refused(self, refused: TokenRefused) -> None:
        self._metrics.token_refused(refused.reason)
        outcome, reason = outcome_of(refused)
        path = self._auditor.acting().path
        self._auditor.record(Action.TOKEN_REFUSED, outcome, reason=reason, path=path)

    async def refresh(self, identity: Identity, token: str) -> Identity:
        """The identity of another token of the same user.

        Raises:
            TokenRefused: it proves nothing, or is somebody else's.
        """
        try:
            return await self._verifier.refresh(identity, token)
        except TokenRefused as refused:
            self._refused(refused)
            raise

    async def enter(self, identity: Identity, project_id: str, transport: str) -> Entry:
        """Take a place for a connection; `leave` gives it back.

        Raises:
            ForbiddenError: the project is not this user's.
            ProjectFullError: no place is left in the project.
            StoreUnavailableError: the registries could not be reached.
        """
        acting = self._auditor.acting()
        acting.project_id = project_id
        entry = Entry(
            connection_id=secrets.token_hex(8),
            worker_id=self._worker_id,
            user_id=identity.user_id,
            project_id=project_id,
            transport=transport,
            opened_at=time.time(),
            ip=acting.ip or "",
        )
        try:
            if not identity.may_open(project_id):
                raise ForbiddenError("Forbidden: this token does not open the project")
            evicted = await self._admission.admit(entry)
        except (ForbiddenError, ProjectFullError, StoreUnavailableError) as error:
            outcome, reason = outcome_of(error)
            self._auditor.record(
                Action.CONNECTION_DENIED, outcome, by=acting, reason=reason, transport=transport
            )
            raise
        for old in evicted:
            self._auditor.record(
                Action.CONNECTION_EVICTED,
                by=Acting.of(entry),
                target=old.connection_id,
                project_id=old.project_id,
                limit="connections_per_user",
                worker=old.worker_id,
                code=CloseCode.REPLACED.value,
            )
        return entry

    async def leave(self, entry: Entry) -> None:
        """Give a place back."""
        await self._admission.release(entry)

    def open(
        self,
        transport: Transport,
        identity: Identity,
        entry: Entry,
        proposal_ids: frozenset[str] | None,
    ) -> Session:
        """Make the session of a connection that has a place."""
        session = Session(self._services(), transport, identity, entry, proposal_ids)
        self.sessions[entry.connection_id] = session
        self._auditor.record(
            Action.CONNECTION_OPENED, by=Acting.of(entry), transport=entry.transport
        )
        return session

    def closed(self, session: Session, ended: Ended) -> None:
        """A session has ended: its place is free."""
        entry = session.entry
        self.sessions.pop(entry.connection_id, None)
        services = self._services()
        services.tasks.start(self.leave(entry), name="release-place")
        by = Acting.of(entry)
        limit = _LIMITS.get(CloseCode(ended.code)) if ended.by_server and ended.code else None
        if limit is not None:
            self._auditor.record(
                Action.LIMIT_HIT, Outcome.DENIED, by=by, limit=limit, code=ended.code
            )
        self._auditor.record(
            Action.CONNECTION_CLOSED,
            by=by,
            code=ended.code,
            reason=ended.reason or None,
            initiator="server" if ended.by_server else "client",
            transport=entry.transport,
            duration_ms=round((time.time() - entry.opened_at) * 1000),
        )
        _log.debug(
            "session_closed",
            connection_id=entry.connection_id,
            project_id=entry.project_id,
            code=ended.code,
        )

    def close(self, connection_id: str, code: CloseCode, reason: str | None = None) -> bool:
        """Close a connection of this worker; whether it was here."""
        session = self.sessions.get(connection_id)
        if session is None:
            return False
        session.close(code, reason)
        return True

    def close_all(self, code: CloseCode) -> None:
        """Close every connection of this worker."""
        for session in list(self.sessions.values()):
            session.close(code)
