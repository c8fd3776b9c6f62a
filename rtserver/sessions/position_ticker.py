"""Position frames for filtered connections, so that their position advances too."""

import asyncio

from rtserver.delivery.dispatcher import Dispatcher
from rtserver.delivery.wire_forms import Encoding
from rtserver.eventlog.api import EventLog, at
from rtserver.sessions.server_frames import wrap_position

INTERVAL_S = 1.0


class PositionsTicker:
    """Once a second, one frame to each connection that was passed over since the last."""

    def __init__(self, dispatcher: Dispatcher, log: EventLog) -> None:
        self._dispatcher = dispatcher
        self._log = log

    def tick(self) -> None:
        """Tell those who are behind, and forget projects that nobody looks at."""
        for feed in self._dispatcher.feeds.values():
            if not feed.behind:
                continue
            position = str(at(self._log, feed.seq))
            frames = {encoding: wrap_position(encoding, position) for encoding in Encoding}
            behind = list(feed.behind)
            feed.behind.clear()
            for subscriber in behind:
                subscriber.outbox.send(frames[subscriber.encoding])
        self._dispatcher.sweep()

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            self.tick()
