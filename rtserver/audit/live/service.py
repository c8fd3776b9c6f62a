"""The service by which admins watch and read the audit log, which is recorded."""

from datetime import datetime

from rtserver.audit.live.filter import AuditFilter
from rtserver.audit.live.messages import AuditLogName
from rtserver.audit.live.reader import AuditPage, AuditReader, Counts
from rtserver.audit.live.session import AuditSession
from rtserver.audit.record.actions import Acting, Action
from rtserver.audit.record.auditor import Auditor
from rtserver.eventlog.api import EventLog
from rtserver.model.connection import ConnectionRecord
from rtserver.model.errors import ForbiddenError
from rtserver.model.events import AUDIT_PROJECT
from rtserver.model.identity import Identity
from rtserver.model.positions import Position
from rtserver.sessions.gateway import Gateway
from rtserver.sessions.services import SessionServices
from rtserver.sessions.transport import Transport

MAX_PAGE = 1_000


class AuditWatch:
    """What `/ws/audit` and `GET /api/v1/audit` hand over to."""

    def __init__(
        self,
        gateway: Gateway,
        log: EventLog,
        auditor: Auditor,
        services: SessionServices,
        *,
        name: AuditLogName = "users",
    ) -> None:
        """Make it.

        Args:
            gateway: lets admins in.
            log: the log that is watched.
            auditor: records that it is watched.
            services: what audit sessions need.
            name: of the log.
        """
        self.log = log
        self._gateway = gateway
        self._auditor = auditor
        self._services = services
        self._reader = AuditReader(log)
        self._name: AuditLogName = name
        self._said = None if name == "users" else name

    async def enter(self, identity: Identity, transport: str) -> ConnectionRecord:
        """Take a place for an admin's connection; see `Gateway.enter_audit`.

        Raises:
            ForbiddenError: the user is no admin.
            AuditFullError: it could not be recorded.
            StoreUnavailableError: the registries could not be reached.
        """
        self._auditor.ensure(Action.AUDIT_WATCHED)
        return await self._gateway.enter_audit(identity, transport)

    def open(
        self,
        transport: Transport,
        identity: Identity,
        entry: ConnectionRecord,
        wanted: AuditFilter,
        history: int,
    ) -> AuditSession:
        """Make the session of a connection that has a place."""
        session = AuditSession(
            self._services,
            transport,
            identity,
            entry,
            reader=self._reader,
            wanted=wanted,
            history=history,
            log=self._name,
        )
        self._gateway.register(session)
        self._auditor.record(
            Action.AUDIT_WATCHED,
            by=Acting.of(entry),
            filter=wanted.to_json(),
            history=history or None,
            log=self._said,
        )
        return session

    async def reaches(self, position: Position) -> bool:
        """Whether the log is this position's, and has come so far.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        if position.epoch != self.log.epoch:
            return False
        return position.seq <= await self.log.head(AUDIT_PROJECT)

    async def read(
        self,
        identity: Identity,
        wanted: AuditFilter,
        *,
        after: int | None,
        before: int | None = None,
        limit: int,
    ) -> AuditPage:
        """Read a page: on from `after`, or back from `before`.

        Raises:
            ForbiddenError: the user is no admin.
            AuditFullError: it could not be recorded.
            StoreUnavailableError: MongoDB does not answer.
        """
        self._check(identity)
        if before is None:
            page = await self._reader.page(wanted, after=after, limit=limit)
        else:
            page = await self._reader.older(wanted, before=before, limit=limit)
        self._record_read(wanted, len(page.records))
        return page

    async def count(
        self, identity: Identity, wanted: AuditFilter, *, since: datetime, slot_s: int
    ) -> Counts:
        """Count records by time and outcome; see `AuditReader.count`. It raises as `read` does."""
        self._check(identity)
        counts = await self._reader.count(wanted, since=since, slot_s=slot_s)
        self._record_read(wanted, counts.slots.total())
        return counts

    def _check(self, identity: Identity) -> None:
        if not identity.is_admin:
            raise ForbiddenError("Reading the audit log needs the role admin", "not_admin")
        self._auditor.ensure(Action.AUDIT_READ)

    def _record_read(self, wanted: AuditFilter, records: int) -> None:
        self._auditor.record(
            Action.AUDIT_READ, filter=wanted.to_json(), records=records, log=self._said
        )
