import json

import pytest

from rtserver.audit.live.filter import EVERYTHING, AuditFilter
from rtserver.audit.live.reader import AuditReader, Backlog
from rtserver.model.events import AUDIT_PROJECT, StoredEvent
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
