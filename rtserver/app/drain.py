"""The drain: the one place where the order of a shutdown is chosen.

What comes after it is the start turned round, see `rtserver.lib.shutdown`. In a drain it is not:
a session is told goodbye before the log is drained that told it everything, and its connection is
closed after that.
"""

import asyncio
import random

from rtserver.app.features import Features
from rtserver.lib.shutdown import Shutdown
from rtserver.model.close_codes import CloseCode

SPREAD_S = 2.0
"""Over so long a worker that has a successor sends its sessions there."""
SPREAD_SHARE = 0.4
"""And over no more of the grace period than this: others need some of it."""
STEP_S = 0.02
SOON_MS = (0, 50)


class Drain:
    """Ends what is under way, while everything that it needs still runs.

    Attributes:
        has_successor: another worker serves on the same socket. Then sessions are sent over one
            after the other, and each may come back at once: it misses nothing for as long as a
            reconnect takes, and the successor is not overrun.
    """

    def __init__(self, features: Features, grace_s: float) -> None:
        self._features = features
        self._spread_s = min(SPREAD_S, SPREAD_SHARE * grace_s)
        self.has_successor = False

    def push(self, shutdown: Shutdown) -> None:
        """Let a shutdown begin with it."""
        presence = self._features.sessions.presence
        # Each leaves some of the grace period to those after it.
        steps = (
            ("accept", self._features.interface.stop_accepting, 1.0),
            ("runs", self._features.runs.service.stop, 0.5),
            ("watches", self._features.watches.stop, 0.5),
            ("close-sessions", self._close_sessions, 1.0),
            ("presence-bye", presence.fleet.end, 0.5),
            ("presence", presence.service.stop, 1.0),
            ("event-log", self._features.events.writer.drain, 0.6),
            ("last-words", self._say_last_words, 0.6),
            ("connections", self._features.interface.server.close_all_connections, 0.6),
        )
        for name, stop, share in reversed(steps):
            shutdown.push(name, stop, share=share)

    async def _close_sessions(self) -> None:
        self._features.runs.streams.stop()
        table = self._features.sessions.table
        if self.has_successor:
            sessions = table.all()
            steps = max(1, round(self._spread_s / STEP_S))
            for step in range(steps):
                for session in sessions[step::steps]:
                    session.close(CloseCode.GOING_AWAY, retry_after_ms=random.randint(*SOON_MS))  # noqa: S311
                await asyncio.sleep(STEP_S)
        # Also who was just being let in.
        table.close_all(CloseCode.GOING_AWAY)

    async def _say_last_words(self) -> None:
        """What waits for slow clients goes out, and places are free at once."""
        await self._features.sessions.tasks.finish("close-session", "release-place", "run-stream")
