"""`/api/v1/projects/{project_id}/events`: history, and publishing by services."""

from typing import Annotated, Any, ClassVar, TypedDict

import msgspec

from handlers.base.api import ApiHandler
from handlers.base.operations import Answer, operation
from handlers.base.problems import Problem
from rtserver.audit.record.actions import Action
from rtserver.eventlog.api import at
from rtserver.eventlog.history import EventFilter
from rtserver.eventlog.publishing import (
    MAX_KEY_CHARS,
    PublishedBatch,
    PublishedEvent,
    attempt_details,
    drafts_of,
    key_in_log,
    parse_events,
    stored_details,
)
from rtserver.model import ids
from rtserver.model.field_types import EventId, ProposalId

MAX_HISTORY = 1000
MAX_FILTERS = 100
MAX_TYPE_CHARS = 100


class HistoryQuery(msgspec.Struct):
    """Which part of the log.

    Attributes:
        after: begin after this event; without it, with the oldest that is left.
        limit: so many events at most.
        type: events of these types only; `*` at the end matches a prefix.
        proposal_id: events of these proposals only.
    """

    after: EventId | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_HISTORY)] = 100
    type: Annotated[
        list[Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TYPE_CHARS)]],
        msgspec.Meta(max_length=MAX_FILTERS),
    ] = []
    proposal_id: Annotated[list[ProposalId], msgspec.Meta(max_length=MAX_FILTERS)] = []


class HistoryJson(TypedDict):
    """A part of a project's log.

    Attributes:
        events: the frames, as sessions get them.
        position: where it ends; ask on from here while there is more.
        more: whether there was more when it was read.
        lost: events after `after` that are overwritten.
    """

    events: list[dict[str, Any]]
    position: EventId
    more: bool
    lost: int


class PublishHeaders(msgspec.Struct):
    """Request headers of publishing.

    Attributes:
        idempotency_key: the same request under the same key is stored once.
    """

    idempotency_key: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_KEY_CHARS)] | None = (
        msgspec.field(name="Idempotency-Key", default=None)
    )


class PublishedJson(TypedDict):
    """What was stored.

    Attributes:
        id: of the last event.
        ids: of all, in order.
    """

    id: EventId
    ids: list[EventId]


class EventsHandler(ApiHandler):
    """History, and publishing by services."""

    audit_actions: ClassVar = {"POST": Action.EVENT_PUBLISHED}

    @operation(
        "readHistory",
        {200: Answer((HistoryJson,), description="A part of the log")},
        query=HistoryQuery,
        problems=(403, 409),
    )
    async def get(self, project: str) -> None:
        """Read a project's history, as far as this user may see it.

        A page may be shorter than `limit`, or empty, and have more after it.
        """
        project_id = self.open_project(project)
        query = self.query(HistoryQuery)
        limit = query.limit
        wanted = self._filter(query)
        after = await self._after(project_id, query.after)
        page = await self.context.history.page(
            project_id, self.identity.user_id, after=after, limit=limit, wanted=wanted
        )
        self.json(
            {
                "events": [msgspec.Raw(event.payload) for event in page.events],
                "position": str(at(self.context.log, page.seq)),
                "more": page.more,
                "lost": page.lost,
            }
        )

    def _filter(self, query: HistoryQuery) -> EventFilter:
        proposals = frozenset(map(ids.proposal_id, query.proposal_id))
        return EventFilter(frozenset(query.type), proposals)

    async def _after(self, project_id: str, text: str | None) -> int | None:
        position = self.position("after", text)
        if position is None:
            return None
        log = self.context.log
        if position.epoch != log.epoch or position.seq > await log.head(project_id):
            raise Problem(409, "after: this log has no such position; fetch the state anew", "lost")
        return position.seq

    @operation(
        "publish",
        {
            201: Answer(
                (PublishedJson,),
                headers=("Idempotency-Replayed",),
                description="The events are on disk on a majority of the replica set",
            )
        },
        headers=PublishHeaders,
        body=(PublishedEvent, PublishedBatch),
        roles=("service",),
    )
    async def post(self, project: str) -> None:
        """Publish an event or a batch, all of it or nothing."""
        project_id = self.open_project(project)
        if not self.identity.is_service:
            raise Problem(403, "Publishing needs the role service", "forbidden")
        drafts = drafts_of(
            parse_events(bytes(self._body)),
            project_id,
            self.identity.user_id,
            max_data_bytes=self.context.max_message_bytes,
        )
        self.audit_details |= attempt_details(drafts)
        published = await self.context.log.publish(drafts, key=self._key(project_id))
        if published.duplicate:
            self.set_header("Idempotency-Replayed", "true")
        event_ids = published.ids
        self.audit_details |= stored_details(published)
        self.json({"id": event_ids[-1], "ids": event_ids}, 201)

    def _key(self, project_id: str) -> str | None:
        key = self.sent_headers(PublishHeaders).idempotency_key
        return None if key is None else key_in_log(project_id, self.identity.user_id, key)
