"""BufferUsage of the audit log's capped collection, as workers write it down from time to time."""

from dataclasses import dataclass
from typing import Protocol

from rtserver.audit.record.chain import Head


@dataclass(frozen=True, slots=True)
class BufferUsage:
    """How much of the buffer is in use.

    Attributes:
        oldest: sequence number of the oldest record that is there.
        size_bytes: how much is there.
        capacity_bytes: how much there may be before the oldest is overwritten.
    """

    oldest: int
    size_bytes: int
    capacity_bytes: int

    def to_json(self) -> dict[str, int]:
        """As records state it."""
        return {
            "oldest": self.oldest,
            "bytes": self.size_bytes,
            "capacity_bytes": self.capacity_bytes,
        }


class AuditBuffer(Protocol):
    """The collection as it is now. Each raises StoreUnavailableError where MongoDB is away."""

    async def usage(self) -> BufferUsage:
        """How much of it is in use."""

    async def newest_of(self, chain: str) -> Head | None:
        """The newest record of a chain; None where it has none there."""
