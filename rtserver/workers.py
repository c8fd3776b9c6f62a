"""Which workers there are, where their audit chains stand, and which of them are gone.

Every worker keeps a lease with the newest of its records that is stored. The others write these
heads into their own chains from time to time, so that no chain can be rewritten alone. A worker
whose lease runs out is recorded as lost, by one of the others.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from rtserver import __version__
from rtserver.audit import Acting, Auditor
from rtserver.audit_actions import Action, Outcome
from rtserver.errors import StoreUnavailableError

RECORDED_S = 10.0

_log = structlog.get_logger()
_SERVER = Acting()


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker in the registry.

    Attributes:
        chain: the name of its audit chain, which is as unique as its process.
        worker_id: its id.
        host: where it runs.
        pid: its process.
        n: number of the newest of its records that is known to be stored.
        hash: of that record.
    """

    chain: str
    worker_id: str
    host: str
    pid: int
    n: int
    hash: str


class WorkerStore(Protocol):
    """The registry, kept where all workers see it. Time is the store's own."""

    async def renew(self, worker: Worker) -> None:
        """Enter a worker or give it a new lease."""

    async def withdraw(self, chain: str) -> None:
        """Take a worker out."""

    async def listed(self) -> Sequence[Worker]:
        """All workers that are in the registry, also those whose lease ran out."""

    async def claim_lapsed(self) -> Worker | None:
        """A worker whose lease ran out, for this caller alone for the time of a lease, or None."""


class Workers:
    """This worker among the others."""

    def __init__(
        self,
        store: WorkerStore,
        auditor: Auditor,
        *,
        worker_id: str,
        lease_s: float,
        anchor_interval_s: float,
    ) -> None:
        """Make the registry's client.

        Args:
            store: the registry.
            auditor: whose chain this is about.
            worker_id: this worker.
            lease_s: how long a worker counts as alive without renewal.
            anchor_interval_s: time between two records with the heads of the other chains.
        """
        self._store = store
        self._auditor = auditor
        self._worker_id = worker_id
        self._lease_s = lease_s
        self._anchor_interval_s = anchor_interval_s
        self._anchored: dict[str, int] = {}

    def _myself(self) -> Worker:
        stored = self._auditor.stored
        return Worker(
            self._auditor.chain,
            self._worker_id,
            socket.gethostname(),
            os.getpid(),
            stored.n,
            stored.hash,
        )

    async def begin(self) -> None:
        """Enter the registry, and write the chain's first record.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        me = self._myself()
        # First the registry: a chain that begins without being known there was made up.
        await self._store.renew(me)
        self._auditor.record(
            Action.WORKER_STARTED,
            by=_SERVER,
            target=self._worker_id,
            host=me.host,
            pid=me.pid,
            version=__version__,
            heads=await self._heads() or None,
        )

    async def _heads(self) -> list[dict[str, Any]]:
        """Where the other chains stand, as far as that is news to this one."""
        heads = []
        for other in await self._store.listed():
            known = self._anchored.get(other.chain, 0)
            if other.chain != self._auditor.chain and other.n > known:
                heads.append({"chain": other.chain, "n": other.n, "hash": other.hash})
                self._anchored[other.chain] = other.n
        return heads

    async def anchor(self) -> None:
        """Write down where the others stand.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        heads = await self._heads()
        if heads:
            self._auditor.record(Action.AUDIT_ANCHORED, by=_SERVER, heads=heads)

    async def run(self) -> None:
        """Keep the lease, and tell of those who lost theirs, until cancelled."""
        interval_s = self._lease_s / 3
        loop = asyncio.get_running_loop()
        next_anchor_s = loop.time() + min(interval_s, self._anchor_interval_s)
        confident = False
        while True:
            await asyncio.sleep(min(interval_s, self._anchor_interval_s))
            try:
                await self._store.renew(self._myself())
                if confident:
                    await self._tell_of_lost()
                confident = True
                if loop.time() >= next_anchor_s:
                    await self.anchor()
                    next_anchor_s = loop.time() + self._anchor_interval_s
            except StoreUnavailableError as error:
                # After an outage every lease has lapsed: give the others a round to renew.
                confident = False
                _log.warning("worker_lease_not_renewed", error=str(error))

    async def _tell_of_lost(self) -> None:
        while (lost := await self._store.claim_lapsed()) is not None:
            _log.warning("worker_lost", worker_id=lost.worker_id, chain=lost.chain)
            self._auditor.record(
                Action.WORKER_LOST,
                Outcome.FAILED,
                by=_SERVER,
                target=lost.worker_id,
                chain=lost.chain,
                n=lost.n,
                hash=lost.hash,
            )
            try:
                async with asyncio.timeout(RECORDED_S):
                    await self._auditor.flush()
            except TimeoutError:
                return  # its entry stays, so that somebody tells of it again
            await self._store.withdraw(lost.chain)
            self._anchored.pop(lost.chain, None)

    async def end(self) -> None:
        """Leave the registry, once the chain's last record is stored. A failure is logged."""
        try:
            if self._auditor.is_settled():
                await self._store.withdraw(self._auditor.chain)
        except StoreUnavailableError as error:
            _log.warning("worker_not_withdrawn", error=str(error))
