"""Publishing on a socket: the command `publish` of services.

What comes in one turn of the event loop goes into the log together, and is answered and recorded
together. So a client with many events under way costs one publication, one `ack` and one record for
a few dozen of them; and one with a single event at a time waits for nothing.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
import structlog

from rtserver.audit.record.actions import Acting, Action
from rtserver.audit.record.auditor import Auditor
from rtserver.audit.record.outcomes import outcome_of
from rtserver.eventlog.api import EventLog, PublicationTooLargeError
from rtserver.eventlog.publishing import (
    MAX_KEY_CHARS,
    PublishedEvent,
    attempt_details,
    draft_of,
    key_in_log,
    stored_details,
)
from rtserver.lib.tasks import TaskOwner
from rtserver.model.errors import AnsweredError, BusyError, ForbiddenError
from rtserver.model.events import EventDraft
from rtserver.model.field_types import EventId
from rtserver.sessions.client_messages import Command, RequestId
from rtserver.sessions.server_frames import Ack
from rtserver.sessions.services import Taker
from rtserver.sessions.session import Session

MAX_UNDER_WAY = 1_000
MAX_UNDER_WAY_BYTES = 1024 * 1024
"""Of one session, as messages; what comes beyond is refused, and nothing of it is kept."""
MAX_TOGETHER = 100
MAX_TOGETHER_BYTES = 32 * 1024

_log = structlog.get_logger()


class Publish(Command, tag="publish"):
    """Publish an event in the session's project; for the role service.

    Attributes:
        event: as `POST /api/v1/projects/{project_id}/events` takes it.
        idempotency_key: the same event under the same key is stored once, whichever way it comes.
    """

    event: PublishedEvent
    idempotency_key: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_KEY_CHARS)] | None = (
        None
    )


class PublishedOnSocket(msgspec.Struct, omit_defaults=True):
    """An event that is on a majority of the replica set.

    Attributes:
        id: where it is in the log.
        request_id: of the command that published it.
        duplicate: it was there already under its key; nothing was stored now.
    """

    id: EventId
    request_id: RequestId = None
    duplicate: bool = False


class PublishAck(Ack):
    """The answer to one `publish` or to several; `request_id` is set where it was one."""

    published: list[PublishedOnSocket]


RECORDED: Mapping[type[Command], Action] = {Publish: Action.EVENT_PUBLISHED}
"""What the audit log calls it."""


@dataclass(slots=True)
class _Item:
    """A command that is under way."""

    request_id: RequestId
    draft: EventDraft
    key: str | None
    size_bytes: int


@dataclass(slots=True)
class _UnderWay:
    """What one session has under way.

    Attributes:
        arrived: what came in this turn of the loop, in its order.
    """

    count: int = 0
    size_bytes: int = 0
    arrived: list[_Item] = field(default_factory=list)


class SocketPublishing:
    """Takes the command `publish` of all sessions of a worker."""

    def __init__(
        self, log: EventLog, auditor: Auditor, tasks: TaskOwner, *, max_data_bytes: int
    ) -> None:
        """Make it.

        Args:
            log: where to.
            auditor: takes a record of what was published together, and of each refusal.
            tasks: own what waits for the log.
            max_data_bytes: most of one event's data, as JSON.
        """
        self._log = log
        self._auditor = auditor
        self._tasks = tasks
        self._max_data_bytes = max_data_bytes
        self._under_way: dict[Session, _UnderWay] = {}

    def table(self) -> Mapping[type[Command], Taker]:
        """From the type of a command to what takes it."""
        return {Publish: self.take}

    def take(self, session: Session, command: Publish, size_bytes: int) -> None:
        """Take a command; its answer follows once it is durable. Never waits.

        Args:
            session: whose it is.
            command: what to publish.
            size_bytes: of the message.
        """
        under_way = self._under_way.get(session) or _UnderWay()
        try:
            item = self._checked(session, command, size_bytes)
            if (
                under_way.count >= MAX_UNDER_WAY
                or under_way.size_bytes + size_bytes > MAX_UNDER_WAY_BYTES
            ):
                raise BusyError("Too much that you publish is under way; wait for its acks")
        except AnsweredError as error:
            self._refuse(session, [command.request_id], error, types=[command.event.type], events=1)
            return
        under_way.count += 1
        under_way.size_bytes += size_bytes
        under_way.arrived.append(item)
        if len(under_way.arrived) == 1:
            self._under_way[session] = under_way
            asyncio.get_running_loop().call_soon(self._store_arrived, session, under_way)

    def _checked(self, session: Session, command: Publish, size_bytes: int) -> _Item:
        if not session.identity.is_service:
            raise ForbiddenError("Publishing needs the role service")
        project_id, user_id = session.project_id, session.identity.user_id
        key = command.idempotency_key
        draft = draft_of(command.event, project_id, user_id, max_data_bytes=self._max_data_bytes)
        self._auditor.ensure(Action.EVENT_PUBLISHED)
        return _Item(
            command.request_id,
            draft,
            None if key is None else key_in_log(project_id, user_id, key),
            size_bytes,
        )

    def _store_arrived(self, session: Session, under_way: _UnderWay) -> None:
        arrived, under_way.arrived = under_way.arrived, []
        for items in _together(arrived):
            # Tasks begin in the order in which they are made, and so the log gets what they have.
            self._tasks.start(self._store(session, under_way, items), name="publish")

    async def _store(self, session: Session, under_way: _UnderWay, items: list[_Item]) -> None:
        try:
            await self._publish(session, items)
        except PublicationTooLargeError:  # of several: then each goes by itself
            for item in items:
                await self._publish(session, [item])
        finally:
            under_way.count -= len(items)
            under_way.size_bytes -= sum(item.size_bytes for item in items)
            if not under_way.count:
                self._under_way.pop(session, None)

    async def _publish(self, session: Session, items: list[_Item]) -> None:
        drafts = [item.draft for item in items]
        attempt = attempt_details(drafts)
        try:
            published = await self._log.publish(drafts, key=items[0].key)
        except BaseException as error:
            if isinstance(error, PublicationTooLargeError) and len(items) > 1:
                raise
            self._refuse(session, [item.request_id for item in items], error, **attempt)
            if not isinstance(error, Exception):
                raise
            return
        self._auditor.record(
            Action.EVENT_PUBLISHED,
            target=session.project_id,
            by=Acting.of(session.entry),
            **attempt,
            **stored_details(published),
        )
        session.send(
            PublishAck(
                request_id=items[0].request_id if len(items) == 1 else None,
                published=[
                    PublishedOnSocket(event_id, item.request_id, published.duplicate)
                    for event_id, item in zip(published.ids, items, strict=True)
                ],
            )
        )

    def _refuse(
        self,
        session: Session,
        request_ids: Sequence[RequestId],
        error: BaseException,
        **details: Any,
    ) -> None:
        """Record what came to nothing, as far as is known, and tell each who asked for it."""
        outcome, reason = outcome_of(error)
        by = Acting.of(session.entry)
        self._auditor.record(
            Action.EVENT_PUBLISHED,
            outcome,
            target=session.project_id,
            by=by,
            reason=reason,
            **details,
        )
        if isinstance(error, AnsweredError):
            words, more = str(error), error.details
        else:
            words, more = "The server could not do this; try again", {}
            if isinstance(error, Exception):
                _log.error("command_failed", command=Publish.__name__, exc_info=error)
        for request_id in request_ids:
            session.send_error(request_id, reason, words, more)


def _together(arrived: Sequence[_Item]) -> Iterator[list[_Item]]:
    """What is stored together, in order: neighbours without a key, up to a bound."""
    items: list[_Item] = []
    size_bytes = 0
    for item in arrived:
        is_apart = item.key is not None or (bool(items) and items[-1].key is not None)
        is_full = len(items) >= MAX_TOGETHER or size_bytes + item.size_bytes > MAX_TOGETHER_BYTES
        if items and (is_apart or is_full):
            yield items
            items, size_bytes = [], 0
        items.append(item)
        size_bytes += item.size_bytes
    if items:
        yield items
