"""Resume: decide between fresh, nothing missed, replay and gap for a `last_event_id`."""

import enum
from collections.abc import Callable
from dataclasses import dataclass

from rtserver.delivery.feed import Feed
from rtserver.eventlog.api import EventLog
from rtserver.model.events import StoredEvent
from rtserver.model.positions import BadPositionError, Position

COUNT_EVENTS = 2_000
AHEAD_WAIT_S = 5.0


class ResumeOutcome(enum.StrEnum):
    """What a client that asked for a position got."""

    FRESH = "fresh"
    NOTHING_MISSED = "nothing_missed"
    REPLAYED = "replayed"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Resumption:
    """How a session begins.

    Attributes:
        outcome: see `rtserver.sessions.server_frames.Resume`.
        from_seq: the session sends what comes after this.
        tip_seq: where the project stood when this was decided.
        requested: what the client asked for.
        replayed: events after `from_seq` up to `tip_seq` that the client may see.
        lost: events that the client can't get any more; None where nobody can tell.
        oldest_seq: the oldest event still there, where something was lost.
    """

    outcome: ResumeOutcome
    from_seq: int
    tip_seq: int
    requested: str | None = None
    replayed: int = 0
    lost: int | None = 0
    oldest_seq: int | None = None


async def decide(
    log: EventLog,
    feed: Feed,
    last_event_id: str | None,
    sees: Callable[[StoredEvent], bool],
) -> Resumption:
    """Compare a position with what the log still has.

    Args:
        log: the log.
        feed: the project's feed, ready.
        last_event_id: what the client asked for; None or empty where it asked for nothing.
        sees: whether the client may see an event, by its rights of now.

    Raises:
        StoreUnavailableError: the log could not be read.
    """
    tip = feed.seq
    if not last_event_id:
        return Resumption(ResumeOutcome.FRESH, tip, tip)
    try:
        position = Position.parse(last_event_id)
    except BadPositionError:
        position = None
    if position is None or position.epoch != log.epoch:
        return _lost(feed, last_event_id, await log.oldest(feed.project_id))
    if position.seq > tip:
        # Another worker was ahead of this one when the client was there.
        if position.seq > await log.head(feed.project_id) or not await feed.reached(
            position.seq, AHEAD_WAIT_S
        ):
            return _lost(feed, last_event_id, await log.oldest(feed.project_id))
        tip = feed.seq
    if position.seq == tip:
        return Resumption(ResumeOutcome.NOTHING_MISSED, tip, tip, requested=last_event_id)
    if feed.recent.after(position.seq, 1) is None:
        oldest = await log.oldest(feed.project_id)
        if oldest > position.seq + 1:
            return _lost(feed, last_event_id, oldest, lost=feed.seq - position.seq)
    replayed = await _count(log, feed, position.seq, tip, sees)
    return Resumption(
        ResumeOutcome.REPLAYED, position.seq, tip, requested=last_event_id, replayed=replayed
    )


def _lost(feed: Feed, requested: str, oldest: int, *, lost: int | None = None) -> Resumption:
    tip = feed.seq
    return Resumption(
        ResumeOutcome.LOST,
        tip,
        tip,
        requested=requested[:128],
        lost=lost,
        oldest_seq=oldest if oldest <= tip else None,
    )


async def _count(
    log: EventLog,
    feed: Feed,
    after: int,
    upto: int,
    sees: Callable[[StoredEvent], bool],
) -> int:
    """How many of the events the client will be sent."""
    count = 0
    seq = after
    while seq < upto:
        events = feed.recent.after(seq, COUNT_EVENTS)
        if events is None:
            packs = await log.read(feed.project_id, after=seq, upto=upto, limit=COUNT_EVENTS)
            events = [event for pack in packs for event in pack.events(after=seq, upto=upto)]
        events = [event for event in events if event.seq <= upto]
        if not events:
            break
        count += sum(map(sees, events))
        seq = events[-1].seq
    return count
