import json
from datetime import UTC, datetime, timedelta

import pytest

from rtserver.audit.live.filter import EVERYTHING, AuditFilter
from rtserver.audit.live.reader import AuditReader, Backlog
from rtserver.model.events import AUDIT_PROJECT, StoredEvent
from rtserver.model.moments import rfc3339
from tests.support.fakes import MemoryLog
from tests.unit.audit.parts import record_of

ADA = AuditFilter(actor="ada")


def audit_log(count: int, records_a_pack: int = 3) -> MemoryLog:
    """A log of so many records; ada's have the numbers that three divides."""
    log = MemoryLog()
    drafts = [record_of("ben" if number % 3 else "ada") for number in range(1, count + 1)]
    for start in range(0, count, records_a_pack):
        log.append(AUDIT_PROJECT, *drafts[start : start + records_a_pack])
    return log


def seqs(records: list[StoredEvent]) -> list[int]:
    """Their numbers."""
    return [record.seq for record in records]


def test_the_records_of_these_tests_look_as_the_filter_expects() -> None:
    (record,) = audit_log(3).packs[AUDIT_PROJECT][0].events(after=2)
    assert json.loads(record.payload)["actor"] == "ada"
    assert ADA.wants_record(record)


@pytest.mark.gen_test
async def test_pages_follow_each_other_without_a_seam() -> None:
    reader = AuditReader(audit_log(20))
    found: list[int] = []
    after, more = None, True
    while more:
        page = await reader.page(ADA, after=after, limit=2)
        assert len(page.records) <= 2
        found += seqs(page.records)
        after, more = page.seq, page.more
    assert found == [3, 6, 9, 12, 15, 18]


@pytest.mark.gen_test
async def test_a_page_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    log = audit_log(20)
    size_bytes = len(log.packs[AUDIT_PROJECT][0].events()[0].payload)
    monkeypatch.setattr("rtserver.audit.live.reader.PAGE_BYTES", 2 * size_bytes + 1)
    found: list[int] = []
    after, more = None, True
    while more:
        page = await AuditReader(log).page(EVERYTHING, after=after, limit=100)
        assert 1 <= len(page.records) <= 3
        found += seqs(page.records)
        after, more = page.seq, page.more
    assert found == list(range(1, 21))
    before, more = 21, True
    while more:
        page = await AuditReader(log).older(EVERYTHING, before=before, limit=100)
        assert 1 <= len(page.records) <= 3
        assert seqs(page.records) == found[-len(page.records) :]
        del found[-len(page.records) :]
        before, more = page.seq, page.more
    assert not found


@pytest.mark.gen_test
async def test_a_page_counts_what_is_overwritten() -> None:
    log = audit_log(20)
    log.overwrite(AUDIT_PROJECT, 6)
    page = await AuditReader(log).page(EVERYTHING, after=2, limit=100)
    assert page.lost == 4
    assert seqs(page.records) == list(range(7, 21))
    assert (await AuditReader(log).page(EVERYTHING, after=None, limit=1)).lost == 0


@pytest.mark.gen_test
async def test_a_filter_that_little_passes_ends_its_page_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rtserver.audit.live.reader.MAX_SCANNED_RECORDS", 6)
    monkeypatch.setattr("rtserver.audit.live.reader.READ_RECORDS", 3)
    page = await AuditReader(audit_log(200)).page(AuditFilter(actor="cleo"), after=0, limit=10)
    assert (page.records, page.more) == ([], True)
    assert page.seq < 200


@pytest.mark.parametrize("window", [1, 4, 1000])
@pytest.mark.gen_test
async def test_the_newest_come_oldest_first(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtserver.audit.live.reader.READ_RECORDS", window)
    reader = AuditReader(audit_log(20))
    assert seqs(await reader.newest(ADA, upto=20, limit=3)) == [12, 15, 18]
    assert seqs(await reader.newest(ADA, upto=14, limit=3)) == [6, 9, 12]
    assert seqs(await reader.newest(ADA, upto=20, limit=100)) == [3, 6, 9, 12, 15, 18]
    assert await reader.newest(ADA, upto=0, limit=3) == []


@pytest.mark.gen_test
async def test_a_backlog_is_cut_to_its_newest_part_and_says_what_it_leaves_out() -> None:
    log = audit_log(20)
    reader = AuditReader(log)
    assert await reader.backlog(ADA, after=2, upto=20, newest=6) == Backlog(0, 2, 0)
    assert await reader.backlog(ADA, after=2, upto=20, newest=2) == Backlog(4, 14, 0)
    log.overwrite(AUDIT_PROJECT, 6)
    assert await reader.backlog(ADA, after=2, upto=20, newest=2) == Backlog(2, 14, 4)


@pytest.mark.parametrize("window", [1, 4, 1000])
@pytest.mark.gen_test
async def test_pages_back_follow_each_other_without_a_seam(
    window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtserver.audit.live.reader.READ_RECORDS", window)
    log = audit_log(20)
    log.overwrite(AUDIT_PROJECT, 3)
    reader = AuditReader(log)
    found: list[list[int]] = []
    before, more = 18, True
    while more:
        page = await reader.older(ADA, before=before, limit=2)
        found.append(seqs(page.records))
        before, more = page.seq, page.more
    assert [number for part in found for number in part if part] == [12, 15, 6, 9]
    assert seqs((await reader.older(EVERYTHING, before=99, limit=3)).records) == [18, 19, 20]


@pytest.mark.gen_test
async def test_records_are_counted_by_time_and_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtserver.audit.live.reader.READ_RECORDS", 4)
    log = MemoryLog()
    begin = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    for second in (-600, -300, 0, 3, 4, 7, 61):
        outcome = "denied" if second == 4 else "allowed"
        log.append(
            AUDIT_PROJECT,
            record_of("ada", ts=rfc3339(begin + timedelta(seconds=second)), outcome=outcome),
        )
    reader = AuditReader(log)
    counts = await reader.count(EVERYTHING, since=begin, slot_s=5)
    first = int(begin.timestamp()) // 5
    assert counts.slots == {
        (first, "allowed"): 2,
        (first, "denied"): 1,
        (first + 1, "allowed"): 1,
        (first + 12, "allowed"): 1,
    }
    assert (counts.seq, counts.complete) == (7, True)
    until = AuditFilter(until=rfc3339(begin + timedelta(seconds=4)))
    assert (await reader.count(until, since=begin, slot_s=5)).slots.total() == 2
    assert (await reader.count(AuditFilter(actor="ben"), since=begin, slot_s=5)).slots == {}
    monkeypatch.setattr("rtserver.audit.live.reader.MAX_COUNTED_RECORDS", 2)
    few = await reader.count(EVERYTHING, since=begin - timedelta(days=1), slot_s=5)
    assert few.complete is False
