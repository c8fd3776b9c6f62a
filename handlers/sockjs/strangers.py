"""Sessions that have not said yet who they are: so many in all, and of one address.

Without the second bound, anybody who opens sessions and says nothing would keep everybody else out.
"""

from collections import Counter
from enum import Enum

from rtserver.auth.client_address import network_of

MAX_STRANGERS = 1000
"""Sessions of one endpoint that have not said yet who they are."""


class Room(Enum):
    """Whether one more may come in."""

    FREE = "free"
    FULL = "full"
    FULL_FOR_ADDRESS = "full for this address"


class Strangers:
    """Who waits to be let in."""

    def __init__(self, max_per_address: int, max_in_all: int = MAX_STRANGERS) -> None:
        """Make it.

        Args:
            max_per_address: so many of one address, or of one network of IPv6.
            max_in_all: so many of all addresses.
        """
        self._max_per_address = max_per_address
        self._max_in_all = max_in_all
        self._sources: dict[object, str] = {}
        self._counts: Counter[str] = Counter()

    def room_for(self, ip: str) -> Room:
        """Whether one more may come in from there."""
        if self._counts[network_of(ip)] >= self._max_per_address:
            return Room.FULL_FOR_ADDRESS
        return Room.FREE if len(self._sources) < self._max_in_all else Room.FULL

    def add(self, stranger: object, ip: str) -> None:
        """One came in."""
        source = self._sources[stranger] = network_of(ip)
        self._counts[source] += 1

    def discard(self, stranger: object) -> None:
        """It said who it is, or left; it may be known already."""
        source = self._sources.pop(stranger, None)
        if source is not None:
            self._counts[source] -= 1
            if not self._counts[source]:
                del self._counts[source]

    def __len__(self) -> int:
        return len(self._sources)
