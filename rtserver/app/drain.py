"""The drain: the one place where the order of a shutdown is chosen.

What comes after it is the start turned round, see `rtserver.lib.shutdown`. In a drain it is not:
a session is told goodbye before the log is drained that told it everything, and its connection is
closed after that.
"""

from rtserver.app.features import Features
from rtserver.lib.shutdown import Shutdown
from rtserver.model.close_codes import CloseCode


class Drain:
    """Ends what is under way, while everything that it needs still runs."""

    def __init__(self, features: Features) -> None:
        self._http = features.interface.server
        self._features = features

    def push(self, shutdown: Shutdown) -> None:
        """Let a shutdown begin with it."""
        presence = self._features.sessions.presence
        # Each leaves some of the grace period to those after it.
        steps = (
            ("accept", self._http.stop, 1.0),
            ("runs", self._features.runs.service.stop, 0.5),
            ("watches", self._features.watches.stop, 0.5),
            ("close-sessions", self._close_sessions, 1.0),
            ("presence-bye", presence.fleet.end, 0.5),
            ("presence", presence.service.stop, 1.0),
            ("event-log", self._features.events.writer.drain, 0.6),
            ("last-words", self._say_last_words, 0.6),
            ("connections", self._http.close_all_connections, 0.6),
        )
        for name, stop, share in reversed(steps):
            shutdown.push(name, stop, share=share)

    def _close_sessions(self) -> None:
        self._features.sessions.table.close_all(CloseCode.GOING_AWAY)

    async def _say_last_words(self) -> None:
        """What waits for slow clients goes out, and places are free at once."""
        await self._features.sessions.tasks.finish("close-session", "release-place")
