"""Lets clients in: who they are, whether there is room, and the sessions of this worker."""

import secrets
import time
from collections.abc import Callable

import structlog

from rtserver.admission import Admission, Entry
from rtserver.close_codes import CloseCode
from rtserver.errors import ForbiddenError
from rtserver.identity import Identity
from rtserver.metrics import Metrics
from rtserver.session import Session, SessionServices, Transport
from rtserver.token_source import FoundToken
from rtserver.tokens import TokenRefused, TokenVerifier

_log = structlog.get_logger()


class Gateway:
    """What every way in uses."""

    def __init__(
        self,
        verifier: TokenVerifier,
        admission: Admission,
        services: Callable[[], SessionServices],
        metrics: Metrics,
        *,
        worker_id: str,
    ) -> None:
        self._verifier = verifier
        self._admission = admission
        self._services = services
        self._metrics = metrics
        self._worker_id = worker_id
        self.sessions: dict[str, Session] = {}

    async def identify(self, found: FoundToken | None) -> Identity:
        """Whom a token names.

        Raises:
            TokenRefused: it proves nothing.
        """
        try:
            return await self._verifier.verify(found.token if found else "")
        except TokenRefused as refused:
            self._metrics.token_refused(refused.reason)
            raise

    async def refresh(self, identity: Identity, token: str) -> Identity:
        """The identity of another token of the same user.

        Raises:
            TokenRefused: it proves nothing, or is somebody else's.
        """
        try:
            return await self._verifier.refresh(identity, token)
        except TokenRefused as refused:
            self._metrics.token_refused(refused.reason)
            raise

    async def enter(self, identity: Identity, project_id: str, transport: str) -> Entry:
        """Take a place for a connection; `leave` gives it back.

        Raises:
            ForbiddenError: the project is not this user's.
            ProjectFullError: no place is left in the project.
            StoreUnavailableError: the registries could not be reached.
        """
        if not identity.may_open(project_id):
            raise ForbiddenError("Forbidden: this token does not open the project")
        entry = Entry(
            connection_id=secrets.token_hex(8),
            worker_id=self._worker_id,
            user_id=identity.user_id,
            project_id=project_id,
            transport=transport,
            opened_at=time.time(),
        )
        await self._admission.admit(entry)
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
        return session

    def closed(self, session: Session, code: CloseCode | None) -> None:
        """A session has ended: its place is free."""
        self.sessions.pop(session.entry.connection_id, None)
        services = self._services()
        services.tasks.start(self.leave(session.entry), name="release-place")
        _log.debug(
            "session_closed",
            connection_id=session.entry.connection_id,
            project_id=session.project_id,
            code=code,
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
