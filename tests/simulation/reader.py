"""A reader: drops off, comes back with its position, and notes what is wrong with what it gets."""

import asyncio
import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from rtserver.delivery.feed import Feed
from rtserver.delivery.resume import ResumeOutcome, Resumption, Sight, decide
from rtserver.delivery.send_buffer import Outbox
from rtserver.delivery.wire_forms import Encoding
from rtserver.eventlog.answering import Answering
from rtserver.lib.byte_budget import ByteBudget
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.visibility import Viewer
from rtserver.sessions.catch_up import CatchUp
from tests.simulation.worker import PROJECT, SimulatedWorker

if TYPE_CHECKING:
    from tests.simulation.world import World

SEES_ALL = Sight.by_audience(lambda _audience: True)


class Reader:
    """One client with a connection at a time, whose socket takes everything at once.

    Attributes:
        epoch, seq: its position; no epoch before it was welcomed for the first time.
    """

    encoding = Encoding.SSE
    viewer = Viewer("ada")

    def __init__(self, name: str, world: "World", position: str | None = None) -> None:
        self.name = name
        self.world = world
        self.epoch, self.seq = "", 0
        if position is not None:
            epoch, seq = position.split("-")
            self.epoch, self.seq = epoch, int(seq)

    def fault(self, words: str) -> None:
        self.world.faults.append(f"{self.name} at {self.epoch}-{self.seq}: {words}")

    async def live(self) -> None:
        """Come and go until cancelled; once the faults are over, stay."""
        chance = self.world.chance
        while True:
            worker = chance.choice(self.world.workers)
            session = worker.start(self._connect(worker))
            worker.sessions.add(session)
            stays_s = None if self.world.healed else chance.choice([0.1, 1.0, 5.0])
            try:
                await asyncio.wait({session}, timeout=stays_s)
            finally:
                session.cancel()
                worker.sessions.discard(session)
            await asyncio.wait({session})
            await asyncio.sleep(chance.choice([0.0, 0.3, 3.0]) if not self.world.healed else 0.3)

    async def _connect(self, worker: SimulatedWorker) -> None:
        """A session, as `rtserver.sessions.session` has it."""
        with contextlib.suppress(StoreUnavailableError):
            feed = await worker.dispatcher.open(PROJECT)
            # Each connection has its own: what the last one is sent comes nowhere.
            session = Connection(self, worker)
            try:
                asked = f"{self.epoch}-{self.seq}" if self.epoch else None
                resumption = await decide(worker.log, feed, asked, SEES_ALL)
                self._welcome(worker, resumption)
                await CatchUp(session, feed).run(resumption.from_seq)
                await asyncio.Event().wait()
            finally:
                session.outbox.close()
                feed.leave(session)
                worker.dispatcher.release(feed)

    def _welcome(self, worker: SimulatedWorker, told: Resumption) -> None:
        epoch = worker.log.epoch
        here = epoch == self.epoch
        match told.outcome:
            case ResumeOutcome.REPLAYED:
                self._check(here and told.replayed == told.tip_seq - self.seq, told)
            case ResumeOutcome.NOTHING_MISSED:
                self._check(here and told.tip_seq == self.seq, told)
            case ResumeOutcome.LOST if told.lost is None:
                self._check(not here, told)
            case ResumeOutcome.LOST:
                self._check(here and self._are_lost(told.tip_seq, told.lost or 0), told)
            case ResumeOutcome.FRESH:
                self._check(not self.epoch, told)
        self.epoch, self.seq = epoch, told.from_seq

    def _are_lost(self, upto: int, count: int) -> bool:
        """Whether these are what a client at this position has lost."""
        return count == upto - self.seq and self.seq < self.world.overwritten

    def _check(self, holds: bool, told: Any) -> None:
        if not holds:
            self.fault(f"it was told {told}")

    def take(self, data: bytes) -> None:
        """Events, in the form of an event stream."""
        for block in data.decode().split("\n\n")[:-1]:
            event_id = block[4 : block.index("\n")]
            payload = block[block.index("\ndata: ") + 7 :]
            epoch, seq = event_id.split("-")
            if epoch != self.epoch or int(seq) != self.seq + 1:
                self.fault(f"it was sent {event_id}")
            self.epoch, self.seq = epoch, int(seq)
            if self.world.told.setdefault(event_id, payload) != payload:
                self.fault(f"{event_id} is {payload}, and was {self.world.told[event_id]}")

    def lose(self, requested: int, lost: int) -> None:
        """A gap while it is connected."""
        if requested != self.seq or requested + lost > self.world.overwritten:
            self.fault(f"it was told that {lost} after {requested} are lost")
        self.seq = requested + lost


class Connection:
    """What catching up and the fan-out see of a reader that is connected."""

    encoding = Reader.encoding
    viewer = Reader.viewer

    def __init__(self, reader: Reader, worker: SimulatedWorker) -> None:
        self._reader = reader
        self.outbox = Outbox(self, 1 << 20, lambda: None)
        services = SimpleNamespace(
            settings=SimpleNamespace(outbox_bytes=1 << 20),
            pages=worker.pages,
            catch_up_budget=ByteBudget(1 << 20),
            answering=Answering(),
        )
        self.services = cast("Any", services)

    def fileno(self) -> int:
        return -1

    def send_now(self, data: bytes) -> int:
        self._reader.take(data)
        return len(data)

    def write(self, data: bytes | memoryview) -> "asyncio.Future[None]":
        raise AssertionError("everything is taken at once")

    def send_gap(self, *, requested: int, lost: int) -> None:
        self._reader.lose(requested, lost)

    def sight(self, _feed: Feed) -> Sight:
        return SEES_ALL

    def is_closing(self) -> bool:
        return False

    def is_held_back(self, _seq: int) -> bool:
        return False

    def joined(self) -> None:
        pass

    def close(self, *_arguments: Any) -> None:
        raise AssertionError("nobody is slow here")
