"""Where a reader has come to, kept so that it goes on from there."""

import asyncio
import json
import os
from pathlib import Path
from typing import Protocol


class PositionStore(Protocol):
    """Keeps the position of one reader of one project. Write your own for a database, say."""

    async def load(self) -> str | None:
        """The position that was saved last; None where there is none."""

    async def save(self, position: str) -> None:
        """Keep a position. The event that it names was handled by then."""


class MemoryPositions:
    """Keeps it for as long as the process lives.

    Attributes:
        position: as it was saved last.
    """

    def __init__(self, position: str | None = None) -> None:
        self.position = position

    async def load(self) -> str | None:
        """See `PositionStore.load`."""
        return self.position

    async def save(self, position: str) -> None:
        """See `PositionStore.save`."""
        self.position = position


class FilePositions:
    """Keeps it in a file, over restarts of the process. A kill leaves the old one or the new one.

    After a crash of the machine it may be an older one: some events come again then.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    async def load(self) -> str | None:
        """See `PositionStore.load`.

        Raises:
            ValueError: the file is none that this wrote.
        """
        try:
            text = await asyncio.to_thread(self._path.read_text, "utf-8")
        except FileNotFoundError:
            return None
        found = json.loads(text)
        if not isinstance(found, dict) or not isinstance(found.get("position"), str):
            raise ValueError(  # noqa: TRY004 - of the file, not of an argument
                f"{self._path} holds no position; remove it to begin anew"
            )
        return str(found["position"])

    async def save(self, position: str) -> None:
        """See `PositionStore.save`."""
        # Not in a thread: it takes less time than handing it over, and a cancelled caller would
        # leave it half done.
        new = self._path.with_name(self._path.name + ".new")
        new.write_text(json.dumps({"position": position}), "utf-8")
        new.replace(self._path)
