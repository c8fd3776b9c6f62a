"""Upkeep of feeds: position frames for filtered connections, and sweeps of what nobody uses."""

import asyncio

from rtserver.delivery.dispatcher import Dispatcher
from rtserver.delivery.log_pages import LogPages
from rtserver.delivery.wire_forms import Encoding
from rtserver.eventlog.api import EventLog, at
from rtserver.sessions.server_frames import wrap_position

INTERVAL_S = 1.0


class FeedUpkeep:
    """Once a second tells positions, and forgets feeds that nobody holds, and pages.

    A connection whose view left out the newest events would otherwise resume from far behind.
    """

    def __init__(self, dispatcher: Dispatcher, log: EventLog, pages: LogPages) -> None:
        self._dispatcher = dispatcher
        self._log = log
        self._pages = pages

    def tell_positions(self) -> None:
        """Send one frame to each connection that was passed over since the last."""
        for feed in self._dispatcher.feeds.values():
            if not feed.behind:
                continue
            position = str(at(self._log, feed.seq))
            frames = {encoding: wrap_position(encoding, position) for encoding in Encoding}
            behind = list(feed.behind)
            feed.behind.clear()
            for subscriber in behind:
                subscriber.outbox.send(frames[subscriber.encoding])

    async def run(self) -> None:
        """Do all of it until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            self.tell_positions()
            self._dispatcher.sweep()
            self._pages.sweep()
