"""`/ws/audit` and `/api/v1/audit`: the audit log, for admins."""

from typing import Annotated, ClassVar, TypedDict

import msgspec

from handlers.base.api import ApiHandler
from handlers.base.handler import BaseHandler
from handlers.base.operations import Answer, operation
from handlers.base.problems import Problem
from handlers.realtime.websocket import SessionSocket
from rtserver.audit.live.filter import PARAMETERS, AuditFilter, AuditParameters
from rtserver.audit.live.messages import AuditLogName, AuditRecord, AuditSocketQuery
from rtserver.audit.live.service import MAX_PAGE, AuditWatch
from rtserver.audit.record.actions import Action
from rtserver.eventlog.api import at
from rtserver.model.connection import ConnectionRecord
from rtserver.model.errors import InvalidError
from rtserver.model.field_types import EventId
from rtserver.model.identity import Identity
from rtserver.sessions.session import Session


def filter_of(handler: BaseHandler, *others: str) -> AuditFilter:
    """The filter in the query of a request.

    Args:
        handler: of the request.
        *others: parameters that are none of the filter's.

    Raises:
        InvalidError: a parameter is unknown, or has a value that it can't have.
    """
    names = [name for name in handler.request.query_arguments if name not in ("token", *others)]
    known = {name: handler.get_query_arguments(name, strip=False) for name in names}
    try:
        return AuditFilter.make(known)
    except InvalidError as error:
        if all(name in PARAMETERS for name in names):
            raise
        also = f"; also taken here: {', '.join(others)}"
        raise InvalidError(str(error) + also) from None


class AuditSocket(SessionSocket):
    """Records as they come, to an admin."""

    audit_actions: ClassVar = {"GET": Action.CONNECTION_DENIED}

    def _read_request(self, path_args: tuple[str, ...]) -> None:  # noqa: ARG002 - there are none
        """A mistake is said after the upgrade: a browser shows its page nothing before that."""
        self._wanted = filter_of(self, "log", "history", "last_event_id")
        try:
            query = self.read_query(AuditSocketQuery)
        except Problem as problem:
            raise InvalidError(problem.detail) from None
        self._history, self._last_event_id = query.history, query.last_event_id
        self._watch: AuditWatch = self.context.audit_watches[query.log]

    async def _enter(self, identity: Identity) -> ConnectionRecord:
        return await self._watch.enter(identity, self.encoding.value)

    def _make_session(self, identity: Identity, entry: ConnectionRecord) -> Session:
        return self._watch.open(self, identity, entry, self._wanted, self._history)


class AuditQuery(AuditParameters):
    """Which page of the log.

    Attributes:
        log: which log.
        after: begin after this record; without it, with the oldest that is left.
        limit: so many records at most.
    """

    log: AuditLogName = "users"
    after: EventId | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] = 100


class AuditPageJson(TypedDict):
    """A page of the audit log.

    Attributes:
        position: where the page ends; ask on from here while there is more.
        more: whether there was more when it was read.
        lost: records after `after` that are overwritten.
    """

    records: list[AuditRecord]
    position: EventId
    more: bool
    lost: int


class AuditHandler(ApiHandler):
    """Pages of the log."""

    audit_actions: ClassVar = {"GET": Action.AUDIT_READ}

    @operation(
        "readAudit",
        {200: Answer((AuditPageJson,), description="A page of the log")},
        query=AuditQuery,
        problems=(409, 422),
        roles=("admin",),
    )
    async def get(self) -> None:
        """Read the audit log: the records after `after` that the filter wants.

        Reading is recorded too. An unknown parameter is refused: a filter with a slip of the pen
        would show nothing, or everything.
        """
        wanted = filter_of(self, "log", "after", "limit")
        query = self.query(AuditQuery)
        watch = self.context.audit_watches[query.log]
        page = await watch.read(
            self.identity,
            wanted,
            after=await self._after(watch, query.after),
            limit=query.limit,
        )
        self.json(
            {
                "records": [msgspec.Raw(record.payload) for record in page.records],
                "position": str(at(watch.log, page.seq)),
                "more": page.more,
                "lost": page.lost,
            }
        )

    async def _after(self, watch: AuditWatch, text: str | None) -> int | None:
        position = self.position("after", text)
        if position is None:
            return None
        if not await watch.reaches(position):
            raise Problem(409, "after: this position is of another log; begin anew", "lost")
        return position.seq
