"""The signer: signs every few seconds, and at the end, where an audit chain and the log stand.

The chain's tree grows with what this worker has stored, as it was recorded, whatever MongoDB has
made of it since. That of the log grows with what is read from MongoDB, so it also fixes in which
order the records of all workers stand. An archive's has what this worker put into it.

Each checkpoint is an audit record, so the archive has it too, and goes outside, see
`rtserver.audit.checkpoints.outside`. Where nothing happened but checkpoints there is no record.
"""

import asyncio
from typing import Any

import structlog

from rtserver.audit.checkpoints.checkpoint import (
    PlacedTree,
    SignedCheckpoint,
    TreeName,
    entry_of,
    sign,
)
from rtserver.audit.checkpoints.metrics import CheckpointMetrics
from rtserver.audit.checkpoints.note import SigningKey
from rtserver.audit.checkpoints.outside import Outside
from rtserver.audit.record.actions import Acting, Action
from rtserver.audit.record.auditor import Auditor
from rtserver.eventlog.api import EventLog
from rtserver.lib.merkle import MerkleTree
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import AUDIT_PROJECT
from rtserver.model.positions import Position

READ_RECORDS = 2_000
OVERLAP_RECORDS = 1_000
"""So many records from before its start a worker signs too: the one before may have been killed."""

_SERVER = Acting()
_log = structlog.get_logger()


class ArchiveTree(PlacedTree):
    """What this worker put into an archive.

    Attributes:
        archive_id: the archive's; empty while that is not known.
    """

    def __init__(self) -> None:
        super().__init__()
        self.archive_id = ""


class Signer:
    """Signs for one worker, in one audit log."""

    def __init__(
        self,
        log_name: str,
        log: EventLog,
        auditor: Auditor,
        chain_tree: MerkleTree,
        archive_tree: ArchiveTree,
        key: SigningKey,
        outside: Outside,
        metrics: CheckpointMetrics,
        *,
        interval_s: float,
    ) -> None:
        """Make it; `run` is the loop.

        Args:
            log_name: of the audit log, for the names of trees.
            log: the audit log.
            auditor: whose chain this is about; records the checkpoints.
            chain_tree: over what is stored of that chain; the auditor adds to it.
            archive_tree: over what is archived; the archiver adds to it.
            key: signs.
            outside: where checkpoints go too.
            metrics: counts checkpoints.
            interval_s: time between two.
        """
        self._log_name = log_name
        self._log = log
        self._auditor = auditor
        self._chain_tree = chain_tree
        self._archive_tree = archive_tree
        self._key = key
        self._outside = outside
        self._metrics = metrics
        self._interval_s = interval_s
        self._order_tree = PlacedTree()
        self._reading = asyncio.Lock()
        self._read = Position("", 0)
        self._has_news = False
        self._signed: dict[TreeName, int] = {}

    async def run(self) -> None:
        """Sign, until cancelled."""
        while True:
            await self.checkpoint()
            await asyncio.sleep(self._interval_s)

    async def checkpoint(self) -> None:
        """Sign where everything stands, and record it, as far as there is something new."""
        try:
            async with self._reading:
                await self._read_on()
        except StoreUnavailableError as error:
            _log.warning("audit_log_not_signed", error=str(error))
        self._sign(recorded=self._has_news and not self._auditor.is_finishing())

    async def finish(self, timeout_s: float) -> None:
        """Sign the end, once all is stored and archived; it goes outside alone.

        Args:
            timeout_s: how long it may take.
        """
        ends_s = asyncio.get_running_loop().time() + timeout_s
        try:
            async with asyncio.timeout(timeout_s / 2), self._reading:
                await self._read_on()
        except (StoreUnavailableError, TimeoutError) as error:
            _log.warning("audit_log_not_signed", error=str(error))
        self._sign(recorded=False)
        if not await self._outside.drain(ends_s - asyncio.get_running_loop().time()):
            _log.warning("audit_checkpoints_left_behind", chain=self._auditor.chain)

    # What is signed

    async def _read_on(self) -> None:
        """Add to the log's tree what came since.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        epoch = self._log.epoch
        head = await self._log.head(AUDIT_PROJECT)
        seq = self._read.seq
        if self._read.epoch != epoch or head < seq:
            seq = max(await self._log.oldest(AUDIT_PROJECT), head - OVERLAP_RECORDS + 1) - 1
            self._order_tree = PlacedTree()
            self._read = Position(epoch, seq)
        while seq < head:
            packs = await self._log.read(AUDIT_PROJECT, after=seq, upto=head, limit=READ_RECORDS)
            if not packs or self._log.epoch != epoch:
                break
            for pack in packs:
                begin = max(pack.first, seq + 1)
                items = pack.items[begin - pack.first :]
                self._order_tree.add(
                    Position(pack.epoch, begin), [entry_of(item["b"]) for item in items]
                )
                self._has_news |= any(item["t"] != Action.AUDIT_CHECKPOINTED for item in items)
                seq = pack.last
            self._read = Position(epoch, seq)
            await asyncio.sleep(0)

    def _sign(self, *, recorded: bool) -> None:
        chain, log_name = self._auditor.chain, self._log_name
        order, archive = self._order_tree, self._archive_tree
        trees = {TreeName(log_name, chain): self._chain_tree}
        if order.first is not None:
            trees[TreeName(log_name, chain, order.first)] = order.tree
        if archive.first is not None:
            trees[TreeName(log_name, chain, archive.first, archive.archive_id)] = archive.tree
        signed = [
            sign(name, tree, self._key)
            for name, tree in trees.items()
            if tree.size and (recorded or tree.size != self._signed.get(name))
        ]
        if not signed:
            return
        if recorded:
            self._record(signed)
        self._signed = {name: tree.size for name, tree in trees.items()}
        self._metrics.signed_total.inc(len(signed))
        self._outside.put({str(one.checkpoint.tree): one.note for one in signed})

    def _record(self, signed: list[SignedCheckpoint]) -> None:
        before = self._auditor.n
        said: list[dict[str, Any]] = [one.to_json() for one in signed]
        self._auditor.record(Action.AUDIT_CHECKPOINTED, by=_SERVER, checkpoints=said)
        # Where the spool is full it remains news.
        self._has_news = self._auditor.n == before
