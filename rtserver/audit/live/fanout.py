"""Audit fan-out: hands records to the admins who watch, as their filters say.

A record is looked into once, however many watch; admins with the same filter share what is sent;
and a filter that can't match by its most telling condition is not asked at all.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol, cast

from rtserver.audit.live.filter import AuditFilter, RecordView, view_of
from rtserver.delivery.fanout import Fanout
from rtserver.delivery.feed import Feed, Subscriber
from rtserver.delivery.send_buffer import Outbox
from rtserver.delivery.sender import Sender
from rtserver.delivery.wire_forms import ENCODERS, Encoding, join
from rtserver.eventlog.metrics import LogMetrics
from rtserver.model.events import StoredEvent


class AuditSubscriber(Subscriber, Protocol):
    """A live audit session, as the fan-out sees it.

    Attributes:
        filter: which records it gets.
    """

    filter: AuditFilter


class FilterIndex:
    """Several filters, and which of them a record has to be shown to."""

    def __init__(self, filters: Sequence[AuditFilter]) -> None:
        self._filters = tuple(filters)
        self._by_target: dict[str, list[int]] = defaultdict(list)
        self._by_actor: dict[str, list[int]] = defaultdict(list)
        self._by_project: dict[str, list[int]] = defaultdict(list)
        self._others: list[int] = []
        # Of the others: by action those that want it, filled as actions come by.
        self._by_action: dict[str, list[int]] = {}
        for index, wanted in enumerate(self._filters):
            if wanted.target is not None:
                self._by_target[wanted.target].append(index)
            elif wanted.actor is not None:
                self._by_actor[wanted.actor].append(index)
            elif wanted.project_id is not None:
                self._by_project[wanted.project_id].append(index)
            else:
                self._others.append(index)

    def select(self, view: RecordView) -> list[int]:
        """The indexes of the filters that want a record."""
        candidates: list[int] = self._of_action(view.action)
        for table, key in (
            (self._by_target, view.target),
            (self._by_actor, view.actor),
            (self._by_project, view.project_id),
        ):
            if key is not None and key in table:
                candidates = candidates + table[key]
        filters = self._filters
        return [index for index in candidates if filters[index].wants(view)]

    def _of_action(self, action: str) -> list[int]:
        found = self._by_action.get(action)
        if found is None:
            found = [index for index in self._others if self._filters[index].wants_action(action)]
            self._by_action[action] = found
        return found


class AuditFanout(Fanout):
    """The fan-out of the log `audit`."""

    def __init__(self, metrics: LogMetrics, sender: Sender) -> None:
        super().__init__(metrics, sender)
        self._present: tuple[tuple[Subscriber, ...], tuple[AuditFilter, ...]] = ((), ())
        self._groups: Sequence[tuple[AuditFilter, list[AuditSubscriber]]] = ()
        self._index = FilterIndex(())

    def _deliver_part(self, feed: Feed, events: list[StoredEvent]) -> None:
        live = feed.live.present()
        if not live:
            return
        self._group(live)
        wanted: list[list[int]] = [[] for _ in self._groups]
        if len(self._groups) == 1 and self._groups[0][0].is_empty():
            wanted[0] = list(range(len(events)))
        else:
            select = self._index.select
            for number, event in enumerate(events):
                for index in select(view_of(event)):
                    wanted[index].append(number)
        frames: dict[Encoding, list[bytes]] = {}
        deliveries = 0
        newest = len(events) - 1
        for (_, subscribers), numbers in zip(self._groups, wanted, strict=True):
            is_at_tip = bool(numbers) and numbers[-1] == newest
            deliveries += len(numbers) * len(subscribers)
            receivers: dict[Encoding, list[Outbox]] = {}
            for subscriber in subscribers:
                if is_at_tip:
                    feed.behind.discard(subscriber)
                else:
                    feed.behind.add(subscriber)
                if not numbers:
                    continue
                receivers.setdefault(subscriber.encoding, []).append(subscriber.outbox)
            for encoding, outboxes in receivers.items():
                encoded = frames.get(encoding)
                if encoded is None:
                    encoded = frames[encoding] = list(map(ENCODERS[encoding], events))
                batch = join(encoding, [encoded[number] for number in numbers])
                self._sender.send(outboxes, batch)
        self._metrics.events_delivered_total.inc(deliveries)

    def _group(self, live: tuple[Subscriber, ...]) -> None:
        """Put those with the same filter together, unless it is as it was for the last batch."""
        subscribers = cast(tuple[AuditSubscriber, ...], live)
        present = (live, tuple([subscriber.filter for subscriber in subscribers]))
        if present == self._present:
            return
        groups: dict[AuditFilter, list[AuditSubscriber]] = {}
        for subscriber in subscribers:
            groups.setdefault(subscriber.filter, []).append(subscriber)
        self._present = present
        self._groups = list(groups.items())
        self._index = FilterIndex(list(groups))
