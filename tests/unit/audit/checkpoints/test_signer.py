"""The signer on a log in memory: what it signs, when, and what keeps it from it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rtserver.audit.checkpoints import signer as module
from rtserver.audit.checkpoints.checkpoint import Checkpoint, TreeName, sign
from rtserver.audit.checkpoints.note import SigningKey, open_note
from rtserver.audit.checkpoints.signer import ArchiveTree, Signer
from rtserver.audit.record.actions import Acting, Action
from rtserver.audit.record.auditor import Auditor
from rtserver.lib.merkle import MerkleTree
from rtserver.model.positions import Position
from tests.support.recorder import LogRecorder
from tests.unit.audit.parts import KeyedLog, auditing
from tests.unit.audit.site import METRICS, Kept

KEY = SigningKey("audit.example.com", bytes(32))
SERVER = Acting()


@dataclass
class Part:
    """A worker, as far as its signatures are concerned."""

    auditor: Auditor
    signer: Signer
    archive: ArchiveTree
    outside: Kept

    async def act(self, count: int = 1) -> None:
        """Let something happen, and be stored."""
        for _ in range(count):
            self.auditor.record(Action.LOCK_ACQUIRED, by=SERVER, target="p")
        await self.auditor.flush()

    async def sign(self) -> None:
        """Sign, and let it be stored."""
        await self.signer.checkpoint()
        await self.auditor.flush()

    def kept(self) -> dict[str, Checkpoint]:
        """What is outside, by the end of its tree's name."""
        opened = [open_note(note.encode(), [KEY.public]) for note in self.outside.notes.values()]
        found = [Checkpoint.parse(text, key) for text, key in opened]
        return {str(one.tree).partition(f"{self.auditor.chain}")[2]: one for one in found}


@asynccontextmanager
async def _signing(directory: Path, log: KeyedLog) -> AsyncIterator[Part]:
    tree, archive, outside = MerkleTree(), ArchiveTree(), Kept()
    async with auditing(directory, log, tree=tree) as (auditor, _):
        signer = Signer(
            "audit", log, auditor, tree, archive, KEY, outside, METRICS, interval_s=0.01
        )
        yield Part(auditor, signer, archive, outside)


def _stated(log: KeyedLog) -> list[dict[str, Any]]:
    return [one for one in log.records if one["action"] == "audit.checkpointed"]


@pytest.mark.gen_test
async def test_what_is_stored_is_signed_once(tmp_path: Path) -> None:
    log = KeyedLog()
    async with _signing(tmp_path, log) as part:
        await part.sign()
        assert (_stated(log), part.kept()) == ([], {})
        await part.act(3)
        await part.sign()
        (record,) = _stated(log)
        said = record["details"]["checkpoints"]
        assert [(one["size"], one.get("first")) for one in said] == [(3, None), (3, "e0e0-1")]
        assert [len(one["nodes"]) for one in said] == [2, 2]
        tree = MerkleTree()
        for one in log.records[:3]:
            tree.append(bytes.fromhex(one["hash"]))
        roots = {name: (one.size, one.root) for name, one in part.kept().items()}
        assert roots == {"": (3, tree.root()), "/order/e0e0-1": (3, tree.root())}
        # Where only checkpoints came there is no further one in the log, but outside.
        await part.sign()
        await part.sign()
        assert len(_stated(log)) == 1
        assert {one.size for one in part.kept().values()} == {4}


@pytest.mark.gen_test
async def test_two_workers_do_not_sign_each_others_checkpoints_for_ever(tmp_path: Path) -> None:
    log = KeyedLog()
    async with _signing(tmp_path / "1", log) as one, _signing(tmp_path / "2", log) as other:
        await one.act()
        for _ in range(3):
            await one.sign()
            await other.sign()
        assert len(_stated(log)) == 2
        # The other has no record but its checkpoint, and signs that it saw the one's.
        assert other.kept()["/order/e0e0-1"].size == 3


@pytest.mark.gen_test
async def test_the_order_is_signed_from_a_little_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OVERLAP_RECORDS", 4)
    log = KeyedLog()
    async with _signing(tmp_path / "1", log) as one:
        await one.act(10)
        async with _signing(tmp_path / "2", log) as other:
            await other.sign()
            assert other.kept()["/order/e0e0-7"].size == 4
        # Another life of the log is another tree.
        log.epoch = "f1f1"
        await one.act(2)
        await one.sign()
        orders = {name for name in one.kept() if name.startswith("/order")}
        assert orders == {"/order/f1f1-12"}


@pytest.mark.gen_test
async def test_what_is_archived_is_signed_too(tmp_path: Path) -> None:
    log = KeyedLog()
    async with _signing(tmp_path, log) as part:
        await part.act(2)
        part.archive.archive_id = "0badcafe"
        part.archive.add(Position("e0e0", 1), [bytes(32)] * 2)
        await part.sign()
        assert part.kept()["/archive/0badcafe/e0e0-1"].last == Position("e0e0", 2)
        (record,) = _stated(log)
        assert record["details"]["checkpoints"][2]["archive"] == "0badcafe"


@pytest.mark.gen_test
async def test_the_end_is_signed_outside_though_the_chain_has_its_last_record(
    tmp_path: Path,
) -> None:
    log = KeyedLog()
    async with _signing(tmp_path, log) as part:
        await part.act()
        await part.auditor.finish(5)
        await part.sign()
        await part.signer.finish(1)
        assert log.records[-1]["action"] == "worker.stopped"
        assert {one.size for one in part.kept().values()} == {len(log.records)}


@pytest.mark.gen_test
async def test_without_mongodb_the_chain_alone_is_signed(tmp_path: Path, logs: LogRecorder) -> None:
    log = KeyedLog()
    async with _signing(tmp_path, log) as part:
        await part.act()
        log.failures = 1
        await part.sign()
        assert set(part.kept()) == {""}
        log.failures = 1
        await part.signer.finish(1)
        assert [line["event"] for line in logs.lines] == ["audit_log_not_signed"] * 2
        await part.sign()
        assert len(_stated(log)) == 1


@pytest.mark.gen_test
async def test_what_was_tampered_with_before_it_was_signed_does_not_stop_the_signer(
    tmp_path: Path,
) -> None:
    log = KeyedLog()
    async with _signing(tmp_path, log) as part:
        await part.act()
        log.packs["$audit"][0].items[0]["b"] = "nothing"
        await part.sign()
        checkpoints = part.kept()
        assert checkpoints[""].root != checkpoints["/order/e0e0-1"].root


def test_a_record_of_checkpoints_is_small_whatever_the_trees_size() -> None:
    """It must not be cut: a record's details have 16 KiB at most."""
    tree = MerkleTree(2**40 - 1, [bytes(32)] * 40)
    name = TreeName("audit", "c" * 137, Position("e" * 32, 10**17), "a" * 16)
    said = [sign(name, tree, KEY).to_json()] * 3
    assert len(msgspec.json.encode(said)) < 12_000
