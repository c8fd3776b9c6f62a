"""Presence: who has a project open and what they look at, over all workers.

Nothing of it is stored in the log of a project. The connections' registry has it with a lease, for
snapshots and for workers that open a project later; between workers changes travel as messages
(`presence_fleet.py`). Viewers get a list and then what changes, gathered so that a crowd that comes
and goes costs each of them at most three frames a second.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from rtserver.delivery.feed import Feed, Subscriber
from rtserver.delivery.wire_forms import Encoding
from rtserver.lib.throttle import Throttle
from rtserver.model.connection import ConnectionRecord
from rtserver.presence.messages import Person, Presence
from rtserver.presence.room import Bounds, Room
from rtserver.sessions.server_frames import encode_frame, wrap_frame

GATHER_S = 0.03
FRAME_INTERVAL_S = 0.33
"""180 frames a minute at most. With what the way between workers takes, still half a second."""
FADE_S = 2.0
"""So long somebody without a connection is still there: pages are reloaded, networks change."""


class Fleet(Protocol):
    """The other workers, see `presence_fleet.PresenceFleet`."""

    def news(self, project_id: str, user_id: str) -> None:
        """Tell them of one of this worker's people."""

    def moved(self, entry: ConnectionRecord) -> None:
        """Write down, for workers that open the project later, what a connection shows now."""

    def load(self, room: Room) -> None:
        """Find out who is in the project on other workers."""

    async def present(self, project_id: str, bounds: Bounds) -> tuple[list[Person], int]:
        """Who is listed of a project that is not open here, and how many there are."""


class RenewedLeases(Protocol):
    """Renews leases of connections; see `rtserver.sessions.admission.Admission`."""

    def note(self, entry: ConnectionRecord) -> None:
        """Renew an entry as it is now, from the next time on."""


class PresenceService:
    """The rooms of this worker: one for each project that somebody here has open.

    Attributes:
        rooms: by project id. Only this class adds and removes.
        fleet: set once it is there; it needs the rooms as well.
    """

    fleet: Fleet

    def __init__(
        self,
        feeds: Mapping[str, Feed],
        bounds: Bounds,
        leases: RenewedLeases | None = None,
    ) -> None:
        """Make the service.

        Args:
            feeds: the projects' live connections, by project id.
            bounds: how many people are listed.
            leases: those of the connections that are here.
        """
        self._feeds = feeds
        self._bounds = bounds
        self._leases = leases
        self._throttles: dict[str, Throttle] = {}
        self._newcomers: dict[str, set[Subscriber]] = {}
        self._fading: deque[tuple[float, str, str]] = deque()
        self._fade_timer: asyncio.TimerHandle | None = None
        self.rooms: dict[str, Room] = {}

    def arrive(self, entry: ConnectionRecord) -> None:
        """See `PresenceKeeper.arrive`."""
        project_id = entry.project_id
        room = self.rooms.get(project_id)
        if room is None:
            room = self.rooms[project_id] = Room(project_id, self._bounds)
            self.fleet.load(room)
        if room.arrive(entry):
            self.fleet.news(project_id, entry.user_id)
            self.changed(room)

    def greet(self, project_id: str, viewer: Subscriber) -> None:
        """See `PresenceKeeper.greet`."""
        self._newcomers.setdefault(project_id, set()).add(viewer)
        if (room := self.rooms.get(project_id)) is not None:
            self.changed(room)

    def move(self, entry: ConnectionRecord) -> None:
        """See `PresenceKeeper.move`."""
        if self._leases is not None:
            self._leases.note(entry)
        room = self.rooms.get(entry.project_id)
        if room is None:
            return
        self.fleet.moved(entry)
        if room.move(entry):
            self.fleet.news(entry.project_id, entry.user_id)
            self.changed(room)

    def depart(self, entry: ConnectionRecord) -> None:
        """See `PresenceKeeper.depart`."""
        room = self.rooms.get(entry.project_id)
        if room is None:
            return
        loop = asyncio.get_running_loop()
        until_s = loop.time() + FADE_S
        if room.depart(entry, until_s):
            self.fleet.news(entry.project_id, entry.user_id)
            self.changed(room)
        self._fading.append((until_s, entry.project_id, entry.user_id))
        if self._fade_timer is None:
            self._fade_timer = loop.call_at(until_s, self._fade)

    def _fade(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        while self._fading and self._fading[0][0] <= now_s:
            _, project_id, user_id = self._fading.popleft()
            room = self.rooms.get(project_id)
            if room is None or not room.fade(user_id, now_s):
                continue
            self.fleet.news(project_id, user_id)
            if room.is_empty():
                self._forget(project_id)
            else:
                self.changed(room)
        self._fade_timer = loop.call_at(self._fading[0][0], self._fade) if self._fading else None

    def _forget(self, project_id: str) -> None:
        del self.rooms[project_id]
        self._newcomers.pop(project_id, None)
        throttle = self._throttles.pop(project_id, None)
        if throttle is not None:
            throttle.stop()

    def changed(self, room: Room) -> None:
        """There is something to tell in a room, soon."""
        if not room.loaded:
            return
        throttle = self._throttles.get(room.project_id)
        if throttle is None:
            throttle = self._throttles[room.project_id] = Throttle(
                lambda: self._tell(room), gather_s=GATHER_S, interval_s=FRAME_INTERVAL_S
            )
        throttle.ask()

    def _tell(self, room: Room) -> None:
        """Tell the live connections: each frame is encoded once, however many get it."""
        news = room.settle()
        newcomers = self._newcomers.pop(room.project_id, set())
        feed = self._feeds.get(room.project_id)
        if feed is None or (news is None and not newcomers):
            return
        whole = _Frame(room.whole) if newcomers else None
        changes = _Frame(lambda: news) if news is not None else None
        for viewer in feed.live:
            frame = whole if viewer in newcomers else changes
            if frame is not None:
                viewer.outbox.send(frame.wrapped(viewer.encoding))

    async def present(self, project_id: str) -> tuple[list[Person], int]:
        """Who is listed, and how many there are.

        Raises:
            StoreUnavailableError: the project is not open here, and MongoDB does not answer.
        """
        room = self.rooms.get(project_id)
        if room is not None and room.loaded:
            return room.present()
        return await self.fleet.present(project_id, self._bounds)

    def stop(self) -> None:
        """Tell nobody anything more."""
        for throttle in self._throttles.values():
            throttle.stop()
        if self._fade_timer is not None:
            self._fade_timer.cancel()


class _Frame:
    """A frame in each wire form that is asked for, made when it is."""

    def __init__(self, make: Callable[[], Presence | None]) -> None:
        self._make = make
        self._payload: bytes | None = None
        self._wrapped: dict[Encoding, bytes] = {}

    def wrapped(self, encoding: Encoding) -> bytes:
        """In a wire form."""
        found = self._wrapped.get(encoding)
        if found is None:
            if self._payload is None:
                frame = self._make()
                assert frame is not None  # noqa: S101 - asked for only where there is one
                self._payload = encode_frame(frame)
            found = self._wrapped[encoding] = wrap_frame(encoding, self._payload, "presence")
        return found
