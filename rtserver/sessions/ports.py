"""Ports of sessions: presence and the list of active runs, which stand above them."""

from typing import Protocol

from rtserver.delivery.feed import Subscriber
from rtserver.model.connection import ConnectionRecord
from rtserver.model.run import RunJson


class RunList(Protocol):
    """Knows the runs of a project that are under way."""

    async def of(self, project_id: str) -> list[RunJson]:
        """The runs under way, not older than the position of the project's feed here.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """


class PresenceKeeper(Protocol):
    """What sessions tell of themselves."""

    def arrive(self, entry: ConnectionRecord) -> None:
        """A session was let in."""

    def greet(self, project_id: str, viewer: Subscriber) -> None:
        """A session is live: from now on it is told who is there."""

    def move(self, entry: ConnectionRecord) -> None:
        """A session's user looks at something else, or has another name."""

    def depart(self, entry: ConnectionRecord) -> None:
        """A session has ended."""


class NoPresence:
    """For sessions that are in no project."""

    def arrive(self, entry: ConnectionRecord) -> None:
        """Nobody is told."""

    def greet(self, project_id: str, viewer: Subscriber) -> None:
        """Nobody is told."""

    def move(self, entry: ConnectionRecord) -> None:
        """Nobody is told."""

    def depart(self, entry: ConnectionRecord) -> None:
        """Nobody is told."""
