"""The port of the durable log: what the core asks of it. `store/` keeps these promises."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rtserver.model.audience import Audience
from rtserver.model.errors import BusyError, ConflictError, InvalidError, StoreUnavailableError
from rtserver.model.events import EventDraft, EventPack
from rtserver.model.positions import Position

READ_BYTES = 1024 * 1024
"""What is read of a log at once unless the reader says otherwise."""


class LogBusyError(BusyError):
    """More is waiting to be written than the queue may hold; nothing was taken."""

    def __init__(self, retry_after_s: int = 1) -> None:
        super().__init__("The event log is behind; try again shortly", retry_after_s)


class LogUnavailableError(StoreUnavailableError):
    """MongoDB did not confirm in time. What was handed in may still be stored later."""


class KeyReusedError(InvalidError):
    """The key was used before, for other content."""

    reason = "key_reused"


class FencedError(ConflictError):
    """The log holds an event that forbids the append; see `Fence`. Nothing was stored."""

    reason = "fenced"


class FenceLostError(ConflictError):
    """Whether the append is forbidden is not known any more; see `Fence`. Nothing was stored.

    The buffer was overwritten since. Whoever learns from elsewhere that nothing forbade it up to a
    number sets `clear_upto` to that, and may try again.
    """

    reason = "fence_lost"


class PublicationTooLargeError(InvalidError):
    """The events of one publication are too large to be stored together."""

    status = 413
    reason = "too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"What is published together may have {limit_bytes} bytes at most")


@dataclass(slots=True, eq=False, weakref_slot=True)
class Fence:
    """A condition of appends: no event stands before them that forbids them.

    One object serves all appends of one thing, a run say. The log keeps it up to date.

    Attributes:
        types: of the events that forbid an append.
        text: what the JSON of such an event has in it.
        clear_upto: the number up to which no event forbids it.
        closed: there is one that does.
    """

    types: frozenset[str]
    text: str
    clear_upto: int
    closed: bool = False

    def forbids(self, item: Mapping[str, Any]) -> bool:
        """Whether an event does, in the stored form of `EventPack.items`."""
        return item["t"] in self.types and self.text in item["b"]


@dataclass(frozen=True, slots=True)
class Published:
    """Where a publication stands in the log.

    Attributes:
        epoch: the life of the log.
        first, last: sequence numbers of its first and last event.
        duplicate: it was already there under the same key; nothing was stored now.
    """

    epoch: str
    first: int
    last: int
    duplicate: bool = False

    @property
    def ids(self) -> list[str]:
        """The ids of all its events, in order."""
        return [f"{self.epoch}-{seq}" for seq in range(self.first, self.last + 1)]


@dataclass(frozen=True, slots=True)
class Horizon:
    """How far back a project's events reach in the buffer.

    Attributes:
        oldest: the oldest sequence number still there; head + 1 where there is none.
        stored_at_s: when that event was stored, in seconds since 1970 by MongoDB's clock; None
            where there is none.
    """

    oldest: int
    stored_at_s: int | None


class EventLog(Protocol):
    """The log as publishers and readers see it.

    Preconditions are the caller's: drafts of one call belong to one project, and ids were checked.
    """

    @property
    def epoch(self) -> str:
        """Names the life of the log."""

    async def publish(
        self,
        drafts: Sequence[EventDraft],
        *,
        key: str | None = None,
        fence: Fence | None = None,
        timeout_s: float | None = None,
    ) -> Published:
        """Append events of one project, all or none, next to each other.

        Returns when a majority of the replica set has them on disk.

        Args:
            drafts: 1 to 500 events.
            key: makes a second publication under the same key harmless.
            fence: refuses the events where one stands before them that forbids them, whoever
                appended it, and at whatever moment.
            timeout_s: how long to wait; the setting's value unless given.

        Raises:
            LogBusyError: the queue is full.
            LogUnavailableError: not confirmed in time.
            KeyReusedError: the key stands for something else.
            FencedError, FenceLostError: see `fence`.
            PublicationTooLargeError: the drafts are larger than what can be stored together.
        """

    async def head(self, project_id: str, *, newest: bool = False) -> int:
        """The newest durable sequence number of a project; 0 where it has no events.

        Args:
            project_id: whose.
            newest: as it is now, never as a primary remembers it that was cut off; costs more.
        """

    async def oldest(self, project_id: str) -> int:
        """The oldest sequence number still in the buffer; head + 1 where there is none."""

    async def horizon(self, project_id: str) -> Horizon:
        """The same, with its age."""

    async def read(
        self,
        project_id: str,
        *,
        after: int,
        upto: int,
        limit: int,
        limit_bytes: int = READ_BYTES,
    ) -> list[EventPack]:
        """The next packs that hold events with `after < seq <= upto`, in order, without a hole.

        None where there is no such event; else one at least, so each part gets the reader further.
        Few parts are read at once, and others wait for their turn.

        Args:
            project_id: whose events.
            after: events behind this number.
            upto: and not behind this one.
            limit: about so many events.
            limit_bytes: what the packs have together as they are stored. Of one that is larger by
                itself a part is given.

        Raises:
            StoreUnavailableError: MongoDB does not answer, or there are too many who read.
        """

    async def count(
        self, project_id: str, *, after: int, upto: int, sees: Callable[[Audience], bool]
    ) -> int:
        """How many events with `after < seq <= upto` are for somebody; none of them is read.

        Those who ask for the same range meanwhile share the work.

        Args:
            project_id: whose events.
            after: events behind this number.
            upto: and not behind this one.
            sees: whether they are, by whom an event is for.

        Raises:
            StoreUnavailableError: as for `read`.
        """


def at(log: EventLog, seq: int) -> Position:
    """The position of a sequence number in the present life of the log."""
    return Position(log.epoch, seq)
