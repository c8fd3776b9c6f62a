"""Fan-out: hands a batch of events to the connections of a project.

Each event is encoded once for each wire form, each batch is joined once for all connections that
see the same of it, and each of them gets it in one write.
"""

import asyncio

from rtserver.delivery.feed import Feed
from rtserver.delivery.send_buffer import Outbox
from rtserver.delivery.sender import Sender
from rtserver.delivery.wire_forms import chunks, join_events
from rtserver.eventlog.metrics import LogMetrics
from rtserver.model.audience import AudienceKind
from rtserver.model.events import StoredEvent
from rtserver.model.visibility import visible


def _distinctions(events: list[StoredEvent]) -> tuple[bool, bool]:
    """Whether what one sees of the batch depends on the view, and on the user."""
    by_view = by_user = False
    for event in events:
        kind = event.audience.kind
        if kind is AudienceKind.PROPOSAL:
            by_view = True
            by_user = by_user or bool(event.audience.users)
        elif kind is not AudienceKind.PROJECT:
            by_user = True
    return by_view, by_user


class Fanout:
    """Delivers to live subscribers, and tells those who were passed over where the log stands."""

    def __init__(self, metrics: LogMetrics, sender: Sender) -> None:
        self._metrics = metrics
        self._sender = sender

    async def deliver(self, feed: Feed, events: list[StoredEvent]) -> None:
        """Hand on a batch. Lets the loop run between the parts of a large one."""
        parts = chunks(events)
        part = next(parts)
        while True:
            # Position and deliveries move together, with no await in between: a session that
            # catches up compares with `seq` and joins the live ones in one step.
            feed.recent.extend(part)
            feed.seq = part[-1].seq
            self._deliver_part(feed, part)
            following = next(parts, None)
            if following is None:
                return
            part = following
            await asyncio.sleep(0)

    def _deliver_part(self, feed: Feed, events: list[StoredEvent]) -> None:
        by_view, by_user = _distinctions(events)
        if not (by_view or by_user):
            self._deliver_to_all(feed, events)
            return
        # Per view: joined bytes, number of events, whether it includes the last one, the receivers.
        batches: dict[tuple[object, ...], tuple[bytes, int, bool, list[Outbox]]] = {}
        deliveries = 0
        members = feed.members.of
        for subscriber in feed.live:
            viewer = subscriber.viewer
            key = (
                subscriber.encoding,
                viewer.proposal_ids if by_view else None,
                viewer.user_id if by_user else None,
            )
            joined = batches.get(key)
            if joined is None:
                seen = [event for event in events if visible(event.audience, viewer, members)]
                joined = batches[key] = (
                    join_events(subscriber.encoding, seen),
                    len(seen),
                    bool(seen) and seen[-1] is events[-1],
                    [],
                )
            _, count, is_at_tip, outboxes = joined
            if not is_at_tip:
                feed.behind.add(subscriber)
            elif feed.behind:
                feed.behind.discard(subscriber)  # the last event's id tells it all
            if count:
                outboxes.append(subscriber.outbox)
        for batch, count, _, outboxes in batches.values():
            self._sender.send(outboxes, batch)
            deliveries += count * len(outboxes)
        self._metrics.events_delivered_total.inc(deliveries)

    def _deliver_to_all(self, feed: Feed, events: list[StoredEvent]) -> None:
        """Hand on what everybody sees: of each connection nothing but its outbox is looked at."""
        feed.behind.clear()  # the last event's id tells it all
        deliveries = 0
        for encoding, outboxes in feed.live.outboxes().items():
            batch = join_events(encoding, events)
            self._sender.send(outboxes, batch)
            deliveries += len(outboxes)
        self._metrics.events_delivered_total.inc(deliveries * len(events))
