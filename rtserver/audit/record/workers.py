"""The worker registry: which workers there are, where their audit chains stand, who is gone.

Every worker keeps a lease with the newest of its records that is stored. The others write these
heads into their own chains from time to time, so that no chain can be rewritten alone, and every
chain's end into another before it leaves the registry. A worker whose lease runs out is recorded as
lost, by one of the others.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.auditor import Auditor
from rtserver.audit.record.buffer_usage import AuditBuffer
from rtserver.audit.record.chain import Head
from rtserver.lib.lease_trust import LeaseTrust
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.version import VERSION

RECORDED_S = 10.0
LATE_S = 1.0
END_ATTEMPTS = 5

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
        id: where that record is in the log; None where that is not known.
        ended: it ended in order, and that record is the chain's last.
    """

    chain: str
    worker_id: str
    host: str
    pid: int
    n: int
    hash: str
    id: str | None = None
    ended: bool = False

    @property
    def head(self) -> Head:
        """Where its chain stands."""
        return Head(self.n, self.hash, self.id)


def entry_of(auditor: Auditor, *, ended: bool = False) -> Worker:
    """This process as it stands in the registry, with what is stored of its chain."""
    stored = auditor.stored
    return Worker(
        auditor.chain,
        auditor.worker_id,
        socket.gethostname(),
        os.getpid(),
        stored.n,
        stored.hash,
        stored.id,
        ended,
    )


class WorkerStore(Protocol):
    """The registry, kept where all workers see it. Time is the store's own."""

    async def renew(self, worker: Worker) -> None:
        """Enter a worker or give it a new lease."""

    async def withdraw(self, chain: str) -> None:
        """Take a worker out."""

    async def listed(self) -> Sequence[Worker]:
        """All workers that are in the registry, also those that ended or lost their lease."""

    async def claim_lapsed(self) -> Worker | None:
        """A worker whose lease ran out, for this caller alone for the time of a lease, or None.

        One that ended in order is none.
        """


class Workers:
    """This worker among the others."""

    def __init__(
        self,
        store: WorkerStore,
        auditor: Auditor,
        buffer: AuditBuffer,
        *,
        worker_id: str,
        lease_s: float,
        trust: LeaseTrust,
        anchor_interval_s: float,
    ) -> None:
        """Make the registry's client.

        Args:
            store: the registry.
            auditor: whose chain this is about.
            buffer: what the log holds.
            worker_id: this worker.
            lease_s: how long a worker counts as alive without renewal.
            trust: told of each renewal, and says whether leases that look lapsed are.
            anchor_interval_s: time between two records with the heads of the other chains.
        """
        self._store = store
        self._auditor = auditor
        self._buffer = buffer
        self._worker_id = worker_id
        self._lease_s = lease_s
        self._trust = trust
        self._anchor_interval_s = anchor_interval_s
        self._anchored: dict[str, int] = {}
        self._ended: dict[str, int] = {}
        self._own_n = 0

    async def begin(self) -> None:
        """Enter the registry, and write the chain's first record.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        me = entry_of(self._auditor)
        # First the registry: a chain that begins without being known there was made up.
        await self._store.renew(me)
        await self._record(
            Action.WORKER_STARTED,
            await self._news(),
            target=self._worker_id,
            host=me.host,
            pid=me.pid,
            version=VERSION,
        )

    async def _news(self) -> list[Worker]:
        """The other chains, as far as where they stand is news to this one."""
        return [
            other
            for other in await self._store.listed()
            if other.chain != self._auditor.chain
            and (
                other.n > self._anchored.get(other.chain, 0)
                or (other.ended and other.chain not in self._ended)
            )
        ]

    async def _record(
        self,
        action: Action,
        others: Sequence[Worker],
        *,
        target: str | None = None,
        **details: Any,
    ) -> None:
        """Write down where the chains stand, this one too, and what the buffer holds.

        Verification learns from it what was in the log at this moment, and so which records
        can have been overwritten since.
        """
        heads = [other.head.to_json(other.chain, ended=other.ended) for other in others]
        if self._auditor.stored.n:
            heads.append(self._auditor.stored.to_json(self._auditor.chain))
        usage = await self._buffer.usage()
        before = self._auditor.n
        self._auditor.record(
            action,
            by=_SERVER,
            target=target,
            heads=heads or None,
            log=usage.to_json(),
            **details,
        )
        if self._auditor.n == before:
            return  # the spool is full: it remains news
        self._own_n = self._auditor.n
        for other in others:
            self._anchored[other.chain] = other.n
            if other.ended:
                self._ended[other.chain] = self._auditor.n

    async def anchor(self) -> None:
        """Write down where the chains stand, unless nothing happened but that.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        news = await self._news()
        if news or self._auditor.stored.n > self._own_n:
            await self._record(Action.AUDIT_ANCHORED, news)

    async def _withdraw_ended(self) -> None:
        """Take those out whose end is for ever in this chain."""
        for chain, n in list(self._ended.items()):
            if self._auditor.stored.n >= n:
                await self._store.withdraw(chain)
                del self._ended[chain]
                self._anchored.pop(chain, None)

    async def run(self) -> None:
        """Keep the lease, and tell of those who lost theirs, until cancelled."""
        interval_s = self._lease_s / 3
        loop = asyncio.get_running_loop()
        next_anchor_s = loop.time() + min(interval_s, self._anchor_interval_s)
        while True:
            await asyncio.sleep(min(interval_s, self._anchor_interval_s))
            try:
                await self._store.renew(entry_of(self._auditor))
                self._trust.renewed()
                await self._withdraw_ended()
                if self._trust.holds():
                    await self._tell_of_lost()
                if loop.time() >= next_anchor_s:
                    await self.anchor()
                    next_anchor_s = loop.time() + self._anchor_interval_s
            except StoreUnavailableError as error:
                _log.warning("worker_lease_not_renewed", error=str(error))

    async def _tell_of_lost(self) -> None:
        while (lost := await self._store.claim_lapsed()) is not None:
            _log.warning("worker_lost", worker_id=lost.worker_id, chain=lost.chain)
            found = await self._buffer.newest_of(lost.chain)
            head = lost.head if found is None or found.n < lost.n else found
            self._auditor.record(
                Action.WORKER_LOST,
                Outcome.FAILED,
                by=_SERVER,
                target=lost.worker_id,
                **head.to_json(lost.chain),
            )
            try:
                async with asyncio.timeout(RECORDED_S):
                    await self._auditor.flush()
            except TimeoutError:
                return  # its entry stays, so that somebody tells of it again
            await self._store.withdraw(lost.chain)
            self._anchored.pop(lost.chain, None)

    async def end(self) -> None:
        """Say that this chain ended, once its last record is stored. A failure is logged.

        The entry stays in the registry until another worker, perhaps the next one to start, has
        put the chain's end into its own: else the whole chain could be taken away unseen.
        """
        try:
            for _ in range(END_ATTEMPTS):
                if not self._auditor.is_settled():
                    return
                me = entry_of(self._auditor, ended=True)
                await self._store.renew(me)
                if self._auditor.n == me.n:
                    return
                # Something was recorded meanwhile, and may be stored: the end is behind that.
                await self._store.renew(entry_of(self._auditor))
                await self._wait_for_late_records()
        except StoreUnavailableError as error:
            _log.warning("worker_end_not_registered", error=str(error))

    async def _wait_for_late_records(self) -> None:
        """What can't be stored in time is in the spool; the lease runs out, and somebody tells."""
        try:
            async with asyncio.timeout(LATE_S):
                await self._auditor.flush()
        except TimeoutError:
            _log.warning("audit_left_in_spool", chain=self._auditor.chain)
