"""Ports of following a collection: what it asks of the store and the log."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rtserver.eventlog.api import KeyReusedError, Published
from rtserver.model.events import EventDraft
from rtserver.model.watch import Watch
from rtserver.watch.change import Change

Token = Mapping[str, Any]
"""A place in a change stream, as MongoDB gave it."""


class HistoryLostError(Exception):
    """The place is so old that MongoDB does not know what came after it."""


class LeaseLostError(Exception):
    """Somebody else holds the watch now."""


@dataclass(frozen=True, slots=True)
class WatchPlace:
    """How far a watch has come.

    Attributes:
        token: the place; None where it was never followed.
        resync: names a loss that projects have yet to be told of.
    """

    token: Token | None
    resync: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeBatch:
    """What a change stream brought.

    Attributes:
        changes: in order; those of no interest are not among them.
        token: the place after them.
        is_end: the stream ends here, because the collection does; another one begins after it.
        unreadable: how many changes were passed over, since what was written is not valid BSON.
    """

    changes: Sequence[Change]
    token: Token
    is_end: bool = False
    unreadable: int = 0


class WatchPlaces(Protocol):
    """Where places are kept, and who holds which watch. Time is the store's own.

    All raise StoreUnavailableError where MongoDB does not answer.
    """

    async def claim(self, name: str, holder: str) -> WatchPlace | None:
        """Take a watch that nobody holds; None where another does."""

    async def renew(self, name: str, holder: str) -> bool:
        """Give the holder a new lease; False where it is the holder no more."""

    async def note(self, name: str, holder: str, place: WatchPlace) -> bool:
        """Note a place and renew the lease; False where it is the holder no more."""

    async def release(self, name: str, holder: str) -> None:
        """Let another worker have it."""

    async def failed(self, name: str, problem: str) -> None:
        """Keep what went wrong, and since when, until a place is noted."""


class ChangeSource(Protocol):
    """Reads change streams."""

    def batches(self, watch: Watch, token: Token | None) -> AsyncGenerator[ChangeBatch, None]:
        """What changes after a place, or from now on.

        The first comes at once, the others as there is something, and every second or so.

        Raises:
            HistoryLostError: the place is too old.
            StoreUnavailableError: MongoDB does not answer, or not any more.
        """

    async def projects(self, watch: Watch) -> Sequence[Any]:
        """The different values of the field that names the project, up to a bound.

        Raises:
            StoreUnavailableError: MongoDB does not answer, or it would take too long.
        """


class ChangeLog(Protocol):
    """What is asked of the log."""

    async def publish_each(
        self, keyed: Sequence[tuple[str, EventDraft]]
    ) -> Sequence[Published | KeyReusedError]:
        """Append events in this order, each under another key.

        All are taken or, where the queue is full, none. Returns when all are durable: for each its
        place, or that its key stands for something else, which is there already.

        Raises:
            LogBusyError: the queue is full; none was taken.
            LogUnavailableError: not confirmed in time. Some may be stored, and some not.
        """
