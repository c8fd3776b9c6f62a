"""Verification of real records, made by real auditors; only the log is in memory."""

import asyncio
import contextlib
import copy
import gzip
import io
import json
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rtserver.audit.archive.file import archive_files, file_name, member
from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.auditor import Auditor
from rtserver.audit.record.buffer_usage import BufferUsage
from rtserver.audit.record.catalogue import CATALOGUE
from rtserver.audit.record.chain import GENESIS, Head, hash_of
from rtserver.audit.record.workers import Worker, Workers, entry_of
from rtserver.audit.verify.findings import FindingKind, Report
from rtserver.audit.verify.seal import claim_of
from rtserver.audit.verify.verifier import Verifier
from rtserver.cli.audit_verify import _files, _read_archive
from rtserver.cli.main import main
from rtserver.model.events import AUDIT_PROJECT
from rtserver.model.positions import Position
from tests.support.lease_trust import ScriptedTrust
from tests.support.recorder import recording
from tests.unit.audit.parts import KeyedLog, auditing

TAMPERINGS = 1_000
EPOCH = "e0e0"
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
    verifier = Verifier(options.pop("claims", ()))
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


class Site:
    """Workers beside each other on one log."""

    def __init__(self, directory: Path) -> None:
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
        async with auditing(path, self.log, crash=not end) as (auditor, _):
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
                await auditor.finish(10)
                await workers.end()
            else:
                await auditor.flush()
                await self.registry.renew(entry_of(auditor))

    async def work(self, *workers: tuple[Auditor, Workers], rounds: int = 4) -> None:
        """Let each record some acts, and write down where the others stand."""
        for _ in range(rounds):
            for auditor, _ in workers:
                for _ in range(self._random.randint(1, 6)):
                    _act(auditor, self._random)
                await auditor.flush()
                await self.registry.renew(entry_of(auditor))
            for _, workers_ in workers:
                await workers_.anchor()
                await workers_._withdraw_ended()

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


def _act(auditor: Auditor, chance: random.Random) -> None:
    action = chance.choice([a for a in Action if not a.value.startswith(("audit", "worker"))])
    example = dict(CATALOGUE[action].example)
    by = Acting(ip=example.get("ip"), actor=example.get("actor"))
    details = dict(example.get("details", {}), path=f"/x/{chance.random()}")
    auditor.record(action, Outcome.ALLOWED, by=by, target=example.get("target"), **details)


async def _history(directory: Path) -> Log:
    """A life of a site: workers beside each other, restarts, one that is killed."""
    site = Site(directory)
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


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """The log of a site at rest."""
    with recording():
        yield asyncio.run(_history(tmp_path_factory.mktemp("site")))


# Honest logs


def test_an_honest_log_is_clean_and_says_how_each_chain_ended(history: Log) -> None:
    report = verified(history)
    assert report.findings == []
    assert sorted(chain.state for chain in report.chains) == ["ended"] * 4 + ["lost"]
    assert report.records == len(history.lines) > 150
    # Each chain's end is in another one, and then it leaves the registry: all but the last one.
    ((last, (_, ended)),) = history.registry.items()
    assert (last, ended) == (history.lines[-1].fields["chain"], True)
    assert any("was killed or cut off after record" in note for note in report.notes)


def test_whatever_the_capped_buffer_has_overwritten_it_is_clean(history: Log) -> None:
    for oldest in history.packs:
        report = verified(history.wrapped(oldest))
        assert report.findings == [], oldest


def test_what_is_gone_from_a_buffer_that_was_not_full_was_removed(history: Log) -> None:
    for oldest in history.packs[1:]:
        log = replace(history.wrapped(oldest), usage=(oldest, 1 << 20, 1 << 30))
        report = verified(log)
        assert [finding.kind for finding in report.findings] == [FindingKind.REMOVED], oldest


@pytest.mark.gen_test
async def test_what_is_recorded_while_the_end_is_registered_belongs_to_the_chain(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path)
    late: list[Auditor] = []
    renew = site.registry.renew

    async def slow_renew(worker: Worker) -> None:
        if worker.ended and not late:
            late.append(one[0])
            _act(one[0], random.Random(1))
            await one[0].flush()
        await renew(worker)

    async with site.worker() as one:
        site.registry.renew = slow_renew  # type: ignore[method-assign]
        await site.work(one, rounds=1)
    async with site.worker() as other:
        await site.work(other, rounds=1)
    assert late
    assert verified(site.seen()).findings == []


# Tampering: one record each time


def _change_a_byte(log: Log, chance: random.Random) -> Log:
    line = chance.choice(log.lines)
    index = chance.randrange(len(line.body))
    line.body = line.body[:index] + bytes([line.body[index] ^ 1]) + line.body[index + 1 :]
    return log


def _changed_fields(line: Line, chance: random.Random) -> dict[str, Any]:
    fields = line.fields
    name = chance.choice(["actor", "outcome", "target", "ts", "ip", "details", "action", "worker"])
    fields[name] = {"other": 1} if name == "details" else f"{fields[name]}x"
    return fields


def _change_a_field(log: Log, chance: random.Random) -> Log:
    line = chance.choice(log.lines)
    line.put(_changed_fields(line, chance), sealed=False)
    return log


def _change_a_field_and_its_hash(log: Log, chance: random.Random) -> Log:
    line = chance.choice(log.lines)
    line.put(_changed_fields(line, chance), sealed=True)
    return log


def _write_it_otherwise(log: Log, chance: random.Random) -> Log:
    line = chance.choice(log.lines)
    line.body = b"{ " + line.body[1:]
    return log


def _say_something_twice(log: Log, chance: random.Random) -> Log:
    line = chance.choice(log.lines)
    line.body = line.body[:-1] + b',"actor":"somebody"}'
    return log


def _file_under_another_action(log: Log, chance: random.Random) -> Log:
    line = chance.choice(log.lines)
    line.action = chance.choice([action for action in Action if action.value != line.action])
    return log


def _remove(log: Log, chance: random.Random) -> Log:
    """But not the oldest where that may be overwritten any moment: to remove it does just that."""
    begins = log.lines[0].seq == 1
    log.lines.remove(chance.choice(log.lines if begins else log.lines[1:]))
    return log


def _remove_and_renumber(log: Log, chance: random.Random) -> Log:
    lines = list(log.lines)
    lines.remove(chance.choice(lines))
    return log.renumbered(lines)


def _insert_a_copy(log: Log, chance: random.Random) -> Log:
    lines = list(log.lines)
    line = copy.copy(chance.choice(lines))
    lines.insert(chance.randint(0, len(lines)), line)
    return log.renumbered(lines)


def _insert_one_made_up(log: Log, chance: random.Random) -> Log:
    """Behind a record of any chain, the last one too, made to fit."""
    lines = list(log.lines)
    index = chance.randrange(len(lines))
    before = lines[index].fields
    line = copy.copy(lines[index])
    fields = {**_changed_fields(line, chance), "n": before["n"] + 1, "prev": before["hash"]}
    line.put(fields, sealed=True)
    lines.insert(index + 1, line)
    return log.renumbered(lines)


def _insert_at_the_end_of_a_chain(log: Log, chance: random.Random) -> Log:
    lines = list(log.lines)
    ends = {line.fields["chain"]: line for line in lines}
    before = ends[chance.choice(sorted(ends))]
    line = copy.copy(before)
    last = before.fields
    line.put(
        {**_changed_fields(line, chance), "n": last["n"] + 1, "prev": last["hash"]}, sealed=True
    )
    lines.insert(chance.randint(lines.index(before) + 1, len(lines)), line)
    return log.renumbered(lines)


def _insert_a_chain(log: Log, chance: random.Random) -> Log:
    lines = list(log.lines)
    line = copy.copy(chance.choice(lines))
    fields = {**_changed_fields(line, chance), "chain": "w9.0badcafe", "n": 1, "prev": GENESIS}
    line.put(fields, sealed=True)
    lines.insert(chance.randint(0, len(lines)), line)
    return log.renumbered(lines)


def _swap(log: Log, chance: random.Random) -> Log:
    line, other = chance.sample(log.lines, 2)
    line.body, line.action, other.body, other.action = (
        other.body,
        other.action,
        line.body,
        line.action,
    )
    return log


def _replace_by_another(log: Log, chance: random.Random) -> Log:
    line, other = chance.sample(log.lines, 2)
    line.body, line.action = other.body, other.action
    return log


Tampering = Callable[[Log, random.Random], Log]
ALL: list[Tampering] = [
    _change_a_byte,
    _change_a_field,
    _change_a_field_and_its_hash,
    _write_it_otherwise,
    _say_something_twice,
    _file_under_another_action,
    _remove,
    _remove_and_renumber,
    _insert_a_copy,
    _insert_one_made_up,
    _insert_at_the_end_of_a_chain,
    _insert_a_chain,
    _replace_by_another,
]
SWAPS = 100
SHOWN_IN_THE_LOG_ALONE = {_file_under_another_action}
"""An archive's lines hold the records' texts, and no other field of the database."""


def _tampered(log: Log, number: int) -> tuple[str, Log]:
    how = ALL[number % len(ALL)]
    lines = [copy.copy(line) for line in log.lines]
    return how.__name__, how(replace(log, lines=lines), random.Random(number))


def test_each_of_1000_tamperings_with_one_record_is_found(history: Log) -> None:
    """In a log that has everything, and in one that has overwritten a part."""
    missed = []
    for number in range(TAMPERINGS):
        wraps = number % 2 and random.Random(-number).choice(history.packs[1:-5])
        name, log = _tampered(history.wrapped(wraps) if wraps else history, number)
        if verified(log).is_clean:
            missed.append((number, name))
    assert missed == []


def test_of_records_that_were_swapped_next_to_all_are_found(history: Log) -> None:
    """Not all: between two anchors nothing says in which order records of two chains came."""
    found = 0
    for number in range(SWAPS):
        lines = [copy.copy(line) for line in history.lines]
        swapped = _swap(replace(history, lines=lines), random.Random(number))
        found += not verified(swapped).is_clean
    assert found >= 0.95 * SWAPS


def test_a_finding_says_which_record_it_is(history: Log) -> None:
    lines = [copy.copy(line) for line in history.lines]
    # Any act does; which of them the history has changes with the list of actions.
    index = next(
        i
        for i, line in enumerate(lines)
        if i > 20 and not line.action.startswith(("audit", "worker"))
    )
    lines[index].put({**lines[index].fields, "actor": "eve"}, sealed=False)
    (finding,) = verified(replace(history, lines=lines)).findings
    known = history.lines[index].fields
    assert (finding.kind, finding.chain) == (FindingKind.CHANGED, known["chain"])
    assert (finding.first, finding.where) == (known["n"], f"{EPOCH}-{index + 1}")

    report = verified(replace(history, lines=history.lines[:index] + history.lines[index + 1 :]))
    (removed,) = [finding for finding in report.findings if finding.chain is not None]
    assert (removed.kind, removed.chain) == (FindingKind.REMOVED, known["chain"])
    assert (removed.first, removed.last) == (known["n"], known["n"])


def test_the_newest_that_were_removed_are_missed(history: Log) -> None:
    for count in (1, 5, 60):
        lines = history.lines[:-count]
        assert not verified(replace(history, lines=lines)).is_clean
        # Even where nobody but the registry of workers knows how far the log went.
        assert not verified(replace(history, lines=lines, tip=lines[-1].seq)).is_clean


def test_what_was_rewritten_altogether_does_not_match_an_earlier_report(history: Log) -> None:
    earlier = verified(history)
    claims = [claim_of(one.chain, Head(one.last, one.hash, one.id), "it") for one in earlier.chains]
    known = [claim for claim in claims if claim is not None]
    assert verified(history, claims=known).is_clean
    empty = replace(history, lines=[], registry={}, tip=0, usage=(1, 0, 1 << 30))
    assert verified(empty).is_clean  # who can write everything can make it all fit
    report = verified(empty, claims=known)
    assert {finding.kind for finding in report.findings} == {FindingKind.REMOVED}


@pytest.mark.gen_test
async def test_what_is_forged_at_the_tip_of_a_living_chain_shows_with_its_next_record(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path)
    async with site.worker() as one:
        await site.work(one, rounds=1)
        log = site.seen()
        line = copy.copy(log.lines[-1])
        last = line.fields
        line.put({**last, "actor": "eve", "n": last["n"] + 1, "prev": last["hash"]}, sealed=True)
        await site.work(one, rounds=1)
        log = site.seen()
        at = next(i for i, other in enumerate(log.lines) if other.fields["hash"] == last["hash"])
        forged = log.renumbered([*log.lines[: at + 1], line, *log.lines[at + 1 :]])
        assert not verified(forged).is_clean


@pytest.mark.gen_test
async def test_what_a_dead_workers_spool_brings_again_after_a_wrap_is_no_tampering(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path)
    async with site.worker() as one:
        async with site.worker(end=False) as killed:
            await site.work(one, killed)
        site.registry.lapsed.append(killed[0].chain)
        await one[1]._tell_of_lost()
        await site.work(one)
    log = site.seen()
    ours = [line for line in log.lines if line.fields["chain"] == killed[0].chain]
    middle = ours[len(ours) // 2]
    # The buffer went on to here; then the host of the killed worker came back.
    left = [line for line in log.lines if line.seq > middle.seq]
    again = [copy.copy(line) for line in ours[2:] if line.seq <= middle.seq]
    tip = log.lines[-1].seq
    for seq, line in enumerate(again, start=tip + 1):
        line.seq = seq
    full = (middle.seq + 1, 1 << 30, 1 << 30)
    wrapped = replace(log, lines=[*left, *again], tip=tip + len(again), usage=full)
    assert verified(wrapped).findings == []
    again[-1].put({**again[-1].fields, "actor": "eve"}, sealed=True)
    assert not verified(wrapped).is_clean


# Archives


def _archive(directory: Path, lines: Sequence[Line], *, files: int = 3) -> list[Path]:
    directory.mkdir()
    size = -(-len(lines) // files)
    for number in range(files):
        part = lines[number * size : (number + 1) * size]
        texts = [b'{"id":"%s-%d",' % (EPOCH.encode(), one.seq) + one.body[1:] for one in part]
        # Members follow each other as they were written.
        half = len(texts) // 2
        path = directory / file_name(490_000 + number)
        path.write_bytes(member(texts[:half]) + member(texts[half:]))
    return archive_files(directory)


def _run(*arguments: object) -> tuple[int, dict[str, Any]]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = main(["audit", "verify", "--json", *map(str, arguments)])
    report: dict[str, Any] = json.loads(out.getvalue())
    return status, report


def test_an_archive_is_verified_without_mongodb(history: Log, tmp_path: Path) -> None:
    files = _archive(tmp_path / "archive", history.lines)
    status, report = _run("--offline", tmp_path / "archive")
    assert (status, report["findings"]) == (0, [])
    assert report["records"] == len(history.lines)
    # So is what is read out of it as it is, and a part of it.
    plain = tmp_path / "plain.jsonl"
    plain.write_bytes(b"".join(gzip.decompress(path.read_bytes()) for path in files))
    assert _run("--offline", plain)[0] == 0
    status, report = _run("--offline", files[0], files[2])
    assert status == 0
    assert any("nothing that was read has" in note for note in report["notes"])
    # In a directory the same is a hole.
    files[1].unlink()
    status, report = _run("--offline", tmp_path / "archive")
    assert status == 1
    assert {finding["kind"] for finding in report["findings"]} == {"removed"}


def test_a_torn_file_is_said_and_what_is_missing_behind_it_found(
    history: Log, tmp_path: Path
) -> None:
    files = _archive(tmp_path / "archive", history.lines)
    files[2].write_bytes(files[2].read_bytes()[:-10])
    status, report = _run("--offline", tmp_path / "archive")
    assert status == 0
    assert any("is torn" in note for note in report["notes"])
    files[1].write_bytes(files[1].read_bytes()[:-1000])
    assert _run("--offline", tmp_path / "archive")[0] == 1


def test_the_newest_of_an_archive_that_are_gone_are_missed(history: Log) -> None:
    """Its writer says in MongoDB how far it went."""

    def read(count: int) -> list[str]:
        verifier = Verifier()
        verifier.begin("the archive")
        for line in history.lines[:count]:
            verifier.add(Position(EPOCH, line.seq), line.body)
        verifier.ends("the archive", Position(EPOCH, 50))
        return [finding.what for finding in verifier.finish().findings]

    assert read(50) == read(60) == []
    assert read(49) == ["the archive went up to e0e0-50, e0e0-50 is not there"]
    assert read(0) == ["the archive went up to e0e0-50, e0e0-1 is not there"]


@pytest.mark.parametrize("how", [_change_a_field_and_its_hash, _remove, _insert_a_copy])
def test_an_archive_and_the_log_are_held_against_each_other(history: Log, how: Tampering) -> None:
    """The archive has what was overwritten, and both have the middle."""
    third = len(history.lines) // 3
    archived, kept = history.lines[: 2 * third], history.wrapped(history.packs[8])
    assert kept.lines[0].seq < 2 * third
    assert _both(archived, kept).findings == []
    lines = [copy.copy(line) for line in archived]
    tampered = how(replace(history, lines=lines), random.Random(1)).lines
    assert not _both(tampered, kept).is_clean


@pytest.mark.parametrize("place", ["the middle", "the end"])
def test_what_the_log_lacks_is_found_though_an_archive_has_it(history: Log, place: str) -> None:
    """In the very mode that is recommended: the archive has all of it."""
    kept = history.wrapped(history.packs[8])
    gone = len(kept.lines) // 2 if place == "the middle" else len(kept.lines) - 1
    lines = [line for index, line in enumerate(kept.lines) if index != gone]
    report = _both(history.lines, replace(kept, lines=lines))
    assert {finding.kind for finding in report.findings} == {FindingKind.REMOVED}
    (finding,) = report.findings
    assert f"{EPOCH}-{kept.lines[gone].seq}" in finding.what


@pytest.mark.parametrize("kept", [1.0, 0.6])
def test_a_log_that_was_put_back_from_a_copy_is_held_against_the_archive(
    history: Log, kept: float
) -> None:
    """It is another log, in another epoch, with the same records under the same numbers."""
    count = round(len(history.lines) * kept)
    log = replace(history, lines=history.lines[:count], tip=count)
    report = _both(history.lines, log, epoch="f1f1")
    assert report.findings == []
    assert report.records == len(history.lines)
    assert any("put back from a copy" in note for note in report.notes)
    lines = [copy.copy(line) for line in log.lines]
    tampered = _change_a_field_and_its_hash(replace(log, lines=lines), random.Random(3))
    assert not _both(history.lines, tampered, epoch="f1f1").is_clean


def _both(archived: Sequence[Line], log: Log, *, epoch: str = EPOCH) -> Report:
    verifier = Verifier()
    verifier.begin("the archive")
    for line in archived:
        verifier.add(Position(EPOCH, line.seq), line.body)
    verifier.begin("the log", whole=True)
    for line in log.lines:
        verifier.add(Position(epoch, line.seq), line.body)
    tip = Position(epoch, log.tip)
    return verifier.finish(log.registry, earlier=log.registry, tip=tip, usage=log.usage)


def test_each_of_300_tamperings_with_one_record_of_an_archive_is_found(
    history: Log, tmp_path: Path
) -> None:
    """In the files, as `audit verify` reads them; what the workers' registry says is known."""
    ways = [how for how in ALL if how not in SHOWN_IN_THE_LOG_ALONE]

    def look(log: Log, directory: Path) -> bool:
        _archive(directory, log.lines)
        verifier = Verifier()
        for path, source in _files([directory]):
            _read_archive(verifier, path, source)
        verifier.ends(str(directory), Position(EPOCH, history.tip))
        report = verifier.finish(history.registry, earlier=history.registry)
        return report.is_clean

    assert look(history, tmp_path / "honest")
    missed = []
    for number in range(300):
        how = ways[number % len(ways)]
        lines = [copy.copy(line) for line in history.lines]
        tampered = how(replace(history, lines=lines), random.Random(number))
        if look(tampered, tmp_path / str(number)):
            missed.append((number, how.__name__))
    assert missed == []


def test_a_gap_in_an_archive_is_believed_unless_the_log_says_otherwise(history: Log) -> None:
    """Where the buffer still had the records later, they had not been overwritten before."""
    first, last = history.packs[10], history.packs[14] - 1

    def read(ts: str) -> Report:
        verifier = Verifier()
        verifier.begin("the archive")
        for line in history.lines:
            if line.seq == first:
                places = Position(EPOCH, first), Position(EPOCH, last)
                verifier.gap(*places, "overwritten", until_ts=ts)
            if not first <= line.seq <= last:
                verifier.add(Position(EPOCH, line.seq), line.body)
        return verifier.finish()

    # They were still there when the last anchor was written.
    kinds = {finding.kind for finding in read(history.lines[last].fields["ts"]).findings}
    assert kinds == {FindingKind.REMOVED}
    report = read(history.lines[-1].fields["ts"])
    assert report.findings == []
    assert any("overwritten" in note for note in report.notes)
