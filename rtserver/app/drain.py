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
        steps = (
            ("accept", self._http.stop),
            ("runs", self._features.runs.service.stop),
            ("watches", self._features.watches.stop),
            ("close-sessions", self._close_sessions),
            ("presence-bye", presence.fleet.end),
            ("presence", presence.service.stop),
            ("event-log", self._features.events.writer.drain),
            ("last-words", self._say_last_words),
            ("connections", self._http.close_all_connections),
        )
        for name, stop in reversed(steps):
            shutdown.push(name, stop)

    def _close_sessions(self) -> None:
        self._features.sessions.table.close_all(CloseCode.GOING_AWAY)

    async def _say_last_words(self) -> None:
        """What waits for slow clients goes out, and places are free at once."""
        await self._features.sessions.tasks.finish("close-session", "release-place")
