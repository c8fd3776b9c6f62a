"""Verification of real records, made by real auditors; only the log is in memory."""

import asyncio
import contextlib
import copy
import gzip
import io
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rtserver.audit.archive.file import archive_files, file_name, member
from rtserver.audit.record.auditor import Auditor
from rtserver.audit.record.chain import Head
from rtserver.audit.record.workers import Worker
from rtserver.audit.verify.findings import FindingKind, Report
from rtserver.audit.verify.seal import claim_of
from rtserver.audit.verify.verifier import Verifier
from rtserver.cli.audit_verify import _files, _read_archive
from rtserver.cli.main import main
from rtserver.model.positions import Position
from tests.support.recorder import recording
from tests.unit.audit.site import EPOCH, Line, Log, Site, act, history_of, verified
from tests.unit.audit.tamperings import (
    ALL,
    SHOWN_IN_THE_LOG_ALONE,
    Tampering,
    change_a_field_and_its_hash,
    insert_a_copy,
    remove,
    swap,
    tampered,
)

TAMPERINGS = 1_000
SWAPS = 100


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """The log of a site at rest."""
    with recording():
        yield asyncio.run(history_of(Site(tmp_path_factory.mktemp("site"))))


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
            act(one[0], random.Random(1))
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


def test_each_of_1000_tamperings_with_one_record_is_found(history: Log) -> None:
    """In a log that has everything, and in one that has overwritten a part."""
    missed = []
    for number in range(TAMPERINGS):
        wraps = number % 2 and random.Random(-number).choice(history.packs[1:-5])
        name, log = tampered(history.wrapped(wraps) if wraps else history, number)
        if verified(log).is_clean:
            missed.append((number, name))
    assert missed == []


def test_of_records_that_were_swapped_next_to_all_are_found(history: Log) -> None:
    """Not all: between two anchors nothing says in which order records of two chains came."""
    found = 0
    for number in range(SWAPS):
        lines = [copy.copy(line) for line in history.lines]
        swapped = swap(replace(history, lines=lines), random.Random(number))
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


@pytest.mark.parametrize("how", [change_a_field_and_its_hash, remove, insert_a_copy])
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
    tampered = change_a_field_and_its_hash(replace(log, lines=lines), random.Random(3))
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
