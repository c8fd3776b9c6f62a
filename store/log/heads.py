"""Heads: the last sequence number of each project, kept where it outlives the capped buffer."""

import asyncio

import structlog
from bson import Int64
from pymongo import DESCENDING, UpdateOne

from rtserver.lib.waiting import is_set_within
from store.base.client import NEWEST_MS, Database, DatabaseError, confirmed, newest
from store.log.collection import EVENTS, HEADS, STRANGERS, STRANGERS_HEADS

FASTEST_BYTES_PER_S = 256 * 1024 * 1024
"""More than a replica set with majority writes and a journal takes from all its writers."""

EVERYTHING_ROUNDS = 10

_log = structlog.get_logger()


class Heads:
    """Reads heads, and writes them behind.

    A project whose events were all overwritten must go on counting, so a head has to be in its own
    collection before the buffer can wrap. It is written when `flush_interval_s` has passed or a
    small part of the buffer has been filled since, whichever is first. Heads of other workers'
    events are written too, less often but also before the buffer can wrap: their own worker may
    have died before it could.

    Attributes:
        buffer_bytes: the size of the buffer.
        fresh_s: how long a head may be believed in once it was read. The unique index that refuses
            a number twice holds only what is in the buffer, so a belief must not grow so old that
            the whole buffer could have been overwritten since.
    """

    def __init__(
        self,
        database: Database,
        *,
        buffer_bytes: int,
        flush_interval_s: float = 1.0,
        collection: str = EVENTS,
    ) -> None:
        self._heads = database[STRANGERS_HEADS if collection == STRANGERS else HEADS]
        self._majority = confirmed(database)[collection]
        self._newest = newest(database)[collection]
        self._events = database[collection]
        self._flush_interval_s = flush_interval_s
        self.resize(buffer_bytes)
        self._own: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._bytes = 0
        self._seen_bytes = 0
        self._much_was_seen = asyncio.Event()

    def resize(self, buffer_bytes: int) -> None:
        """Go by another size of the buffer."""
        self.buffer_bytes = buffer_bytes
        self.fresh_s = buffer_bytes / FASTEST_BYTES_PER_S
        self._flush_bytes = max(4096, buffer_bytes // 32)

    async def read(self, project_id: str, *, durable: bool, newest: bool = False) -> int:
        """The larger of the stored head and the newest event's number; 0 where there is neither.

        Args:
            project_id: whose.
            durable: count only what a majority has. A writer asks for the newest instead.
            newest: of what a majority has, all: a primary that was cut off does not answer.
        """
        durable_events = self._newest if newest else self._majority
        events = durable_events if durable else self._events
        pack, stored = await asyncio.gather(
            events.find_one(
                {"project_id": project_id},
                {"last": 1},
                sort=[("first", DESCENDING)],
                max_time_ms=NEWEST_MS,
            ),
            self._heads.find_one({"_id": project_id}),
        )
        return max(pack["last"] if pack else 0, stored["seq"] if stored else 0)

    async def wrote(self, project_heads: dict[str, int], size_bytes: int) -> None:
        """Remember what this worker appended; writes at once where much was."""
        self._own.update(project_heads)
        self._bytes += size_bytes
        if self._bytes >= self._flush_bytes:
            await self.flush()

    def saw(self, project_id: str, seq: int, size_bytes: int) -> None:
        """Remember what came through the tail, from any worker; `run` writes it in time."""
        self._seen[project_id] = seq
        self._seen_bytes += size_bytes
        if self._seen_bytes >= self._flush_bytes:
            self._seen_bytes = 0
            self._much_was_seen.set()

    async def flush(self, *, everything: bool = False) -> None:
        """Write what is waiting. `$max` keeps a later number that another worker wrote.

        Raises:
            DatabaseError: MongoDB did not take it; it stays waiting.
        """
        own, self._own = self._own, {}
        size, self._bytes = self._bytes, 0
        if everything:
            seen, self._seen = self._seen, {}
            for project_id, seq in seen.items():
                own[project_id] = max(seq, own.get(project_id, 0))
        if not own:
            return
        updates = [
            UpdateOne({"_id": project_id}, {"$max": {"seq": Int64(seq)}}, upsert=True)
            for project_id, seq in own.items()
        ]
        try:
            await self._heads.bulk_write(updates, ordered=False)
        except BaseException:
            for project_id, seq in own.items():
                self._own[project_id] = max(seq, self._own.get(project_id, 0))
            self._bytes += size
            raise

    async def run(self) -> None:
        """Write behind until cancelled. A failure is logged and tried again."""
        rounds = 0
        while True:
            if not await is_set_within(self._much_was_seen, self._flush_interval_s):
                rounds += 1
            everything = self._much_was_seen.is_set() or rounds % EVERYTHING_ROUNDS == 0
            self._much_was_seen.clear()
            try:
                await self.flush(everything=everything)
            except DatabaseError as error:
                _log.warning("heads_not_written", error=str(error))
                await asyncio.sleep(self._flush_interval_s)

    async def finish(self) -> None:
        """Write all that is waiting, once `run` has ended. A failure is logged.

        Nothing is lost by one: where the log still has a project's newest event, that counts.
        """
        try:
            await self.flush(everything=True)
        except DatabaseError as error:
            _log.warning("heads_not_written", error=str(error))
