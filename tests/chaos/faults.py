"""Faults by a seed: what is broken when, and for how long."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from rtserver.lib.waiting import is_set_within
from tests.chaos.clients import Client
from tests.chaos.cluster import MONGODS, WORKERS, Cluster
from tests.chaos.history import HistoryFile

PAUSE_S = (0.5, 7.0)
"""For how long a fault lasts: shorter and longer than a lease."""
MOST_AT_ONCE = 2


@dataclass
class Faults:
    """Breaks, and mends what it broke.

    Attributes:
        over: set when nothing more is to be broken, and all is to be mended.
    """

    cluster: Cluster
    clients: Sequence[Client]
    history: HistoryFile
    chance: random.Random
    between_s: tuple[float, float]
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        kinds: list[Callable[[], Coroutine[Any, Any, None]]] = [
            *(self.kill_worker, self.pause_worker, self.pause_worker, self.kill_mongod),
            *(self.pause_mongod, self.step_down, self.cut_clients),
        ]
        if self.cluster.network is not None:
            kinds += [self.part_primary, self.part_worker, self.part_client_way, self.part_any]
        async with asyncio.TaskGroup() as group:
            under_way: set[asyncio.Task[None]] = set()
            while not self.over.is_set():
                await self._stay(self.chance.uniform(*self.between_s))
                if len(under_way) < MOST_AT_ONCE:  # else nothing would get through at all
                    task = group.create_task(self.chance.choice(kinds)())
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)

    async def _stay(self, time_s: float) -> None:
        await is_set_within(self.over, time_s)

    def _note(self, name: str, on: str) -> None:
        self.history.add("fault", name=name, on=on)

    def _a_worker(self) -> str | None:
        """A worker that is well, as long as another one is too."""
        well = [one for one in WORKERS if one in self.cluster.living and self._is_well(one)]
        return self.chance.choice(well) if len(well) > 1 else None

    def _is_well(self, name: str) -> bool:
        return name not in self.cluster.paused and name not in self.cluster.down

    def _a_mongod(self, primary: str | None = None) -> str | None:
        """One of three that are well: a majority has to be left, or nothing happens at all."""
        if not all(map(self._is_well, MONGODS)):
            return None
        return primary or self.chance.choice(MONGODS)

    async def kill_worker(self) -> None:
        name = self._a_worker()
        if name is not None:
            self._note("kill_worker", name)
            self.cluster.kill_worker(name)
            await self._stay(self.chance.uniform(0, 2))
            await asyncio.to_thread(self.cluster.start_workers, [name])

    async def pause_worker(self) -> None:
        name = self._a_worker()
        if name is not None:
            self._note("pause_worker", name)
            self.cluster.pause(name)
            await self._stay(self.chance.uniform(*PAUSE_S))
            self.cluster.resume(name)

    async def kill_mongod(self) -> None:
        name = self._a_mongod(await asyncio.to_thread(self.cluster.primary))
        if name is not None:
            self._note("kill_mongod", name)
            self.cluster.kill_mongod(name)
            await self._stay(self.chance.uniform(0, 3))
            await asyncio.to_thread(self.cluster.start_mongod, name)

    async def pause_mongod(self) -> None:
        name = self._a_mongod()
        if name is not None:
            self._note("pause_mongod", name)
            self.cluster.pause(name)
            await self._stay(self.chance.uniform(*PAUSE_S))
            self.cluster.resume(name)

    async def step_down(self) -> None:
        name = await asyncio.to_thread(self.cluster.primary)
        if name is not None:
            self._note("step_down", name)
            port = self.cluster.port(name)
            await asyncio.to_thread(self.cluster.mongods.ask_to_step_down, port)

    async def cut_clients(self) -> None:
        for one in self.clients:
            if self.chance.random() < 0.4:
                self._note("cut_client", one.who.name)
                one.cut.set()

    async def part_primary(self) -> None:
        """The other members lose the primary, and workers do not: it goes on for a while."""
        name = self._a_mongod(await asyncio.to_thread(self.cluster.primary))
        if name is not None:
            await self._part("part_primary", [(name, other) for other in MONGODS if other != name])

    async def part_worker(self) -> None:
        """A worker loses MongoDB."""
        name = self._a_worker()
        if name is not None:
            await self._part("part_worker", [(name, other) for other in MONGODS])

    async def part_client_way(self) -> None:
        """Clients lose a worker."""
        name = self._a_worker()
        if name is not None:
            await self._part("part_client_way", [("here", name)])

    async def part_any(self) -> None:
        """Somebody loses somebody, perhaps one way only."""
        one, other = self.chance.sample([*MONGODS, *WORKERS], 2)
        await self._part("part_any", [(one, other)], one_way=self.chance.random() < 0.5)

    async def _part(
        self, name: str, pairs: Sequence[tuple[str, str]], *, one_way: bool = False
    ) -> None:
        network = self.cluster.network
        assert network is not None
        ways = [*pairs, *(() if one_way else [(other, one) for one, other in pairs])]
        ways = [way for way in ways if way not in network.cuts]
        self._note(name, " ".join(f"{one}>{other}" for one, other in ways))
        for way in ways:
            network.cut(*way)
        try:
            await self._stay(self.chance.uniform(*PAUSE_S))
        finally:
            for way in ways:
                network.mend(*way)
