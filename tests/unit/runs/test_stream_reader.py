"""One who reads a run, on a log that the test fills and overwrites."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rtserver.delivery.feed import Feed
from rtserver.delivery.log_pages import LogPages
from rtserver.model.errors import InvalidError
from rtserver.model.events import EventType
from rtserver.model.run import RunKind, RunState
from rtserver.runs import stream_reader
from rtserver.runs.model import Run
from rtserver.runs.run_log import run_event
from rtserver.runs.stream_offsets import Offset
from rtserver.runs.stream_reader import GoneError, Part, RunReader
from tests.support.fakes import EPOCH, MemoryLog, draft


def _run(run_id: str, state: RunState = RunState.RUNNING) -> Run:
    started_at = datetime.now(UTC) - timedelta(hours=1)
    run = Run(run_id, RunKind.VALIDATION, "p1", "a", "w", "ada", started_at, state)
    run.replay_from = f"{EPOCH}-0"
    return run


class _Stage:
    """Two runs of one proposal in a log, each line of one behind one of the other."""

    def __init__(self, lines: int = 3) -> None:
        self.log = MemoryLog()
        self.feed = Feed("p1", 0)
        self.pages = LogPages(self.log, 1 << 20)
        self.one, self.other = _run("one"), _run("other")
        for n in range(1, lines + 1):
            for run in (self.one, self.other):
                # The text looks like a key of the other run.
                line = '"run_id":"one" ' + "x" * 100
                self.append(run, EventType.OUTPUT, line=line, n=n)

    def append(self, run: Run, type_: EventType, **fields: Any) -> None:
        self.feed.seq = self.log.append("p1", run_event(run, type_, fields)).last

    def reader(self, run: Run | None = None) -> RunReader:
        stood_at = self.feed.seq
        of = run or self.one
        return RunReader(self.log, self.pages, self.feed, of, "ada", stood_at=stood_at, waits=True)


def _told(part: Part) -> list[tuple[str, int | None]]:
    return [(event.frame()["run_id"], event.frame().get("n")) for event in part.events]


@pytest.mark.gen_test
async def test_part_by_part_it_gives_all_of_one_run_and_nothing_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = _Stage(5)
    stage.append(stage.one, EventType.RUN_QUEUED, place=1)
    stage.append(stage.one, EventType.VALIDATION_COMPLETE, status="passed")
    stage.append(stage.other, EventType.OUTPUT, n=6)
    monkeypatch.setattr(stream_reader, "PART_BYTES", 500)
    reader, seen = stage.reader(), list[tuple[str, int | None]]()
    place, texts = await reader.begin(None), list[str]()
    part = Part([], place, is_up_to_date=False)
    while not part.is_closed:
        part = await reader.read(part.after)
        seen += _told(part)
        texts.append(str(part.after))
    assert seen == [*(("one", n) for n in range(1, 6)), ("one", None)]
    assert len(texts) > 2
    assert texts == sorted(set(texts))
    assert part.is_up_to_date


@pytest.mark.gen_test
async def test_the_work_for_a_part_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = _Stage(0)
    for _ in range(50):
        stage.feed.seq = stage.log.append("p1", draft(text="x" * 1000)).last
    stage.append(stage.one, EventType.OUTPUT, n=1)
    monkeypatch.setattr(stream_reader, "LOOKED_AT_BYTES", 10_000)
    monkeypatch.setattr(stream_reader, "BATCH_BYTES", 5_000)
    reader = stage.reader()
    part = await reader.next(await reader.begin(None), 60)
    assert (part.events, part.is_up_to_date) == ([], False), "it is told how far it came at once"
    while not part.is_up_to_date:
        part = await reader.read(part.after)
    assert _told(part) == [("one", 1)]


@pytest.mark.gen_test
async def test_what_is_overwritten_is_gone_and_says_where_to_go_on() -> None:
    stage = _Stage()
    begin = await stage.reader().begin(None)
    stage.log.overwrite("p1", 4)
    with pytest.raises(GoneError) as gone:
        await stage.reader().read(begin)
    part = await stage.reader().read(Offset.parse(gone.value.details["earliest_offset"]))
    assert _told(part) == [("one", 3)]
    stage.log.epoch = "e1e1"
    for place in (begin, part.after):
        with pytest.raises(GoneError):
            await stage.reader().begin(place)


@pytest.mark.gen_test
async def test_the_end_of_a_run_is_known_when_the_log_has_forgotten_it() -> None:
    stage = _Stage()
    over = _run("one", RunState.PASSED)
    end = stage.reader(over).tail
    assert end.seq is None
    stage.log.overwrite("p1", 6)
    stage.log.epoch = "e1e1"
    reader = stage.reader(over)
    assert (await reader.next(await reader.begin(end), 60)).is_closed
    with pytest.raises(InvalidError):
        await stage.reader().begin(Offset("e1e1", None))


@pytest.mark.gen_test
async def test_behind_a_lost_end_nothing_is_waited_for() -> None:
    stage = _Stage()
    over = _run("one", RunState.PASSED)
    over.ended_at = datetime.now(UTC)
    behind = Offset(EPOCH, 6)
    assert not (await stage.reader(over).read(behind)).is_closed, "it may be on its way"
    over.ended_at -= timedelta(hours=1)
    assert (await stage.reader(over).next(behind, 60)).is_closed


@pytest.mark.gen_test
async def test_it_goes_nowhere_where_the_log_has_not_come_yet() -> None:
    stage = _Stage()
    with pytest.raises(InvalidError):
        await stage.reader().begin(Offset(EPOCH, 7))


@pytest.mark.gen_test
async def test_it_waits_no_longer_than_told_or_until_it_is_ended() -> None:
    stage = _Stage()
    reader = stage.reader()
    assert (await reader.next(reader.tail, 0)).events == []
    reader.end()
    assert (await reader.next(reader.tail, 60)).events == []
