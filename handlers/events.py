"""`/api/v1/projects/{project_id}/events`: history, and publishing by services."""

from typing import ClassVar
from urllib.parse import quote

import msgspec

from handlers.base import ApiHandler, Problem
from rtserver import ids
from rtserver.audit_actions import Action
from rtserver.history import EventFilter
from rtserver.log import at
from rtserver.publishing import MAX_KEY_CHARS, draft_of, parse_events

MAX_HISTORY = 1000
MAX_FILTERS = 100
MAX_TYPE_CHARS = 100
MAX_RECORDED_TYPES = 10


class EventsHandler(ApiHandler):
    """History, and publishing by services."""

    audit_actions: ClassVar = {"POST": Action.EVENT_PUBLISHED}

    async def get(self, project: str) -> None:
        """Answer with what came after `after`, at most `limit` events that this user may see.

        It is narrowed by `type` (`*` at the end matches a prefix) and `proposal_id`; both may be
        repeated.
        """
        project_id = self.open_project(project)
        limit = self.number("limit", 100, low=1, high=MAX_HISTORY)
        wanted = self._filter()
        after = await self._after(project_id)
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

    def _filter(self) -> EventFilter:
        types = self.get_query_arguments("type")
        proposals = self.get_query_arguments("proposal_id", strip=False)
        if len(types) + len(proposals) > MAX_FILTERS:
            raise Problem(400, f"type and proposal_id take {MAX_FILTERS} values at most", "invalid")
        if not all(1 <= len(type_) <= MAX_TYPE_CHARS for type_ in types):
            raise Problem(400, f"type takes 1 to {MAX_TYPE_CHARS} characters", "invalid")
        return EventFilter(frozenset(types), frozenset(map(ids.proposal_id, proposals)))

    async def _after(self, project_id: str) -> int | None:
        position = self.position("after")
        if position is None:
            return None
        log = self.context.log
        if position.epoch != log.epoch or position.seq > await log.head(project_id):
            raise Problem(
                409, "after: this position is of another log; fetch the state anew", "lost"
            )
        return position.seq

    async def post(self, project: str) -> None:
        """Append an event or a batch; 201 when it is durable."""
        project_id = self.open_project(project)
        if not self.identity.is_service:
            raise Problem(403, "Publishing needs the role service", "forbidden")
        limit = self.context.max_message_bytes
        drafts = [
            draft_of(event, project_id, self.identity.user_id, max_data_bytes=limit)
            for event in parse_events(bytes(self._body))
        ]
        types = list(dict.fromkeys(draft.type for draft in drafts))
        self.audit_details |= {"types": types[:MAX_RECORDED_TYPES], "events": len(drafts)}
        published = await self.context.log.publish(drafts, key=self._key(project_id))
        if published.duplicate:
            self.set_header("Idempotency-Replayed", "true")
        event_ids = published.ids
        self.audit_details |= {"first": event_ids[0], "duplicate": published.duplicate or None}
        self.json({"id": event_ids[-1], "ids": event_ids}, 201)

    def _key(self, project_id: str) -> str | None:
        key = self.request.headers.get("Idempotency-Key")
        if key is None:
            return None
        if not 1 <= len(key) <= MAX_KEY_CHARS or not key.isprintable():
            raise Problem(
                400, f"Idempotency-Key takes 1 to {MAX_KEY_CHARS} printable characters", "invalid"
            )
        # The user is part of it, quoted: keys of different services never meet.
        return f"publish:{project_id}:{quote(self.identity.user_id, safe='')}:{key}"
