from collections.abc import Callable

import pytest

from rtserver.eventlog.history import EventFilter, History, Page
from rtserver.model.audience import members_of, only_users, viewers_of
from rtserver.model.events import EventDraft, EventType
from rtserver.model.visibility import MemberTable
from tests.support.fakes import MemoryLog, draft


def _history(log: MemoryLog, *members: str) -> History:
    async def load(_project_id: str) -> MemberTable:
        table = MemberTable()
        table.learn("p", 1, frozenset(members))
        return table

    return History(log, load)


def _seqs(page: Page) -> list[int]:
    return [event.seq for event in page.events]


def _log(*packs: int, make: Callable[[int], EventDraft] = lambda n: draft(n=n)) -> MemoryLog:
    """A log of packs of these sizes."""
    log, number = MemoryLog(), 0
    for size in packs:
        log.append("p1", *(make(number + n) for n in range(size)))
        number += size
    return log


@pytest.mark.gen_test
async def test_pages_follow_each_other_without_a_seam() -> None:
    history, seen, after, more = _history(_log(3, 1, 5, 2)), [], None, True
    while more:
        page = await history.page("p1", "ada", after=after, limit=2)
        assert len(page.events) <= 2
        seen += _seqs(page)
        after, more = page.seq, page.more
    assert seen == list(range(1, 12))


@pytest.mark.gen_test
async def test_a_page_is_bounded_in_bytes_and_has_one_event_at_least(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rtserver.eventlog.history.PAGE_BYTES", 2_500)
    sizes = [1_000, 1_000, 1_000, 5_000, 10, 10, 2_400, 10]
    history = _history(_log(3, 5, make=lambda n: draft(text="x" * sizes[n])))
    pages, after, more = [], None, True
    while more:
        page = await history.page("p1", "ada", after=after, limit=100)
        pages.append(_seqs(page))
        after, more = page.seq, page.more
    assert pages == [[1, 2], [3], [4], [5, 6], [7], [8]]


@pytest.mark.gen_test
async def test_what_is_overwritten_is_counted() -> None:
    log = _log(3, 3, 3)
    log.overwrite("p1", 4)
    history = _history(log)
    page = await history.page("p1", "ada", after=1, limit=100)
    assert (_seqs(page), page.lost, page.more) == ([7, 8, 9], 5, False)
    page = await history.page("p1", "ada", after=None, limit=100)
    assert (_seqs(page), page.lost) == ([7, 8, 9], 0)
    log.overwrite("p1", 9)
    page = await history.page("p1", "ada", after=1, limit=100)
    assert (_seqs(page), page.lost, page.seq) == ([], 8, 9)


@pytest.mark.gen_test
async def test_what_came_and_went_after_the_head_was_read_is_not_counted_as_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next page counts it: this one ends where the log stood when it began."""
    log = _log(3, 3, 3)
    head = log.head

    async def head_that_moves_on(project_id: str) -> int:
        seq = await head(project_id)
        log.append(project_id, draft(), draft())
        log.overwrite(project_id, 11)
        return seq

    monkeypatch.setattr(log, "head", head_that_moves_on)
    page = await _history(log).page("p1", "ada", after=1, limit=100)
    assert (_seqs(page), page.lost, page.more) == ([], 8, False)


@pytest.mark.gen_test
async def test_nobody_reads_what_was_not_for_them() -> None:
    log = MemoryLog()
    log.append(
        "p1",
        draft(),
        EventDraft("p1", "a.b", audience=viewers_of("q")),
        EventDraft("p1", "a.b", audience=only_users(frozenset({"ada"}))),
        EventDraft("p1", "a.b", audience=only_users(frozenset({"ben"}))),
        EventDraft("p1", "comment_created", audience=members_of("p", frozenset({"ada", "ben"}))),
        EventDraft("p1", "comment_created", audience=members_of("p", frozenset({"cleo"}))),
    )

    async def seen(user: str, *members: str) -> list[int]:
        return _seqs(await _history(log, *members).page("p1", user, after=None, limit=100))

    assert await seen("ada", "ada", "ben") == [1, 2, 3, 5]
    assert await seen("ben", "ada") == [1, 2, 4]  # removed since
    assert await seen("ben", "ada", "ben", "cleo") == [1, 2, 4, 5]
    assert await seen("dan", "dan") == [1, 2]  # added since
    assert await seen("cleo") == [1, 2]


@pytest.mark.gen_test
async def test_filters() -> None:
    kinds = ["build.started", "build.finished", EventType.STATUS_CHANGED, "deploy.done"]
    log = _log(
        10,
        10,
        make=lambda n: EventDraft("p1", kinds[n % 4], proposal_id=f"p{n % 3}" if n % 5 else None),
    )

    async def seen(types: set[str], proposals: set[str]) -> list[int]:
        wanted = EventFilter(frozenset(types), frozenset(proposals))
        page = await _history(log).page("p1", "ada", after=2, limit=100, wanted=wanted)
        assert not page.more
        assert page.seq == 20
        return [seq - 1 for seq in _seqs(page)]

    rest = range(2, 20)
    assert await seen(set(), set()) == list(rest)
    assert await seen({"deploy.done"}, set()) == [n for n in rest if n % 4 == 3]
    assert await seen({"build.*"}, set()) == [n for n in rest if n % 4 in (0, 1)]
    assert await seen({"build.*", "deploy.done"}, {"p1"}) == [
        n for n in rest if n % 4 in (0, 1, 3) and n % 3 == 1 and n % 5
    ]
    assert await seen({"*"}, {"p0", "p2"}) == [n for n in rest if n % 3 != 1 and n % 5]
    assert await seen({"build"}, set()) == await seen({"*d"}, set()) == []


@pytest.mark.gen_test
async def test_a_filter_that_little_passes_ends_its_page_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rtserver.eventlog.history.MAX_SCANNED_EVENTS", 40)
    monkeypatch.setattr("rtserver.eventlog.history.READ_EVENTS", 10)
    log = _log(*[10] * 20, make=lambda n: draft(type_="a.rare" if n == 150 else "a.b"))
    history, wanted = _history(log), EventFilter(frozenset({"a.rare"}))
    after, found, pages, more = 0, [], 0, True
    while more:
        page = await history.page("p1", "ada", after=after, limit=5, wanted=wanted)
        assert page.seq - after <= 50
        found += _seqs(page)
        after, more, pages = page.seq, page.more, pages + 1
    assert found == [151]
    assert pages == 5


@pytest.mark.gen_test
async def test_an_empty_log_has_an_empty_page() -> None:
    assert await _history(MemoryLog()).page("p1", "ada", after=None, limit=10) == Page(
        [], 0, False, 0
    )
