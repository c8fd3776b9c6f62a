"""`/ws/audit` and `/api/v1/audit`: the audit log, for admins."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, Final, TypedDict

import msgspec

from handlers.base.api import ApiHandler
from handlers.base.handler import BaseHandler
from handlers.base.operations import Answer, operation
from handlers.base.problems import Problem
from handlers.realtime.websocket import SessionSocket
from rtserver.audit.live.filter import PARAMETERS, AuditFilter, AuditParameters
from rtserver.audit.live.messages import AuditLogName, AuditRecord, AuditSocketQuery
from rtserver.audit.live.service import MAX_PAGE, AuditWatch
from rtserver.audit.record.actions import Action, Outcome
from rtserver.eventlog.api import at
from rtserver.model.connection import ConnectionRecord
from rtserver.model.errors import InvalidError
from rtserver.model.field_types import EventId, Moment
from rtserver.model.identity import Identity
from rtserver.model.moments import rfc3339
from rtserver.sessions.session import Session

COUNTED: Final = timedelta(minutes=5)
MAX_SLOT_S: Final = 7 * 24 * 3600


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
        before: read back from this record instead: the newest ones before it.
        limit: so many records at most.
    """

    log: AuditLogName = "users"
    after: EventId | None = None
    before: EventId | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] = 100


class AuditPageJson(TypedDict):
    """A page of the audit log.

    Attributes:
        position: where the page ends; ask on from here while there is more. Of one that was read
            back: where it begins, for the next `before`.
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
        """Read the audit log: the records after `after`, or before `before`, that the filter wants.

        Reading is recorded too. An unknown parameter is refused: a filter with a slip of the pen
        would show nothing, or everything.
        """
        wanted = filter_of(self, "log", "after", "before", "limit")
        query = self.query(AuditQuery)
        if query.after is not None and query.before is not None:
            raise Problem(422, "after and before go in two directions: one of them", "invalid")
        watch = self.context.audit_watches[query.log]
        page = await watch.read(
            self.identity,
            wanted,
            after=await self._place(watch, "after", query.after),
            before=await self._place(watch, "before", query.before),
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

    async def _place(self, watch: AuditWatch, name: str, text: str | None) -> int | None:
        position = self.position(name, text)
        if position is None:
            return None
        if not await watch.reaches(position):
            raise Problem(409, f"{name}: this position is of another log; begin anew", "lost")
        return position.seq


class AuditCountsQuery(AuditParameters):
    """What is counted.

    Attributes:
        log: which log.
        slot_s: how many seconds are counted together.
    """

    log: AuditLogName = "users"
    slot_s: Annotated[int, msgspec.Meta(ge=1, le=MAX_SLOT_S)] = 5


class AuditSlotJson(TypedDict):
    """How many records there were in a slot of time.

    Attributes:
        at: when it begins.
    """

    at: Moment
    allowed: int
    denied: int
    failed: int


class AuditCountsJson(TypedDict):
    """Records counted by time and outcome.

    Attributes:
        slots: those in which there were any, the earliest first.
        position: records after this one are not counted.
        complete: whether all since `since` were looked at, and not only the newest of very many.
    """

    slots: list[AuditSlotJson]
    position: EventId
    complete: bool


class AuditCountsHandler(ApiHandler):
    """How many records there are."""

    audit_actions: ClassVar = {"GET": Action.AUDIT_READ}

    @operation(
        "countAudit",
        {200: Answer((AuditCountsJson,), description="How many records there are, by time")},
        query=AuditCountsQuery,
        problems=(422,),
        roles=("admin",),
    )
    async def get(self) -> None:
        """Count the records that the filter wants, by time and outcome, since `since`.

        Without `since`: of the last five minutes. Counting is recorded as reading is.
        """
        wanted = filter_of(self, "log", "slot_s")
        query = self.query(AuditCountsQuery)
        watch = self.context.audit_watches[query.log]
        since = datetime.now(UTC) - COUNTED
        if wanted.since is not None:
            since = datetime.fromisoformat(wanted.since)
        counts = await watch.count(self.identity, wanted, since=since, slot_s=query.slot_s)
        slots = sorted({slot for slot, _ in counts.slots})
        self.json(
            {
                "slots": [
                    {
                        "at": rfc3339(datetime.fromtimestamp(slot * query.slot_s, UTC)),
                        **{str(outcome): counts.slots[slot, outcome] for outcome in Outcome},
                    }
                    for slot in slots
                ],
                "position": str(at(watch.log, counts.seq)),
                "complete": counts.complete,
            }
        )
