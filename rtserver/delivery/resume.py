"""Resume: decide between fresh, nothing missed, replay and gap for a `last_event_id`."""

import enum
from collections.abc import Callable
from dataclasses import dataclass

from rtserver.delivery.feed import Feed
from rtserver.eventlog.api import EventLog
from rtserver.model.audience import Audience
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import StoredEvent
from rtserver.model.positions import BadPositionError, Position

COUNT_EVENTS = 10_000
"""So many are counted at once. Where a part begins does not depend on who asks, so that those who
come back together share the work."""
READ_EVENTS = 2_000
AHEAD_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Sight:
    """What a client may see, by its rights of now.

    Attributes:
        of_event: whether it may see an event.
        of_audience: the same by whom an event is for, where nothing else counts; None where the
            event itself has to be looked at.
    """

    of_event: Callable[[StoredEvent], bool]
    of_audience: Callable[[Audience], bool] | None = None

    @staticmethod
    def by_audience(sees: Callable[[Audience], bool]) -> "Sight":
        """That of a client for which nothing counts but whom an event is for."""
        return Sight(lambda event: sees(event.audience), sees)


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
    sight: Sight,
) -> Resumption:
    """Compare a position with what the log still has.

    Args:
        log: the log.
        feed: the project's feed, ready.
        last_event_id: what the client asked for; None or empty where it asked for nothing.
        sight: what the client may see.

    Raises:
        StoreUnavailableError: the log could not be read, or not as far as the position.
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
        # Another worker was ahead of this one when the client was there, or the log went back. What
        # a primary that was cut off remembers would look like the latter.
        if position.seq > await log.head(feed.project_id, newest=True):
            return _lost(feed, last_event_id, await log.oldest(feed.project_id))
        if not await feed.reached(position.seq, AHEAD_WAIT_S):
            raise StoreUnavailableError("This worker is behind the log; try again soon")
        tip = feed.seq
    if position.seq == tip:
        return Resumption(ResumeOutcome.NOTHING_MISSED, tip, tip, requested=last_event_id)
    if not feed.recent.reaches(position.seq):
        oldest = await log.oldest(feed.project_id)
        if oldest > position.seq + 1:
            return _lost(feed, last_event_id, oldest, lost=feed.seq - position.seq)
    replayed = await _count(log, feed, position.seq, tip, sight)
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


async def _count(log: EventLog, feed: Feed, after: int, upto: int, sight: Sight) -> int:
    """How many of the events the client will be sent. None is read that need not be."""
    recent = feed.recent.between(after, upto)
    if recent is not None:
        return sum(map(sight.of_event, recent))
    if sight.of_audience is None:
        return await _count_read(log, feed.project_id, after, upto, sight.of_event)
    count = 0
    while after < upto:
        end = min(upto, after - after % COUNT_EVENTS + COUNT_EVENTS)
        count += await log.count(feed.project_id, after=after, upto=end, sees=sight.of_audience)
        after = end
    return count


async def _count_read(
    log: EventLog, project_id: str, after: int, upto: int, sees: Callable[[StoredEvent], bool]
) -> int:
    count = 0
    while packs := await log.read(project_id, after=after, upto=upto, limit=READ_EVENTS):
        for pack in packs:
            count += sum(map(sees, pack.events(after=after, upto=upto)))
        after = packs[-1].last
    return count
