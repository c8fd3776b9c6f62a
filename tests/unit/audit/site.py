"""A site of workers beside each other, whose log is in memory, and what an auditor sees of it."""

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from rtserver.audit.checkpoints.metrics import CheckpointMetrics
from rtserver.audit.checkpoints.note import SigningKey
from rtserver.audit.checkpoints.outside import Outside
from rtserver.audit.checkpoints.signer import ArchiveTree, Signer
from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.auditor import Auditor
from rtserver.audit.record.buffer_usage import BufferUsage
from rtserver.audit.record.catalogue import CATALOGUE
from rtserver.audit.record.chain import Head, hash_of
from rtserver.audit.record.workers import Worker, Workers, entry_of
from rtserver.audit.verify.findings import Report
from rtserver.audit.verify.verifier import Verifier
from rtserver.lib.merkle import MerkleTree
from rtserver.model.events import AUDIT_PROJECT
from rtserver.model.positions import Position
from rtserver.observe.metrics import MetricsRegistry
from tests.support.lease_trust import ScriptedTrust
from tests.unit.audit.parts import KeyedLog, auditing

EPOCH = "e0e0"
METRICS = CheckpointMetrics(MetricsRegistry())
_encode = msgspec.json.Encoder(order="sorted").encode


@dataclass
class Line:
    """A record as it is in the log."""

    seq: int
    action: str
    body: bytes

    @property
    def fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = msgspec.json.decode(self.body)
        return fields

    def put(self, fields: dict[str, Any], *, sealed: bool) -> None:
        """Change what it says, with the hash that belongs to that or the one it had."""
        digest = hash_of(fields) if sealed else fields["hash"]
        bare = {key: value for key, value in fields.items() if key != "hash"}
        self.body = _encode(bare)[:-1] + f',"hash":"{digest}"}}'.encode()
        self.action = str(fields["action"])


@dataclass
class Log:
    """A log and what is known of it elsewhere."""

    lines: list[Line]
    registry: dict[str, tuple[Head, bool]]
    tip: int
    usage: tuple[int, int, int]
    packs: list[int] = field(default_factory=list)

    def renumbered(self, lines: Sequence[Line]) -> "Log":
        """With these lines, one after the other."""
        first = self.lines[0].seq
        for seq, line in enumerate(lines, start=first):
            line.seq = seq
        return replace(self, lines=list(lines), tip=lines[-1].seq)

    def wrapped(self, oldest: int) -> "Log":
        """After a full buffer has overwritten all before a place."""
        lines = [line for line in self.lines if line.seq >= oldest]
        return replace(self, lines=lines, usage=(oldest, 1 << 30, 1 << 30))


def verified(log: Log, **options: Any) -> Report:
    verifier = Verifier(options.pop("claims", ()), signatures=options.pop("signatures", None))
    verifier.begin("the log", whole=True)
    for line in log.lines:
        verifier.add(Position(EPOCH, line.seq), line.body, action=line.action)
    tip = Position(EPOCH, log.tip)
    oldest = log.lines[0].seq if log.lines else log.tip + 1
    usage = (oldest, *log.usage[1:])
    given = {"earlier": log.registry, "tip": tip, "usage": usage, **options}
    return verifier.finish(log.registry, **given)


class Registry:
    """`rtserver.audit.record.workers.WorkerStore` in memory."""

    def __init__(self) -> None:
        self.workers: dict[str, Worker] = {}
        self.lapsed: list[str] = []

    async def renew(self, worker: Worker) -> None:
        self.workers[worker.chain] = worker

    async def withdraw(self, chain: str) -> None:
        self.workers.pop(chain, None)

    async def listed(self) -> list[Worker]:
        return list(self.workers.values())

    async def claim_lapsed(self) -> Worker | None:
        return self.workers[self.lapsed.pop()] if self.lapsed else None

    def heads(self) -> dict[str, tuple[Head, bool]]:
        return {chain: (one.head, one.ended) for chain, one in self.workers.items()}


class Buffer:
    """`rtserver.audit.record.buffer_usage.AuditBuffer` of a log in memory, which is not full."""

    def __init__(self, log: KeyedLog) -> None:
        self._log = log

    async def usage(self) -> BufferUsage:
        size_bytes = sum(
            len(item["b"]) for pack in self._log.packs[AUDIT_PROJECT] for item in pack.items
        )
        return BufferUsage(await self._log.oldest(AUDIT_PROJECT), size_bytes, 1 << 30)

    async def newest_of(self, chain: str) -> Head | None:
        found = [record for record in self._log.records if record["chain"] == chain]
        return Head(found[-1]["n"], found[-1]["hash"], found[-1]["id"]) if found else None


class Kept(Outside):
    """A place outside, in memory.

    Attributes:
        notes: the newest of each tree.
    """

    def __init__(self) -> None:
        super().__init__([], METRICS)
        self.notes: dict[str, str] = {}

    def put(self, notes: Mapping[str, str]) -> None:
        self.notes.update(notes)


class Site:
    """Workers beside each other on one log.

    Attributes:
        outside: where they put checkpoints, with a key.
    """

    def __init__(self, directory: Path, key: SigningKey | None = None) -> None:
        self.outside = Kept()
        self._key = key
        self._signers: dict[str, Signer] = {}
        self.log = KeyedLog()
        self.log.packs[AUDIT_PROJECT] = []
        self.registry = Registry()
        self._directory = directory
        self._random = random.Random(7)
        self._hosts = 0

    @asynccontextmanager
    async def worker(self, *, end: bool = True) -> AsyncIterator[tuple[Auditor, Workers]]:
        """A worker on a host of its own: one that ends in order, or is killed."""
        self._hosts += 1
        path = self._directory / str(self._hosts)
        tree = None if self._key is None else MerkleTree()
        async with auditing(path, self.log, crash=not end, tree=tree) as (auditor, _):
            if self._key is not None and tree is not None:
                self._signers[auditor.chain] = self._signer(auditor, tree, self._key)
            workers = Workers(
                self.registry,
                auditor,
                Buffer(self.log),
                worker_id="w1",
                lease_s=10,
                trust=ScriptedTrust(),
                anchor_interval_s=10,
            )
            await workers.begin()
            await auditor.flush()
            yield auditor, workers
            if end:
                await self.sign(auditor)
                await auditor.finish(10)
                await self._end_signing(auditor)
                await workers.end()
            else:
                await auditor.flush()
                await self.registry.renew(entry_of(auditor))

    def _signer(self, auditor: Auditor, tree: MerkleTree, key: SigningKey) -> Signer:
        return Signer(
            "audit",
            self.log,
            auditor,
            tree,
            ArchiveTree(),
            key,
            self.outside,
            METRICS,
            interval_s=1,
        )

    async def sign(self, auditor: Auditor) -> None:
        """Let a worker sign where it stands, where it has a key."""
        if auditor.chain in self._signers:
            await self._signers[auditor.chain].checkpoint()
            await auditor.flush()

    async def _end_signing(self, auditor: Auditor) -> None:
        if auditor.chain in self._signers:
            await self._signers.pop(auditor.chain).finish(1)

    async def work(self, *workers: tuple[Auditor, Workers], rounds: int = 4) -> None:
        """Let each record some acts, and write down where the others stand."""
        for _ in range(rounds):
            for auditor, _ in workers:
                for _ in range(self._random.randint(1, 6)):
                    act(auditor, self._random)
                await auditor.flush()
                await self.registry.renew(entry_of(auditor))
            for _, workers_ in workers:
                await workers_.anchor()
                await workers_._withdraw_ended()
            for auditor, _ in workers:
                await self.sign(auditor)

    def seen(self) -> Log:
        packs = self.log.packs[AUDIT_PROJECT]
        lines = [
            Line(pack.first + index, item["t"], item["b"].encode())
            for pack in packs
            for index, item in enumerate(pack.items)
        ]
        tip = self.log.heads[AUDIT_PROJECT]
        size_bytes = sum(len(line.body) for line in lines)
        starts = [pack.first for pack in packs]
        return Log(lines, self.registry.heads(), tip, (1, size_bytes, 1 << 30), starts)


def act(auditor: Auditor, chance: random.Random) -> None:
    action = chance.choice([a for a in Action if not a.value.startswith(("audit", "worker"))])
    example = dict(CATALOGUE[action].example)
    by = Acting(ip=example.get("ip"), actor=example.get("actor"))
    details = dict(example.get("details", {}), path=f"/x/{chance.random()}")
    auditor.record(action, Outcome.ALLOWED, by=by, target=example.get("target"), **details)


async def history_of(site: Site) -> Log:
    """A life of a site: workers beside each other, restarts, one that is killed."""
    async with site.worker() as first, site.worker() as second:
        await site.work(first, second)
        async with site.worker(end=False) as killed:
            await site.work(first, second, killed)
        site.registry.lapsed.append(killed[0].chain)
        await first[1]._tell_of_lost()
        await site.work(first, second)
    async with site.worker() as alone:
        await site.work(alone, rounds=6)
    async with site.worker() as alone:
        await site.work(alone, rounds=6)
    return site.seen()
