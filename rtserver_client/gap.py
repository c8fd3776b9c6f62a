"""What stands for events that are gone."""

from dataclasses import dataclass
from typing import Self

from rtserver_client import frames


@dataclass(frozen=True, slots=True)
class Gap:
    """Events that were missed and are no longer stored: fetch the state anew.

    Attributes:
        requested: the position behind which they stood.
        oldest_available: the oldest event that is still there; None where nobody said, or none is.
        lost: how many they are; None where nobody can tell.
        refetch: the path of the state that came of them.
    """

    requested: str
    oldest_available: str | None
    lost: int | None
    refetch: str

    @classmethod
    def of_frame(cls, frame: frames.Gap) -> Self:
        """What a frame `gap` says."""
        return cls(frame["requested"], frame["oldest_available"], frame["lost"], frame["refetch"])
