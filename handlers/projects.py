"""`/api/v1/projects/{project_id}`: snapshot, history, publishing, proposals."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from handlers.base import ApiHandler, Problem
from rtserver import ids
from rtserver.errors import InvalidError
from rtserver.events import (
    WHOLE_PROJECT,
    Audience,
    EventDraft,
    EventType,
    only_users,
    viewers_of,
)
from rtserver.log import at
from rtserver.positions import BadPositionError, Position
from rtserver.proposals import Proposal, ProposalStatus

MAX_HISTORY = 1000
MAX_BATCH = 500
MAX_KEY_CHARS = 255
MAX_USERS = 1000


class ProjectHandler(ApiHandler):
    """The snapshot."""

    async def get(self, project: str) -> None:
        """Answer with the project as it is now."""
        project_id = self.open_project(project)
        self.json(await self.context.snapshots.take(project_id))


class NewProposalBody(msgspec.Struct):
    """The body of `POST .../proposals`."""

    title: str
    id: str | None = None
    author: str | None = None
    reviewers: list[str] = []
    status: ProposalStatus = ProposalStatus.DRAFT


class ProposalsHandler(ApiHandler):
    """Makes proposals known."""

    async def post(self, project: str) -> None:
        """Make a proposal; 409 where its id is taken."""
        project_id = self.open_project(project)
        body = self.body(NewProposalBody)
        proposal_id = ids.proposal_id(body.id) if body.id is not None else _slug(body.title)
        for what, text in (("title", body.title), ("author", body.author or "x")):
            if not text.strip() or len(text) > 256 or not text.isprintable():
                raise InvalidError(f"{what} takes 1 to 256 printable characters")
        now = datetime.now(UTC)
        proposal = Proposal(
            proposal_id=proposal_id,
            project_id=project_id,
            title=body.title.strip(),
            author=body.author or self.identity.user_id,
            reviewers=list(dict.fromkeys(body.reviewers)),
            status=body.status,
            created_at=now,
            updated_at=now,
        )
        created = EventDraft(
            project_id,
            EventType.PROPOSAL_CREATED,
            {"proposal": proposal.to_json(), "actor": self.identity.user_id},
            proposal_id=proposal_id,
        )
        await self.context.proposals.create(proposal, created)
        self.set_header("Location", f"/api/v1/proposals/{proposal_id}")
        self.json(proposal.to_json(), 201)


def _slug(title: str) -> str:
    words = "".join(char if char.isascii() and char.isalnum() else " " for char in title.lower())
    return ids.proposal_id("-".join(words.split())[:100].strip("-"))


class EventBody(msgspec.Struct):
    """One event that a service publishes.

    `audience` is `project`, `proposal` (the viewers of `proposal_id`) or `{"users": [...]}`; left
    out it is `proposal` where there is a proposal, else `project`.
    """

    type: str
    data: Any = msgspec.field(default_factory=dict)
    proposal_id: str | None = None
    audience: str | dict[str, list[str]] | None = None


class BatchBody(msgspec.Struct):
    """Several events, stored all or none and next to each other."""

    events: list[EventBody]


class EventsHandler(ApiHandler):
    """History, and publishing by services."""

    async def get(self, project: str) -> None:
        """Answer with what came after `after`, at most `limit` events that this user may see."""
        project_id = self.open_project(project)
        limit = self.number("limit", 100, low=1, high=MAX_HISTORY)
        log = self.context.log
        head = await log.head(project_id)
        oldest = await log.oldest(project_id)
        after = self._after(head, oldest)
        lost = max(0, min(oldest, head + 1) - 1 - after) if after >= 0 else 0
        seq = max(after, oldest - 1, 0)
        events: list[bytes] = []
        while seq < head and len(events) < limit:
            packs = await log.read(project_id, after=seq, upto=head, limit=limit)
            if not packs:
                seq = head
            for pack in packs:
                for event in pack.events(after=seq, upto=head):
                    if len(events) >= limit:
                        break
                    seq = event.seq
                    if self._sees(event.audience):
                        events.append(event.payload)
        self.json(
            {
                "events": [msgspec.Raw(payload) for payload in events],
                "position": str(at(log, seq)),
                "more": seq < head,
                "lost": lost,
            }
        )

    def _after(self, head: int, oldest: int) -> int:
        text = self.get_query_argument("after", None)
        if text is None:
            return oldest - 1
        try:
            position = Position.parse(text)
        except BadPositionError as error:
            raise Problem(400, f"after: {error}", "invalid") from None
        if position.epoch != self.context.log.epoch or position.seq > head:
            raise Problem(
                409, "after: this position is of another log; fetch the state anew", "lost"
            )
        return position.seq

    def _sees(self, audience: Audience) -> bool:
        return audience.kind in ("project", "proposal") or self.identity.user_id in audience.users

    async def post(self, project: str) -> None:
        """Append events; 201 when they are durable."""
        project_id = self.open_project(project)
        if not self.identity.is_service:
            raise Problem(403, "Publishing needs the role service", "forbidden")
        if len(self._body) > 0 and b'"events"' in self._body[:4096]:
            bodies = self.body(BatchBody).events
            if not 1 <= len(bodies) <= MAX_BATCH:
                raise InvalidError(f"A batch takes 1 to {MAX_BATCH} events")
        else:
            bodies = [self.body(EventBody)]
        drafts = [self._draft(project_id, body) for body in bodies]
        key = self.request.headers.get("Idempotency-Key")
        if key is not None:
            if not 1 <= len(key) <= MAX_KEY_CHARS or not key.isprintable():
                raise Problem(
                    400, f"Idempotency-Key takes 1 to {MAX_KEY_CHARS} printable characters"
                )
            # The user is part of it: keys of different services never meet.
            key = f"publish:{project_id}:{self.identity.user_id}:{key}"
        published = await self.context.log.publish(drafts, key=key)
        if published.duplicate:
            self.set_header("Idempotency-Replayed", "true")
        event_ids = published.ids
        self.json({"id": event_ids[-1], "ids": event_ids}, 201)

    def _draft(self, project_id: str, body: EventBody) -> EventDraft:
        try:
            type_ = ids.event_type(body.type)
            proposal_id = None if body.proposal_id is None else ids.proposal_id(body.proposal_id)
        except ids.BadIdentifier as error:
            raise InvalidError(str(error), "bad_identifier") from None
        draft = EventDraft(
            project_id,
            type_,
            {"data": body.data, "actor": self.identity.user_id},
            audience=_audience(body.audience, proposal_id),
            proposal_id=proposal_id,
        )
        limit = self.context.max_message_bytes
        if len(msgspec.json.encode(body.data)) > limit:
            raise Problem(413, f"An event's data may have {limit} bytes at most", "too_large")
        return draft


def _audience(wanted: str | dict[str, list[str]] | None, proposal_id: str | None) -> Audience:
    if wanted is None:
        return WHOLE_PROJECT if proposal_id is None else viewers_of(proposal_id)
    if wanted == "project":
        return WHOLE_PROJECT
    if wanted == "proposal":
        if proposal_id is None:
            raise InvalidError("audience proposal needs a proposal_id")
        return viewers_of(proposal_id)
    if isinstance(wanted, dict) and set(wanted) == {"users"}:
        if not 1 <= len(wanted["users"]) <= MAX_USERS:
            raise InvalidError(f"audience users takes 1 to {MAX_USERS} user ids")
        return only_users(frozenset(wanted["users"]))
    raise InvalidError('audience takes "project", "proposal" or {"users": [...]}')
