"""The log's parts put together as the server does it, for tests on a real MongoDB."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rtserver.eventlog.metrics import LogMetrics
from rtserver.model.events import EventPack
from rtserver.observe.metrics import MetricsRegistry
from store.base.client import Database
from store.log.access import LogAccess
from store.log.collection import EVENTS, prepare_log
from store.log.heads import Heads
from store.log.marks import Marks
from store.log.tail import EventTail, OwnPacks
from store.log.wire_access import WireAccess
from store.log.writer import MongoEventLog
from tests.support.waiting import WAIT_S

BUFFER_BYTES = 1 << 20
ACCESS: Callable[[Database], LogAccess] = WireAccess
"""How a log gets at its collection; tests of the log itself are run with each way."""


async def make_log(
    db: Database,
    *,
    buffer_bytes: int = BUFFER_BYTES,
    queue_bytes: int = 1 << 20,
    publish_timeout_s: float = WAIT_S,
    collection: str = EVENTS,
    marks: Marks | None = None,
    access: LogAccess | None = None,
) -> MongoEventLog:
    """A log on a prepared collection; its writer does not run yet."""
    epoch = await prepare_log(db, collection, buffer_bytes)
    heads = Heads(db, buffer_bytes=buffer_bytes, collection=collection)
    return MongoEventLog(
        db,
        heads,
        LogMetrics(MetricsRegistry()),
        access or ACCESS(db),
        marks=marks or Marks(db, collection, heads),
        epoch=epoch,
        queue_bytes=queue_bytes,
        publish_timeout_s=publish_timeout_s,
        collection=collection,
    )


@dataclass
class FollowedLog:
    """What a tail needs to have of its log."""

    db: Database
    heads: Heads
    marks: Marks
    access: LogAccess
    buffer_bytes: int = BUFFER_BYTES
    collection: str = EVENTS

    async def prepare(self) -> str:
        """Make it where it is missing."""
        return await prepare_log(self.db, self.collection, self.buffer_bytes)


class Follower:
    """A tail, and what it has handed on.

    Attributes:
        batches: how many it was handed.
        packs: every pack, in order, repetitions after a restart included.
        epochs: those that it was told of.
        receive: awaited with each batch; a test puts its own here.
    """

    def __init__(
        self,
        db: Database,
        epoch: str,
        *,
        buffer_bytes: int = BUFFER_BYTES,
        heads: Heads | None = None,
        watched: asyncio.Event | None = None,
        own: OwnPacks | None = None,
        under_way: asyncio.Event | None = None,
    ) -> None:
        self.batches = 0
        self.packs: list[EventPack] = []
        self.epochs: list[str] = []
        self.metrics = LogMetrics(MetricsRegistry())
        self.receive: Callable[[list[EventPack]], Awaitable[None]] = self.take
        heads = heads or Heads(db, buffer_bytes=buffer_bytes)
        log = FollowedLog(db, heads, Marks(db, EVENTS, heads), ACCESS(db), buffer_bytes)
        self.tail = EventTail(
            db, log, self.metrics, self, epoch=epoch, own=own, watched=watched, under_way=under_way
        )

    async def on_packs(self, packs: list[EventPack]) -> None:
        """Take a batch."""
        await self.receive(packs)

    def on_epoch(self, epoch: str) -> None:
        """Note that the log is another one."""
        self.epochs.append(epoch)

    async def take(self, packs: list[EventPack]) -> None:
        """Note a batch."""
        self.batches += 1
        self.packs.extend(packs)

    def restarts(self) -> float:
        """How often the cursor was opened again."""
        return float(self.metrics.tail_restarts_total._value.get())

    def fresh(self, project_id: str) -> list[int]:
        """A project's sequence numbers as one who drops what was there before gets them."""
        seen = 0
        numbers: list[int] = []
        for pack in self.packs:
            if pack.project_id == project_id and pack.last > seen:
                numbers.extend(range(max(seen + 1, pack.first), pack.last + 1))
                seen = pack.last
        return numbers
