"""The gateway: lets clients in by token and by room."""

import asyncio
import secrets
import time

import structlog

from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.auditor import Auditor
from rtserver.audit.record.outcomes import record_failed
from rtserver.auth.bearer import FoundToken
from rtserver.auth.tokens import TokenRefused, TokenVerifier
from rtserver.eventlog.answering import Answering
from rtserver.lib.tasks import TaskOwner
from rtserver.model.close_codes import CloseCode
from rtserver.model.connection import ConnectionRecord
from rtserver.model.errors import ForbiddenError, ProjectFullError, StoreUnavailableError
from rtserver.model.events import AUDIT_PROJECT
from rtserver.model.identity import Identity
from rtserver.sessions.admission import Admission
from rtserver.sessions.metrics import SessionMetrics
from rtserver.sessions.request_rates import Counted, RequestRates
from rtserver.sessions.services import Ended
from rtserver.sessions.session import Session
from rtserver.sessions.table import SessionTable

_LIMITS = {
    CloseCode.TOO_SLOW: "outbox_bytes",
    CloseCode.TOO_MANY_MESSAGES: "messages_per_s",
    CloseCode.PROTOCOL_ERROR: "unusable_messages",
}

REVOKED = "Unauthorized: an administrator revoked the token; get a new one"

_log = structlog.get_logger()


class Gateway:
    """What every way in uses."""

    def __init__(
        self,
        verifier: TokenVerifier,
        admission: Admission,
        table: SessionTable,
        tasks: TaskOwner,
        metrics: SessionMetrics,
        auditor: Auditor,
        answering: Answering,
        rates: RequestRates,
        *,
        worker_id: str,
    ) -> None:
        """Make it.

        Args:
            verifier: of tokens.
            admission: has the places.
            table: of this worker's sessions.
            tasks: owns what gives places back.
            metrics: counts refused tokens.
            auditor: records who comes and goes.
            answering: whether MongoDB answers.
            rates: how often somebody may come.
            worker_id: this worker.
        """
        self._verifier = verifier
        self._admission = admission
        self._table = table
        self._tasks = tasks
        self._metrics = metrics
        self._auditor = auditor
        self._answering = answering
        self._rates = rates
        self._worker_id = worker_id

    async def identify(
        self, found: FoundToken | None, counted: Counted = Counted.REQUEST
    ) -> Identity:
        """Whom a token names.

        Args:
            found: the token.
            counted: what it is shown for.

        Raises:
            TokenRefused: it proves nothing.
            TooOftenError: this user, or somebody without a token from there, comes too often.
        """
        acting = self._auditor.acting()
        try:
            identity = await self._verifier.verify(found.token if found else "")
        except TokenRefused as refused:
            if refused.reason != "keys_unavailable":
                await self._rates.address(acting.ip or "", counted)
            self._refused(refused)
            raise
        acting.actor = identity.user_id
        await self._rates.user(identity, counted)
        return identity

    def check(self, identity: Identity) -> None:
        """See that an identity is still honoured, where time has passed since it was verified.

        Raises:
            TokenRefused: its token was revoked.
        """
        if self._verifier.revocations.refuses(identity):
            refused = TokenRefused("revoked")
            self._refused(refused)
            raise refused

    def _refused(self, refused: TokenRefused) -> None:
        self._metrics.token_refused(refused.reason)
        path = self._auditor.acting().path
        record_failed(self._auditor, Action.TOKEN_REFUSED, refused, path=path)

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

    async def enter(
        self,
        identity: Identity,
        project_id: str,
        transport: str,
        looking_at: frozenset[str] = frozenset(),
    ) -> ConnectionRecord:
        """Take a place for a connection; `leave` gives it back.

        Args:
            identity: whose it is.
            project_id: what it is for.
            transport: how it comes.
            looking_at: the proposals that the user looks at; empty for the whole project.

        Raises:
            ForbiddenError: the project is not this user's.
            ProjectFullError: no place is left in the project.
            StoreUnavailableError: the registries could not be reached.
        """
        refusal = None
        if not identity.may_open(project_id):
            refusal = ForbiddenError("Forbidden: this token does not open the project")
        return await self._enter(identity, project_id, transport, refusal, looking_at)

    async def enter_audit(self, identity: Identity, transport: str) -> ConnectionRecord:
        """Take a place for an admin who watches the audit log.

        It counts among the connections of its user, and not among those of any project.

        Raises:
            ForbiddenError: the user is no admin.
            StoreUnavailableError: the registries could not be reached.
        """
        refusal = None
        if not identity.is_admin:
            refusal = ForbiddenError("Forbidden: the audit log is for admins", "not_admin")
        return await self._enter(identity, AUDIT_PROJECT, transport, refusal)

    async def _enter(
        self,
        identity: Identity,
        project_id: str,
        transport: str,
        refusal: ForbiddenError | None,
        looking_at: frozenset[str] = frozenset(),
    ) -> ConnectionRecord:
        acting = self._auditor.acting()
        entry = ConnectionRecord(
            connection_id=secrets.token_hex(8),
            worker_id=self._worker_id,
            user_id=identity.user_id,
            project_id=project_id,
            transport=transport,
            opened_at=time.time(),
            ip=acting.ip or "",
            name=identity.name,
            looking_at=looking_at,
        )
        acting.project_id = Acting.of(entry).project_id
        try:
            if refusal is not None:
                raise refusal
            async with self._answering.required():
                evicted = await self._admission.admit(entry)
        except (ForbiddenError, ProjectFullError, StoreUnavailableError) as error:
            record_failed(
                self._auditor, Action.CONNECTION_DENIED, error, by=acting, transport=transport
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

    async def leave(self, entry: ConnectionRecord) -> None:
        """Give a place back."""
        await self._admission.release(entry)

    def register(self, session: Session) -> None:
        """Take up a session that has a place."""
        entry = session.entry
        self._table.add(session)
        self._auditor.record(
            Action.CONNECTION_OPENED, by=Acting.of(entry), transport=entry.transport
        )

        # Once it has started: its token may have been revoked since it was verified.
        asyncio.get_running_loop().call_soon(self._end_if_revoked, session)

    def _end_if_revoked(self, session: Session) -> None:
        if self._verifier.revocations.refuses(session.identity):
            session.close(CloseCode.UNAUTHORIZED, REVOKED)

    def end_of_user(self, user_id: str) -> None:
        """End the sessions of a user on this worker whose tokens are revoked."""
        for session in self._table.of_user(user_id):
            self._end_if_revoked(session)

    def closed(self, session: Session, ended: Ended) -> None:
        """A session has ended: its place is free."""
        entry = session.entry
        self._table.remove(session)
        self._tasks.start(self.leave(entry), name="release-place")
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
