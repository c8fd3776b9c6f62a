"""The dispatcher: from the tail to the feeds that this worker holds open.

Drops what was delivered before, fills a hole by reading the log by its index, and keeps one
`Channel` for each project that a session here holds open.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from rtserver.delivery.fanout import Fanout
from rtserver.delivery.feed import Channel
from rtserver.delivery.membership import Membership
from rtserver.eventlog.api import EventLog
from rtserver.lib.tasks import TaskOwner
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import CONTROL_PROJECT, EventPack, StoredEvent

FILL_EVENTS = 1_000
CHANNEL_IDLE_S = 60.0
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
    """Owns the channels. `on_packs` is what the tail calls.

    Attributes:
        channels: by project.
        watchers: are told of each event that is delivered, and of projects to forget.
        held: set while any session here holds a channel.
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
        self.channels: dict[str, Channel] = {}
        self.watchers: list[FeedWatcher] = []

    async def on_packs(self, packs: list[EventPack]) -> None:
        """Take a durable batch from the tail."""
        arrived: dict[Channel, list[StoredEvent]] = {}
        for pack in packs:
            channel = self.channels.get(pack.project_id)
            if channel is None:
                if pack.project_id == CONTROL_PROJECT:
                    await self._control(pack)
                continue
            channel.target = max(channel.target, pack.last)
            if not channel.ready.done() or channel.filling is not None:
                continue  # the task that loads or fills the channel goes on to `target`
            known = arrived[channel][-1].seq if channel in arrived else channel.seq
            if pack.last <= known:
                continue
            if pack.first > known + 1:
                await self._flush(arrived, channel)
                self._start_filling(channel)
                continue
            arrived.setdefault(channel, []).extend(pack.events(after=known))
        for channel, events in arrived.items():
            await self._dispatch(channel, events)

    async def _flush(self, arrived: dict[Channel, list[StoredEvent]], channel: Channel) -> None:
        events = arrived.pop(channel, None)
        if events:
            await self._dispatch(channel, events)

    async def _dispatch(self, channel: Channel, events: list[StoredEvent]) -> None:
        for step in self._membership.steps(channel, events):
            for watcher in self.watchers:
                watcher.on_events(channel.project_id, step)
            await self._fanout.deliver(channel, step)

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
        for project_id in self.channels:
            self._forget(project_id)
        self.channels.clear()

    async def open(self, project_id: str) -> Channel:
        """Hold a project's channel open, as far as the log is now; `release` gives it back.

        Raises:
            StoreUnavailableError: the project's head could not be read.
        """
        channel = self.channels.get(project_id)
        if channel is None:
            channel = Channel(project_id, self._recent_bytes)
            self._forget(project_id)
            self.channels[project_id] = channel
            self._hold(channel)
            try:
                head = await self._log.head(project_id)
                # After the head: whatever changed members up to there is in what is read now.
                await self._membership.load(channel)
            except BaseException as error:
                if self.channels.get(project_id) is channel:  # else: a new epoch began
                    del self.channels[project_id]
                gone = StoreUnavailableError("The project could not be opened; try again soon")
                channel.ready.set_exception(error if isinstance(error, Exception) else gone)
                channel.ready.exception()  # retrieved: nobody need be waiting for it
                self.release(channel)
                raise
            channel.seq = head
            channel.ready.set_result(None)
            if channel.target > head:
                self._start_filling(channel)
        else:
            self._hold(channel)
            try:
                await asyncio.shield(channel.ready)
                await self._wait_until_current(channel)
            except BaseException:
                self.release(channel)
                raise
        return channel

    def _hold(self, channel: Channel) -> None:
        channel.holders += 1
        channel.idle_since_s = None
        self._holders += 1
        self.held.set()

    async def _wait_until_current(self, channel: Channel) -> None:
        """Wait until this worker's tail reaches the log head read at connect.

        A client that connects after an event was acknowledged then finds it counted among what it
        missed. Otherwise the event would come a moment later as a live one: not lost, but not what
        `welcome` said.
        """
        try:
            async with asyncio.timeout(CURRENT_WAIT_S):
                head = await self._log.head(channel.project_id)
            is_current = await channel.reached(head, CURRENT_WAIT_S)
        except (TimeoutError, StoreUnavailableError):
            is_current = False
        if not is_current:
            # What this worker knows is still true, and the rest follows.
            _log.warning("channel_behind", project_id=channel.project_id, seq=channel.seq)

    def release(self, channel: Channel) -> None:
        """Give a channel back. It stays a while: a client that dropped off is likely to return."""
        channel.holders -= 1
        if channel.holders == 0:
            channel.idle_since_s = asyncio.get_running_loop().time()
        self._holders -= 1
        if self._holders == 0:
            self.held.clear()

    def sweep(self) -> None:
        """Forget channels that nobody has held for a while."""
        horizon_s = asyncio.get_running_loop().time() - CHANNEL_IDLE_S
        for channel in list(self.channels.values()):
            idle = channel.idle_since_s is not None and channel.idle_since_s < horizon_s
            if idle and channel.filling is None:
                del self.channels[channel.project_id]
                self._forget(channel.project_id)

    def _forget(self, project_id: str) -> None:
        for watcher in self.watchers:
            watcher.forget(project_id)

    def _start_filling(self, channel: Channel) -> None:
        if channel.filling is None:
            channel.filling = self._tasks.start(self._fill(channel), name="fill-hole")

    async def _fill(self, channel: Channel) -> None:
        """Bring a channel from `seq` to `target` by the index, whatever the tail left out."""
        wait_s = 0.05
        try:
            while channel.seq < channel.target:
                # What the tail shows while this reads is for the next round.
                upto = channel.target
                try:
                    packs = await self._log.read(
                        channel.project_id, after=channel.seq, upto=upto, limit=FILL_EVENTS
                    )
                    if not packs or packs[0].first > channel.seq + 1:
                        # Among what was overwritten may be changes of members.
                        await self._membership.load(channel)
                except StoreUnavailableError as error:
                    _log.warning("hole_not_filled", project_id=channel.project_id, error=str(error))
                    await asyncio.sleep(wait_s)
                    wait_s = min(wait_s * 2, 2.0)
                    continue
                if not packs:
                    self._skip(channel, upto)
                for pack in packs:
                    if pack.first > channel.seq + 1:
                        if pack is not packs[0]:
                            break  # overwritten while it was read: begin again
                        self._skip(channel, pack.first - 1)
                    events = pack.events(after=channel.seq, upto=upto)
                    if events:
                        await self._dispatch(channel, events)
        finally:
            channel.filling = None

    def _skip(self, channel: Channel, to_seq: int) -> None:
        """Events were overwritten before this worker could read them: say so, exactly."""
        lost = to_seq - channel.seq
        _log.warning("events_overwritten", project_id=channel.project_id, lost=lost)
        for subscriber in channel.live:
            subscriber.send_gap(requested=channel.seq, lost=lost)
        channel.recent.clear()
        self._forget(channel.project_id)  # what changed it may be among them
        channel.seq = to_seq
