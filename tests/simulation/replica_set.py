"""A replica set in memory that fails as MongoDB does, and each worker's way to it.

A write is applied by the primary at once, and is on a majority a while later; then it is answered.
In between a failover may come: what no other member had is taken back. A primary that was cut off
goes on for those who still reach it: its local reads show what will be rolled back, its majority
reads are stale, and its writes are never confirmed. Answers get lost, whether or not the work was
done; the driver asks once more under the same number, and what was done already is answered in
another shape: a findAndModify then gives the whole document (MongoDB 6.0).
"""

import asyncio
import itertools
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import Timestamp
from pymongo.errors import AutoReconnect

from store.log.collection import EVENTS
from tests.simulation.expressions import Document

Collections = dict[str, dict[Any, Document]]
"""Documents are never changed in place, so collections may share them."""
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(eq=False)
class Write:
    """One change of one document.

    Attributes:
        number: of the driver's attempt, by which a second one is known.
        given: what a findAndModify gives.
        outcome: whether a majority has it; False where it was rolled back, None before either.
    """

    collection: str
    identity: Any
    after: Document
    number: int
    given: Document | None
    outcome: bool | None = None
    waiting: list[asyncio.Future[bool]] = field(default_factory=list)

    async def confirmed(self) -> None:
        """Wait until a majority has it.

        Raises:
            AutoReconnect: it was rolled back.
        """
        if self.outcome is None:
            self.waiting.append(asyncio.get_running_loop().create_future())
            await self.waiting[-1]
        if not self.outcome:
            raise AutoReconnect("not primary any more")

    def settle(self, outcome: bool) -> None:
        self.outcome = outcome
        for one in self.waiting:
            if not one.done():  # who asked may have gone
                one.set_result(outcome)


@dataclass(eq=False)
class Member:
    """A primary, real or deposed.

    Attributes:
        local: what it has.
        majority: what it knows a majority to have.
        pending: what it has beyond that, in order.
        numbers: the attempts that it has carried out.
        inserting: how many inserts into an empty collection are not committed yet.
        overwritten: how many of a collection's documents are not there any more.
        ended: done when it knows that it is not primary any more.
        grown: done at the next event, or where there can be none.
    """

    local: Collections
    majority: Collections
    pending: list[Write] = field(default_factory=list)
    numbers: dict[int, Document | None] = field(default_factory=dict)
    deposed: bool = False
    inserting: int = 0
    overwritten: int = 0
    grown: asyncio.Future[None] | None = None
    ended: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def wake(self) -> None:
        if self.grown is not None:
            self.grown.set_result(None)
            self.grown = None

    async def growth(self, timeout_s: float) -> None:
        """Wait for an event, for so long at most."""
        if self.grown is None:
            self.grown = asyncio.get_running_loop().create_future()
        await asyncio.wait({self.grown}, timeout=timeout_s)


def shared(collections: Collections) -> Collections:
    """Collections of their own with the same documents."""
    return {name: dict(documents) for name, documents in collections.items()}


class ReplicaSet:
    """The members that anybody talks to.

    Attributes:
        primary: the one that a majority follows.
        stale: one that does not know yet that it is none; None where there is none.
        rolled_back: how many writes were taken back.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.primary = Member({}, {})
        self.stale: Member | None = None
        self.rolled_back = 0
        self.order = itertools.count(1)

    def now(self) -> datetime:
        return BEGAN + timedelta(seconds=asyncio.get_running_loop().time())

    def timestamp(self) -> Timestamp:
        return Timestamp(int(asyncio.get_running_loop().time()) + 1000, next(self.order))

    def write(self, member: Member, write: Write) -> None:
        member.local.setdefault(write.collection, {})[write.identity] = write.after
        member.numbers[write.number] = write.given
        member.pending.append(write)
        if write.collection == EVENTS:
            member.wake()
        if len(member.pending) == 1 and not member.deposed:
            self._confirm_soon(member)

    def _confirm_soon(self, member: Member) -> None:
        wait_s = self.chance.uniform(0.001, 0.08)
        asyncio.get_running_loop().call_later(wait_s, self._confirm, member)

    def _confirm(self, member: Member) -> None:
        """A majority has the first of what is pending, or more of it."""
        if member is self.primary and member.pending:
            for _ in range(self.chance.randint(1, len(member.pending))):
                self._keep(member, member.pending.pop(0))
            if member.pending:
                self._confirm_soon(member)

    def _keep(self, member: Member, write: Write) -> None:
        member.majority.setdefault(write.collection, {})[write.identity] = write.after
        write.settle(True)

    def fail_over(self, *, stale_s: float) -> None:
        """Another member becomes primary; the old one goes on for as long as it does not know.

        It has a part of what was not confirmed: what had come to it by then.
        """
        old = self.primary
        had = old.pending[: self.chance.randint(0, len(old.pending))]
        lost = {write.number for write in old.pending[len(had) :]}
        new = Member(shared(old.majority), old.majority)
        new.numbers = {n: given for n, given in old.numbers.items() if n not in lost}
        for write in had:
            new.local.setdefault(write.collection, {})[write.identity] = write.after
        self._depose(new, stale_s)
        old.majority = shared(old.majority)
        for write in had:
            self._keep(new, write)
        old.pending = old.pending[len(had) :]

    def overwrite(self, collection: str, count: int) -> None:
        """The oldest of a capped collection make room. Call it when nothing is pending."""
        member = self.primary
        for documents in (member.local[collection], member.majority[collection]):
            for identity in list(itertools.islice(documents, count)):
                del documents[identity]
        member.overwritten += count

    def _depose(self, new: Member, stale_s: float) -> None:
        old = self.primary
        if self.stale is not None:
            self._end_stale(self.stale)
        old.deposed, self.primary, self.stale = True, new, old
        asyncio.get_running_loop().call_later(stale_s, self._end_stale, old)

    def _end_stale(self, member: Member) -> None:
        self.rolled_back += len(member.pending)
        for write in member.pending:
            write.settle(False)
        member.pending.clear()
        member.wake()
        if self.stale is member:
            self.stale = None
            member.ended.set_result(None)

    async def healed(self) -> None:
        """Wait until nobody takes a member for the primary that is none."""
        if self.stale is not None:
            await asyncio.wait({self.stale.ended})

    def answers(self, member: Member) -> bool:
        """Whether a member still takes itself for the primary."""
        return member is self.primary or member is self.stale


@dataclass
class Link:
    """A worker's way to MongoDB.

    Attributes:
        clings: it still talks to a primary that was deposed.
        stalled: a future while the worker stands still: nothing is asked, no answer read.
        losses: how likely an answer is lost.
    """

    replica_set: ReplicaSet
    chance: random.Random
    clings: bool = False
    stalled: asyncio.Future[None] | None = None
    losses: float = 0.0
    shapes: int = 0

    def member(self) -> Member:
        stale = self.replica_set.stale
        return stale if self.clings and stale is not None else self.replica_set.primary

    async def travel(self) -> None:
        """One way of a question or an answer; most of them take no time."""
        if self.chance.random() < 0.4:
            await asyncio.sleep(self.chance.uniform(0.001, 0.025))
        while self.stalled is not None:
            await asyncio.shield(self.stalled)

    def loses(self) -> bool:
        return self.chance.random() < self.losses
