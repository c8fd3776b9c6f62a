"""From the logs to this worker's connections: feeds, and the tails that fill them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtserver.app.audit import Audit
from rtserver.app.documents import Documents
from rtserver.app.event_log import EventLog, Log
from rtserver.app.foundation import Foundation
from rtserver.app.mongo import MongoAccess
from rtserver.app.webhooks import Webhooks
from rtserver.audit.live.fanout import AuditFanout
from rtserver.delivery.dispatcher import Dispatcher
from rtserver.delivery.fanout import Fanout
from rtserver.delivery.log_pages import LogPages
from rtserver.delivery.membership import Membership, NoMembers
from rtserver.delivery.sender import Sender, open_ring
from rtserver.eventlog.metrics import LogMetrics
from rtserver.lib.tasks import TaskOwner
from rtserver.lib.waiting import is_set_within
from rtserver.model.close_codes import CloseCode
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import AUDIT_PROJECT, EventPack
from rtserver.sessions.feed_upkeep import FeedUpkeep
from rtserver.sessions.table import SessionTable
from store.log.collection import EVENTS
from store.log.tail import EventTail

TAIL_READY_S = 30.0


@dataclass(frozen=True, slots=True)
class AuditFeed:
    """The feed of an audit log, and what those read who catch up."""

    dispatcher: Dispatcher
    pages: LogPages


@dataclass(frozen=True, slots=True)
class Delivery:
    """The feeds of projects, and those of the audit logs.

    Attributes:
        pages: what those read who catch up.
        membership: who may see what of a proposal.
    """

    dispatcher: Dispatcher
    pages: LogPages
    audit: AuditFeed
    strangers: AuditFeed
    membership: Membership


def build_delivery(
    base: Foundation, events: EventLog, audit: Audit, documents: Documents
) -> Delivery:
    """Make the feeds; nothing comes before `follow_logs`."""
    settings, metrics = base.settings, base.metrics
    sender = Sender(open_ring())
    base.shutdown.push("sender", sender.close)
    tasks = base.shutdown.tasks("delivery")
    membership = Membership(documents.proposals)
    dispatcher = Dispatcher(
        events.writer,
        Fanout(metrics.log, sender),
        tasks,
        membership,
        recent_bytes=settings.recent_events_bytes,
        on_control=events.control.on_event,
    )
    # Half of what may be on its way to those who catch up; the other half waits for their sockets.
    # Admins who watch the audit logs are few.
    pages = LogPages(events.writer, settings.catch_up_bytes * 3 // 8)
    tasks.start(FeedUpkeep(dispatcher, events.writer, pages).run(), name="positions")

    def feed(log: Log, log_metrics: LogMetrics) -> AuditFeed:
        made = AuditFeed(
            Dispatcher(
                log.writer,
                AuditFanout(log_metrics, sender),
                tasks,
                Membership(NoMembers()),
                recent_bytes=settings.recent_events_bytes,
            ),
            LogPages(log.writer, settings.catch_up_bytes // 16),
        )
        upkeep = FeedUpkeep(made.dispatcher, log.writer, made.pages)
        tasks.start(upkeep.run(), name="audit-positions")
        return made

    return Delivery(
        dispatcher,
        pages,
        feed(audit.log, metrics.audit_log),
        feed(audit.strangers.log, metrics.stranger_log),
        membership,
    )


class _EventFeeds:
    """What becomes of the log's events here."""

    def __init__(
        self,
        events: EventLog,
        dispatcher: Dispatcher,
        table: SessionTable,
        tasks: TaskOwner,
        webhooks: Webhooks,
    ) -> None:
        self._log = events.writer
        self._control = events.control
        self._dispatcher = dispatcher
        self._table = table
        self._tasks = tasks
        self._webhooks = webhooks

    async def on_packs(self, packs: list[EventPack]) -> None:
        self._webhooks.saw(packs)
        await self._dispatcher.on_packs(packs)

    def on_epoch(self, epoch: str) -> None:
        """The log was lost: nobody can go on where they were."""
        self._log.begin_epoch(epoch)
        self._dispatcher.begin_epoch()
        self._table.close_all(CloseCode.GOING_AWAY)
        # As at the start: an empty log cannot be tailed.
        self._tasks.start(self._control.hello(), name="hello")


class _AuditPacks:
    """What becomes of an audit log's records here."""

    def __init__(self, log: Log, dispatcher: Dispatcher, table: SessionTable) -> None:
        self._log = log.writer
        self._dispatcher = dispatcher
        self._table = table

    async def on_packs(self, packs: list[EventPack]) -> None:
        self._log.saw(AUDIT_PROJECT, packs[-1].last)
        await self._dispatcher.on_packs(packs)

    def on_epoch(self, epoch: str) -> None:
        """The audit log was lost: those who watch begin anew."""
        self._log.begin_epoch(epoch)
        self._dispatcher.begin_epoch()
        self._table.close_all(CloseCode.GOING_AWAY, AUDIT_PROJECT)


async def build_tails(
    base: Foundation,
    mongo: MongoAccess,
    events: EventLog,
    audit: Audit,
    delivery: Delivery,
    table: SessionTable,
    webhooks: Webhooks,
) -> EventTail:
    """Follow all logs; the tail of the events, once it has begun.

    The last part of a worker but for its interface: whatever a message between workers is for has
    to be there when it comes. Webhooks are told of each batch before connections are.

    Raises:
        StoreUnavailableError: the log could not be tailed.
    """
    tasks = base.shutdown.tasks("tails")
    feeds = _EventFeeds(events, delivery.dispatcher, table, tasks, webhooks)
    tail = EventTail(
        mongo.database,
        events.store,
        base.metrics.log,
        feeds,
        epoch=events.writer.epoch,
        own=events.writer,
        under_way=events.writer.under_way,
        answering=events.answering,
    )
    tails = {EVENTS: tail, **_audit_tails(base, mongo, audit, delivery, table)}
    for name, one in tails.items():
        tasks.start(one.run(), name=f"{name}-tail")
    logs: list[Log] = [events, audit.log, audit.strangers.log]
    events.control.hear("epoch", _EpochNews(logs, tails).heard)
    base.readiness.add("tail", tail)
    base.readiness.add("mongodb", events.answering)
    # A tailing cursor on an empty collection ends at once, so there has to be something.
    await events.control.hello()
    for log in logs:
        if log.store.marks.begun is not None:
            await events.control.tell_all("epoch", log=log.store.collection, epoch=log.writer.epoch)
    if not await is_set_within(tail.ready, TAIL_READY_S):
        raise StoreUnavailableError("The event log could not be tailed")
    return tail


class _EpochNews:
    """Another worker, or an operator, gave a log another epoch."""

    def __init__(self, logs: Sequence[Log], tails: Mapping[str, EventTail]) -> None:
        self._logs = {log.store.collection: log.writer for log in logs}
        self._tails = tails

    async def heard(self, message: dict[str, Any]) -> None:
        log = self._logs.get(message["log"])
        if log is not None and log.epoch != message["epoch"]:
            self._tails[message["log"]].look_again()


def _audit_tails(
    base: Foundation, mongo: MongoAccess, audit: Audit, delivery: Delivery, table: SessionTable
) -> dict[str, EventTail]:
    """A tail of each audit log, by its collection."""
    tails = {}
    for log, metrics, dispatcher in (
        (audit.log, base.metrics.audit_log, delivery.audit.dispatcher),
        (audit.strangers.log, base.metrics.stranger_log, delivery.strangers.dispatcher),
    ):
        tails[log.store.collection] = EventTail(
            mongo.database,
            log.store,
            metrics,
            _AuditPacks(log, dispatcher, table),
            epoch=log.writer.epoch,
            own=log.writer,
            watched=dispatcher.held,
        )
    return tails
