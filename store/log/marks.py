"""High-water marks: how far a log is known to have gone, kept where the log itself is not.

A copy of MongoDB's files that is put back is an earlier state of the log, with the same epoch: it
would go on with numbers that stand for other events elsewhere, and a client that is ahead of it
would be told that it missed less than it did. A mark is the newest pack that a tail has handed on:
its numbers, and the stamp that MongoDB gave it. Both stay as they are for as long as the pack is
there, and a majority had it, so no failover takes it away. Where other events stand at its numbers,
or none although they were not overwritten, the log went back: it begins a new epoch.

A worker keeps a mark in memory, and in a file of its data directory, which outlives it.
"""

import asyncio
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import structlog
from bson import Timestamp

from store.base.client import NEWEST_MS, Database, newest
from store.log.collection import MAX_FORMER, Life, begin_epoch, read_life
from store.log.heads import Heads

MARKS_FOLDER = "log-marks"
WRITE_S = 1.0
ORDER_S = 60
"""Packs are not stored in the very order of their stamps; nothing is out of it by so much."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Mark:
    """A pack that a log is known to have had.

    Attributes:
        uuid: of the collection.
        epoch: of the log then.
        project_id: whose events they are.
        first, last: their numbers.
        stamp: seconds and ordinal of the time that MongoDB gave the pack.
        former: epochs of logs that were here before this one.
    """

    uuid: str
    epoch: str
    project_id: str
    first: int
    last: int
    stamp: tuple[int, int]
    former: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """A mark as `encode` wrote it; raises ValueError, KeyError or TypeError for another."""
        found = json.loads(text)
        seconds, ordinal = map(int, found["stamp"])
        return cls(
            str(found["uuid"]),
            str(found["epoch"]),
            str(found["project_id"]),
            int(found["first"]),
            int(found["last"]),
            (seconds, ordinal),
            tuple(map(str, found["former"])),
        )

    def encode(self) -> bytes:
        """It as JSON."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(fields).encode()


class Marks:
    """The mark of one log.

    Attributes:
        begun: the epoch that the log was given here, where it went back.
    """

    def __init__(
        self, database: Database, collection: str, heads: Heads, path: Path | None = None
    ) -> None:
        """Make it; nothing is read before `check`.

        Args:
            database: where the log is.
            collection: the log.
            heads: of its projects.
            path: the file that keeps the mark; None: none does.
        """
        self._database = database
        self._collection = collection
        self._heads = heads
        self._path = path
        self.begun: str | None = None
        self._checking = asyncio.Lock()
        self._is_read = path is None
        self._life: Life | None = None
        self._mark: Mark | None = None
        self._former: tuple[str, ...] = ()
        self._seen: tuple[str, Mapping[str, Any]] | None = None

    def saw(self, epoch: str, document: Mapping[str, Any]) -> None:
        """A majority has this pack.

        Args:
            epoch: of the log.
            document: of the pack; nothing is read of it here, since this is for each batch.
        """
        self._seen = epoch, document

    async def check(self) -> str:
        """See whether the log still has what it had; its epoch, another one where it went back.

        Raises:
            DatabaseError: MongoDB does not answer.
            CollectionProblemError: the collection is not there.
        """
        async with self._checking:
            return await self._check()

    async def _check(self) -> str:
        if not self._is_read:
            self._mark = await asyncio.to_thread(self._read)
            self._is_read = True
        self._take_up()
        life = await read_life(self._database, self._collection)
        mark = self._mark
        if mark is not None and await self._went_back(mark, life):
            life = await begin_epoch(self._database, self._collection, life)
            self.begun = life.epoch
            _log.error(
                "log_went_back",
                name=self._collection,
                project_id=mark.project_id,
                known=f"{mark.epoch}-{mark.last}",
                epoch_now=life.epoch,
            )
        if mark is not None and mark.epoch != life.epoch:
            self._former = (*mark.former, mark.epoch)[-MAX_FORMER:]
            self._mark = None
        self._life = life
        return life.epoch

    def _take_up(self) -> None:
        """Make a mark of what was seen."""
        seen, self._seen = self._seen, None
        if seen is None or self._life is None or seen[0] != self._life.epoch:
            return
        document, stamp = seen[1], seen[1]["stamp"]
        self._mark = Mark(
            self._life.uuid,
            self._life.epoch,
            document["project_id"],
            int(document["first"]),
            int(document["last"]),
            (stamp.time, stamp.inc),
            self._former,
        )

    async def run(self) -> None:
        """Keep the file up to date, until cancelled. A failure is logged, and tried again."""
        while True:
            await asyncio.sleep(WRITE_S)
            await self.write()

    async def write(self) -> None:
        """Bring what was seen into the file. A failure is logged: the older mark holds too."""
        if self._seen is None or self._path is None:
            return
        self._take_up()
        if self._mark is not None:
            try:
                await asyncio.to_thread(self._write, self._path, self._mark.encode())
            except OSError as error:
                _log.warning("log_mark_not_written", path=str(self._path), reason=error.strerror)

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        try:
            aside.write_bytes(content)
            aside.replace(path)  # readers find a whole one while another worker writes
        finally:
            aside.unlink(missing_ok=True)

    def _read(self) -> Mark | None:
        assert self._path is not None  # noqa: S101 - or it counts as read
        try:
            mark = Mark.parse(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("log_mark_unreadable", path=str(self._path), error=repr(error))
            return None
        self._former = mark.former
        return mark

    async def _went_back(self, mark: Mark, life: Life) -> bool:
        if life.uuid != mark.uuid:
            return life.epoch in mark.former  # an older collection is back, or this is a new one
        if life.epoch != mark.epoch:
            return mark.epoch not in life.former  # else somebody else has begun it
        pack = await newest(self._database)[self._collection].find_one(
            {"project_id": mark.project_id, "first": {"$lte": mark.first}},
            {"first": 1, "stamp": 1},
            sort=[("first", -1)],
            max_time_ms=NEWEST_MS,
        )
        if pack is not None:
            # Where this is an older one, that of the mark was not overwritten: the oldest go first.
            return not (pack["first"] == mark.first and pack["stamp"] == Timestamp(*mark.stamp))
        oldest = await self._database[self._collection].find_one({}, sort=[("$natural", 1)])
        if oldest is None or oldest["stamp"].time + ORDER_S < mark.stamp[0]:
            return True
        # Heads alone would not do: a worker that saw the log go further has written them since.
        return await self._heads.read(mark.project_id, durable=False) < mark.last
