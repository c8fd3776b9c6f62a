"""Ports of archiving: the lease of an archive, and the audit log to read."""

from dataclasses import dataclass, field
from typing import Protocol

from rtserver.model.events import EventPack
from rtserver.model.positions import Position


@dataclass(frozen=True, slots=True)
class Lease:
    """Who may archive.

    Attributes:
        term: this worker may, under this term; None: another does.
        position: how far the archive went when its holder last said so.
    """

    term: int | None
    position: Position | None


@dataclass(slots=True)
class LogReading:
    """Records of the log.

    Attributes:
        epoch: the life of the log.
        packs: in order, without a hole between them; each with the hour (since the Unix epoch) in
            which MongoDB stored it.
        more: whether there was more to read than was asked for.
    """

    epoch: str
    packs: list[tuple[int, EventPack]] = field(default_factory=list)
    more: bool = False


@dataclass(frozen=True, slots=True)
class Extent:
    """What the log holds.

    Attributes:
        epoch: the life of the log.
        oldest, head: sequence numbers of the oldest record in it, and of the newest.
        size_bytes: what they take up.
        capacity_bytes: what the log can hold.
    """

    epoch: str
    oldest: int
    head: int
    size_bytes: int
    capacity_bytes: int


class ArchiveStore(Protocol):
    """Leases and records. Every method raises StoreUnavailableError where MongoDB is away."""

    async def acquire(self, archive_id: str, owner: str, *, above: int) -> Lease:
        """Take the lease of a directory if it is free, or none was known.

        Args:
            archive_id: the directory's.
            owner: this worker, as nobody else is called.
            above: the new term is higher than this, and than every earlier one.
        """

    async def renew(
        self, archive_id: str, owner: str, term: int, position: Position | None
    ) -> bool:
        """Keep the lease; False where it is another's by now."""

    async def release(self, archive_id: str, owner: str, term: int) -> None:
        """Give the lease back, if it is still this one."""

    async def epoch(self) -> str:
        """The life of the log."""

    async def read(self, after: int, limit: int) -> LogReading:
        """Records that a majority has, with `after < seq`, from the oldest, about `limit`."""

    async def extent(self) -> Extent:
        """What the log holds."""
