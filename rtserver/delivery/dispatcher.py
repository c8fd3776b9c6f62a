"""The dispatcher: from the tail to the feeds that this worker holds open.

Drops what was delivered before, fills a hole by reading the log by its index, and keeps one
`Feed` for each project that a session here holds open.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from rtserver.delivery.fanout import Fanout
from rtserver.delivery.feed import Feed
from rtserver.delivery.membership import Membership
from rtserver.eventlog.api import EventLog
from rtserver.lib.tasks import TaskOwner
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import CONTROL_PROJECT, EventPack, StoredEvent

FILL_EVENTS = 1_000
FEED_IDLE_S = 60.0
CURRENT_WAIT_S = 2.0
"""The longest wait, when a session opens, for this worker's tail to reach the log's head."""

_log = structlog.get_logger()


class FeedWatcher(Protocol):
    """Keeps something about projects that their events change, for as long as they are open."""

    def on_events(self, project_id: str, events: list[StoredEvent]) -> None:
        """Take the next events of a project, before any subscriber gets them."""

    def forget(self, project_id: str) -> None:
        """Drop what is kept of a project: events were missed, or it is open here no more."""


async def _no_control(_event: StoredEvent) -> None:
    """For a log that carries no messages between workers."""


class Dispatcher:
    """Owns the feeds. `on_packs` is what the tail calls.

    Attributes:
        feeds: by project.
        watchers: are told of each event that is delivered, and of projects to forget.
        held: set while any session here holds a feed.
    """

    def __init__(
        self,
        log: EventLog,
        fanout: Fanout,
        tasks: TaskOwner,
        membership: Membership,
        *,
        recent_bytes: int,
        on_control: Callable[[StoredEvent], Awaitable[None]] = _no_control,
    ) -> None:
        """Make a dispatcher.

        Args:
            log: read to fill holes and to find where a project stands.
            fanout: gets each project's events, in order, exactly once.
            tasks: owns the tasks that fill holes.
            membership: knows who belongs to a proposal.
            recent_bytes: how much of each project to keep in memory for those who resume.
            on_control: awaited with each message between workers, where the log carries any.
        """
        self._log = log
        self._fanout = fanout
        self._tasks = tasks
        self._membership = membership
        self._recent_bytes = recent_bytes
        self._on_control = on_control
        self._control_seq = 0
        self._holders = 0
        self.held = asyncio.Event()
        self.feeds: dict[str, Feed] = {}
        self.watchers: list[FeedWatcher] = []

    async def on_packs(self, packs: list[EventPack]) -> None:
        """Take a durable batch from the tail."""
        arrived: dict[Feed, list[StoredEvent]] = {}
        for pack in packs:
            feed = self.feeds.get(pack.project_id)
            if feed is None:
                if pack.project_id == CONTROL_PROJECT:
                    await self._control(pack)
                continue
            feed.target = max(feed.target, pack.last)
            if not feed.ready.done() or feed.filling is not None:
                continue  # the task that loads or fills the feed goes on to `target`
            known = arrived[feed][-1].seq if feed in arrived else feed.seq
            if pack.last <= known:
                continue
            if pack.first > known + 1:
                await self._flush(arrived, feed)
                self._start_filling(feed)
                continue
            arrived.setdefault(feed, []).extend(pack.events(after=known))
        for feed, events in arrived.items():
            await self._dispatch(feed, events)

    async def _flush(self, arrived: dict[Feed, list[StoredEvent]], feed: Feed) -> None:
        events = arrived.pop(feed, None)
        if events:
            await self._dispatch(feed, events)

    async def _dispatch(self, feed: Feed, events: list[StoredEvent]) -> None:
        for step in self._membership.steps(feed, events):
            for watcher in self.watchers:
                watcher.on_events(feed.project_id, step)
            await self._fanout.deliver(feed, step)

    async def _control(self, pack: EventPack) -> None:
        for event in pack.events(after=self._control_seq):
            self._control_seq = event.seq
            try:
                await self._on_control(event)
            except Exception:  # noqa: BLE001 - one bad message must not stop the log
                _log.exception("control_message_failed", event_id=event.id)

    def begin_epoch(self) -> None:
        """The log began anew: what was known of its sequences holds no more."""
        self._control_seq = 0
        for project_id in self.feeds:
            self._forget(project_id)
        self.feeds.clear()

    async def open(self, project_id: str) -> Feed:
        """Hold a project's feed open, as far as the log is now; `release` gives it back.

        Raises:
            StoreUnavailableError: the project's head could not be read.
        """
        feed = self.feeds.get(project_id)
        if feed is None:
            feed = Feed(project_id, self._recent_bytes)
            self._forget(project_id)
            self.feeds[project_id] = feed
            self._hold(feed)
            try:
                head = await self._log.head(project_id)
                # After the head: whatever changed members up to there is in what is read now.
                await self._membership.load(feed)
            except BaseException as error:
                if self.feeds.get(project_id) is feed:  # else: a new epoch began
                    del self.feeds[project_id]
                gone = StoreUnavailableError("The project could not be opened; try again soon")
                feed.ready.set_exception(error if isinstance(error, Exception) else gone)
                # Retrieved: else asyncio logs an error where nobody waits for it.
                feed.ready.exception()
                self.release(feed)
                raise
            feed.seq = head
            feed.ready.set_result(None)
            if feed.target > head:
                self._start_filling(feed)
        else:
            self._hold(feed)
            try:
                await asyncio.shield(feed.ready)
                await self._wait_until_current(feed)
            except BaseException:
                self.release(feed)
                raise
        return feed

    def _hold(self, feed: Feed) -> None:
        feed.holders += 1
        feed.idle_since_s = None
        self._holders += 1
        self.held.set()

    async def _wait_until_current(self, feed: Feed) -> None:
        """Wait until this worker's tail reaches the log head read at connect.

        A client that connects after an event was acknowledged then finds it counted among what it
        missed. Otherwise the event would come a moment later as a live one: not lost, but not what
        `welcome` said.
        """
        try:
            async with asyncio.timeout(CURRENT_WAIT_S):
                head = await self._log.head(feed.project_id)
            is_current = await feed.reached(head, CURRENT_WAIT_S)
        except (TimeoutError, StoreUnavailableError):
            is_current = False
        if not is_current:
            # What this worker knows is still true, and the rest follows.
            _log.warning("feed_behind", project_id=feed.project_id, seq=feed.seq)

    def release(self, feed: Feed) -> None:
        """Give a feed back. It stays a while: a client that dropped off is likely to return."""
        feed.holders -= 1
        if feed.holders == 0:
            feed.idle_since_s = asyncio.get_running_loop().time()
        self._holders -= 1
        if self._holders == 0:
            self.held.clear()

    def sweep(self) -> None:
        """Forget feeds that nobody has held for a while."""
        horizon_s = asyncio.get_running_loop().time() - FEED_IDLE_S
        for feed in list(self.feeds.values()):
            idle = feed.idle_since_s is not None and feed.idle_since_s < horizon_s
            if idle and feed.filling is None:
                del self.feeds[feed.project_id]
                self._forget(feed.project_id)

    def _forget(self, project_id: str) -> None:
        for watcher in self.watchers:
            watcher.forget(project_id)

    def _start_filling(self, feed: Feed) -> None:
        if feed.filling is None:
            feed.filling = self._tasks.start(self._fill(feed), name="fill-hole")

    async def _fill(self, feed: Feed) -> None:
        """Bring a feed from `seq` to `target` by the index, whatever the tail left out."""
        wait_s = 0.05
        try:
            while feed.seq < feed.target:
                # What the tail shows while this reads is for the next round.
                upto = feed.target
                try:
                    packs = await self._log.read(
                        feed.project_id, after=feed.seq, upto=upto, limit=FILL_EVENTS
                    )
                    if not packs or packs[0].first > feed.seq + 1:
                        # Among what was overwritten may be changes of members.
                        await self._membership.load(feed)
                except StoreUnavailableError as error:
                    _log.warning("hole_not_filled", project_id=feed.project_id, error=str(error))
                    await asyncio.sleep(wait_s)
                    wait_s = min(wait_s * 2, 2.0)
                    continue
                if not packs:
                    self._skip(feed, upto)
                for pack in packs:
                    if pack.first > feed.seq + 1:
                        if pack is not packs[0]:
                            break  # overwritten while it was read: begin again
                        self._skip(feed, pack.first - 1)
                    events = pack.events(after=feed.seq, upto=upto)
                    if events:
                        await self._dispatch(feed, events)
        finally:
            feed.filling = None

    def _skip(self, feed: Feed, to_seq: int) -> None:
        """Events were overwritten before this worker could read them: say so, exactly."""
        lost = to_seq - feed.seq
        _log.warning("events_overwritten", project_id=feed.project_id, lost=lost)
        for subscriber in feed.live:
            subscriber.send_gap(requested=feed.seq, lost=lost)
        feed.recent.clear()
        self._forget(feed.project_id)  # what changed it may be among them
        feed.seq = to_seq
