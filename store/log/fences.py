"""Appends that the log refuses once it holds an event that ends what they belong to.

A pack goes in at the number after all that its writer has seen. So a writer that has looked at
every event before that number, and found none that forbids the append, appends on exactly that
condition: an event that comes in between takes the number, and then the writer looks again.
"""

import asyncio
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

from pymongo.errors import ExecutionTimeout

from rtserver.eventlog.api import Fence, FencedError, FenceLostError
from store.base.client import Database, confirmed
from store.log.collection import MAX_EVENTS_PER_PACK
from store.log.packing import Packing

LOOK_TIMEOUT_S = 10.0
LOOK_AGAIN_S = 0.005
PACKS_AT_ONCE = 500
ENDED = "It has ended"
OVERWRITTEN = "What was in the log before this was overwritten"


class Fences:
    """The fences of a log's publishers, and how far each is known to be clear."""

    def __init__(self, database: Database, collection: str) -> None:
        # What is looked at must not be rolled back later and replaced by something else.
        self._events = confirmed(database)[collection]
        self._newest = database[collection]
        self._known: dict[str, weakref.WeakSet[Fence]] = {}

    def add(self, project_id: str, fence: Fence) -> None:
        """Take notice of what this worker itself appends from now on."""
        self._known.setdefault(project_id, weakref.WeakSet()).add(fence)

    def stored(self, packings: Iterable[Packing]) -> None:
        """These packs are in the log, and a majority has them."""
        for packing in packings:
            fences = self._known.get(packing.project_id)
            if fences is None:
                continue
            if not fences:
                del self._known[packing.project_id]
            for fence in fences:
                if fence.clear_upto == packing.first - 1:
                    if any(map(fence.forbids, packing.items)):
                        fence.closed = True
                    else:
                        fence.clear_upto = packing.first + len(packing.items) - 1

    async def refused(self, packings: Sequence[Packing]) -> list[tuple[Packing, Exception]]:
        """The packs that may not go in at their numbers, each with the reason.

        Raises:
            DatabaseError: MongoDB did not answer, or not in time.
        """
        refused: list[tuple[Packing, Exception]] = []
        before: dict[str, list[Packing]] = {}
        heads: dict[str, int] = {}
        for packing in packings:
            ahead = before.setdefault(packing.project_id, [])
            # What goes in with it is not in the log yet, and what is refused never will be.
            head = heads.setdefault(packing.project_id, packing.first - 1)
            fence = packing.fence
            if fence is not None:
                error = await self._look(packing.project_id, fence, head)
                if error is None and any(
                    fence.forbids(item) for other in ahead for item in other.items
                ):
                    error = FencedError(ENDED)
                if error is not None:
                    refused.append((packing, error))
                    continue
            ahead.append(packing)
        return refused

    async def _look(self, project_id: str, fence: Fence, upto: int) -> Exception | None:
        """See whether what stands before a number forbids the append; why it can't be made."""
        deadline_s = asyncio.get_running_loop().time() + LOOK_TIMEOUT_S
        while not fence.closed and fence.clear_upto < upto:
            before = fence.clear_upto
            for pack in await self._packs(project_id, fence, upto):
                if pack["first"] > fence.clear_upto + 1:
                    return FenceLostError(OVERWRITTEN)
                if pack["forbids"]:
                    fence.closed = True
                    break
                fence.clear_upto = pack["last"]
            if fence.clear_upto == before and not fence.closed:
                if await self._is_overwritten(project_id, before):
                    return FenceLostError(OVERWRITTEN)
                # A majority does not have yet what another worker has just inserted.
                if asyncio.get_running_loop().time() > deadline_s:
                    raise ExecutionTimeout("what stands before a pack is not confirmed")
                await asyncio.sleep(LOOK_AGAIN_S)
        return FencedError(ENDED) if fence.closed else None

    async def _packs(self, project_id: str, fence: Fence, upto: int) -> list[dict[str, Any]]:
        """The next packs up to a number that the fence is not known to be clear of, in order.

        Of their events only those of the types that may forbid something, and which do by the
        text that the fence looks for: outputs would be megabytes.
        """
        forbids = {
            "$and": [
                {"$in": ["$$this.t", sorted(fence.types)]},
                {"$gte": [{"$indexOfBytes": ["$$this.b", {"$literal": fence.text}]}, 0]},
            ]
        }
        after = fence.clear_upto
        cursor = (
            self._events.find(
                {
                    "project_id": project_id,
                    "first": {"$gt": after - MAX_EVENTS_PER_PACK, "$lte": upto},
                    "last": {"$gt": after},
                },
                {
                    "first": 1,
                    "last": 1,
                    "forbids": {"$size": {"$filter": {"input": "$events", "cond": forbids}}},
                },
            )
            .sort("first", 1)
            .limit(PACKS_AT_ONCE)
            .max_time_ms(int(LOOK_TIMEOUT_S * 1000))
        )
        return [pack async for pack in cursor]

    async def _is_overwritten(self, project_id: str, clear_upto: int) -> bool:
        """Whether the buffer does not hold any more what follows a number."""
        oldest = await self._newest.find_one(
            {"project_id": project_id}, {"first": 1}, sort=[("first", 1)]
        )
        return oldest is None or oldest["first"] > clear_upto + 1
