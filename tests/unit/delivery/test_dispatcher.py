import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtserver.delivery.dispatcher import FEED_IDLE_S, Dispatcher
from rtserver.delivery.fanout import Fanout
from rtserver.delivery.feed import LOOK_S, Feed
from rtserver.delivery.membership import Membership
from rtserver.delivery.sender import Sender
from rtserver.eventlog.metrics import LogMetrics
from rtserver.lib.tasks import TaskOwner
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import CONTROL_PROJECT, EventPack, StoredEvent
from rtserver.observe.metrics import MetricsRegistry
from tests.support.fakes import History, MemoryLog, NoMembers, draft
from tests.support.recorder import LogRecorder
from tests.support.waiting import until


async def _ignore(_event: StoredEvent) -> None:
    pass


@dataclass
class _Parts:
    """A dispatcher over a log that the test controls."""

    log: MemoryLog = field(default_factory=MemoryLog)
    tasks: TaskOwner = field(default_factory=TaskOwner)
    on_control: Callable[[StoredEvent], Awaitable[None]] = _ignore

    def __post_init__(self) -> None:
        self.dispatcher = Dispatcher(
            self.log,
            Fanout(LogMetrics(MetricsRegistry()), Sender()),
            self.tasks,
            Membership(NoMembers()),
            recent_bytes=1000,
            on_control=self.on_control,
        )

    async def join(self, project_id: str = "p1") -> tuple[Feed, History]:
        """Open a project and go live at once, as one does who asks for nothing old."""
        feed = await self.dispatcher.open(project_id)
        history = History(feed.seq)
        feed.live.add(history)
        return feed, history

    def append(self, count: int = 1, project_id: str = "p1") -> EventPack:
        return self.log.append(project_id, *(draft(project_id) for _ in range(count)))

    async def settled(self) -> None:
        """Wait for all holes to be filled."""
        await until(lambda: len(self.tasks) == 0, "the end of all tasks")


class Watcher:
    """What a watcher is told.

    Attributes:
        seen: each event's number, and where the project's feed was.
        forgotten: the projects to forget.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self.seen: list[tuple[int, int]] = []
        self.forgotten: list[str] = []
        dispatcher.watchers.append(self)

    def on_events(self, project_id: str, events: list[StoredEvent]) -> None:
        position = self._dispatcher.feeds[project_id].seq
        self.seen.extend((event.seq, position) for event in events)

    def forget(self, project_id: str) -> None:
        self.forgotten.append(project_id)


# What may happen, in any order. The tail shows slices of what there is, also again, and leaves
# some out, as it does when it is opened anew.
STEPS = st.one_of(
    st.tuples(st.just("append"), st.sampled_from("ab"), st.integers(1, 4)),
    st.tuples(st.just("tail"), st.integers(0, 12), st.integers(1, 6)),
    st.tuples(st.just("shuffled"), st.integers(0, 12), st.integers(2, 6)),
    st.tuples(st.just("open"), st.sampled_from("ab"), st.just(0)),
    st.tuples(st.just("hold"), st.just(""), st.just(0)),
    st.tuples(st.just("answer"), st.just(""), st.just(0)),
    st.tuples(st.just("overwrite"), st.sampled_from("ab"), st.integers(1, 8)),
)


class _World:
    """Carries out steps on a dispatcher and keeps count beside it."""

    def __init__(self) -> None:
        self.parts = _Parts()
        self.log = self.parts.log
        self.order: list[EventPack] = []
        self.overwritten = {"a": 0, "b": 0}
        self.joined: list[tuple[str, History]] = []
        self.opening: list[asyncio.Task[None]] = []
        self.gate: asyncio.Future[None] | None = None
        self.log.before_read = lambda: self.gate

    async def _join(self, project_id: str) -> None:
        _, history = await self.parts.join(project_id)
        self.joined.append((project_id, history))

    async def append(self, project_id: str, count: int) -> None:
        self.order.append(self.parts.append(count, project_id))

    async def tail(self, back: int, count: int) -> None:
        """Show packs; counted from the newest, so that what is new is shown often."""
        await self.parts.dispatcher.on_packs(self._slice(back, count))

    async def shuffled(self, back: int, count: int) -> None:
        await self.parts.dispatcher.on_packs(self._slice(back, count)[::-1])

    def _slice(self, back: int, count: int) -> list[EventPack]:
        begin = max(0, len(self.order) - back)
        return self.order[begin : begin + count]

    async def open(self, project_id: str, _count: int) -> None:
        self.opening.append(asyncio.ensure_future(self._join(project_id)))
        await asyncio.sleep(0)

    async def hold(self, _where: str, _count: int) -> None:
        """Let the log answer no more."""
        self.gate = self.gate or asyncio.get_running_loop().create_future()

    async def answer(self, _where: str, _count: int) -> None:
        """Let the log answer again."""
        gate, self.gate = self.gate, None
        if gate is not None:
            gate.set_result(None)
            for _ in range(4):
                await asyncio.sleep(0)

    async def overwrite(self, project_id: str, count: int) -> None:
        newest = self.log.heads.get(project_id, 0)
        self.log.overwrite(project_id, min(self.overwritten[project_id] + count, newest))
        kept = self.log.packs.get(project_id)
        self.overwritten[project_id] = kept[0].first - 1 if kept else newest

    async def end(self) -> None:
        """Let everything come to rest; at last the tail shows the newest of each project."""
        await self.answer("", 0)
        if self.opening:
            await asyncio.wait(self.opening)
        for project_id in "ab":
            await self.parts.dispatcher.on_packs([self.parts.append(1, project_id)])
        await self.parts.settled()


@settings(max_examples=200)
@given(st.lists(STEPS, max_size=40))
def test_every_event_comes_once_and_in_order_whatever_the_tail_shows(
    steps: list[tuple[str, str | int, int]],
) -> None:
    async def scenario() -> None:
        world = _World()
        for step, where, count in steps:
            await getattr(world, step)(where, count)
        await world.end()
        for project_id, history in world.joined:
            end, lost = history.follow()
            assert end == world.log.heads[project_id]
            assert all(seq <= world.overwritten[project_id] for seq in lost), "it was still there"
        for project_id, feed in world.parts.dispatcher.feeds.items():
            assert feed.seq == feed.target == world.log.heads[project_id]

    asyncio.run(scenario())


@pytest.mark.gen_test
async def test_a_hole_is_read_from_the_log_and_what_comes_meanwhile_follows() -> None:
    parts = _Parts()
    _, history = await parts.join()
    packs = [parts.append() for _ in range(6)]
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    parts.log.before_read = lambda: gate
    await parts.dispatcher.on_packs([packs[0], packs[3]])
    assert history.entries == [1]
    await parts.dispatcher.on_packs([packs[5]])
    gate.set_result(None)
    await parts.settled()
    assert history.entries == [1, 2, 3, 4, 5, 6]


@pytest.mark.gen_test
async def test_what_was_overwritten_before_it_could_be_read_is_one_exact_gap() -> None:
    parts = _Parts()
    feed, history = await parts.join()
    packs = [parts.append(2) for _ in range(5)]  # 1-2, 3-4, 5-6, 7-8, 9-10
    await parts.dispatcher.on_packs(packs[:1])
    parts.log.overwrite("p1", 6)
    await parts.dispatcher.on_packs(packs[4:])
    await parts.settled()
    assert history.entries == [1, 2, (2, 4), 7, 8, 9, 10]
    assert feed.recent.after(2, 10) is None, "memory has no hole"
    assert [event.seq for event in feed.recent.after(6, 1 << 20) or []] == [7, 8, 9, 10]


@pytest.mark.gen_test
async def test_events_that_arrive_while_nothing_is_found_are_not_called_lost() -> None:
    """A read that found nothing skipped to where the tail had got by then."""
    parts = _Parts()
    _, history = await parts.join()
    packs = [parts.append() for _ in range(4)]
    parts.log.overwrite("p1", 2)
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    parts.log.before_read = lambda: gate
    await parts.dispatcher.on_packs([packs[1]])
    await until(lambda: parts.log.reads == 2, "the reading of the hole")
    await parts.dispatcher.on_packs([packs[3]])
    gate.set_result(None)
    await parts.settled()
    assert history.entries == [(0, 2), 3, 4]


@pytest.mark.gen_test
async def test_a_hole_that_cannot_be_read_is_tried_again(logs: LogRecorder) -> None:
    parts = _Parts()
    _, history = await parts.join()
    packs = [parts.append() for _ in range(3)]
    parts.log.failures = 2
    await parts.dispatcher.on_packs([packs[2]])
    await parts.settled()
    assert history.entries == [1, 2, 3]
    assert [line["event"] for line in logs.lines] == ["hole_not_filled"] * 2


@pytest.mark.gen_test
async def test_projects_that_nobody_has_open_cost_nothing() -> None:
    parts = _Parts()
    await parts.dispatcher.on_packs([parts.append(3, "elsewhere")])
    assert parts.dispatcher.feeds == {}
    assert parts.log.reads == 0


@pytest.mark.gen_test
async def test_watchers_see_each_event_once_before_it_goes_out() -> None:
    parts = _Parts()
    feed, history = await parts.join()
    watcher = Watcher(parts.dispatcher)
    packs = [parts.append() for _ in range(3)]
    await parts.dispatcher.on_packs(packs[:2])
    await parts.dispatcher.on_packs(packs)
    assert [seq for seq, _ in watcher.seen] == [1, 2, 3]
    assert all(seq > position for seq, position in watcher.seen)
    assert feed.seq == 3
    assert watcher.forgotten == []
    assert history.entries == [1, 2, 3]


@pytest.mark.gen_test
async def test_watchers_forget_a_project_whose_events_were_missed() -> None:
    parts = _Parts()
    await parts.join()
    watcher = Watcher(parts.dispatcher)
    packs = [parts.append() for _ in range(5)]
    parts.log.overwrite("p1", 3)
    await parts.dispatcher.on_packs(packs[4:])
    await parts.settled()
    assert [seq for seq, _ in watcher.seen] == [4, 5]
    assert watcher.forgotten == ["p1"]


@pytest.mark.gen_test
async def test_watchers_forget_a_project_that_is_opened_closed_or_begun_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rtserver.delivery.dispatcher.FEED_IDLE_S", -1.0)
    parts = _Parts()
    watcher = Watcher(parts.dispatcher)
    feed, _ = await parts.join()
    assert watcher.forgotten == ["p1"]
    parts.dispatcher.release(feed)
    parts.dispatcher.sweep()
    assert watcher.forgotten == ["p1"] * 2
    await parts.join()
    assert watcher.forgotten == ["p1"] * 3
    parts.dispatcher.begin_epoch()
    assert watcher.forgotten == ["p1"] * 4


@pytest.mark.gen_test
async def test_messages_between_workers_are_acted_on_once_each_and_one_that_fails_is_told(
    logs: LogRecorder,
) -> None:
    logs.expect("control_message_failed")
    acted: list[int] = []

    async def act(event: StoredEvent) -> None:
        acted.append(event.seq)
        if event.seq == 2:
            raise ValueError("made up")

    parts = _Parts(on_control=act)
    packs = [parts.append(1, CONTROL_PROJECT) for _ in range(3)]
    await parts.dispatcher.on_packs(packs[:2])
    await parts.dispatcher.on_packs(packs)
    assert acted == [1, 2, 3]


@pytest.mark.gen_test
async def test_many_who_open_a_project_at_once_share_a_feed_that_is_made_once() -> None:
    parts = _Parts()
    parts.append(7)
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    parts.log.before_read = lambda: gate
    opening = [asyncio.ensure_future(parts.dispatcher.open("p1")) for _ in range(5)]
    await until(lambda: parts.log.reads == 1, "the question")
    gate.set_result(None)
    feeds = await asyncio.gather(*opening)
    assert len({id(feed) for feed in feeds}) == 1
    # Four came while the head was read: what was stored meanwhile may not be in it.
    assert (feeds[0].seq, feeds[0].holders, parts.log.reads) == (7, 5, 1 + 4)


@pytest.mark.gen_test
async def test_who_opens_a_feed_waits_until_the_tail_has_shown_what_is_stored() -> None:
    parts = _Parts()
    parts.append(2)
    await parts.dispatcher.open("p1")
    stored = parts.append(3)
    second = asyncio.ensure_future(parts.dispatcher.open("p1"))
    await until(lambda: parts.log.reads == 2, "the question")
    await asyncio.sleep(3 * LOOK_S)
    assert not second.done()
    await parts.dispatcher.on_packs([stored])
    assert (await second).seq == 5


@pytest.mark.gen_test
@pytest.mark.parametrize("away", [False, True])
async def test_a_tail_that_is_behind_or_a_log_that_is_away_keeps_nobody_out(
    monkeypatch: pytest.MonkeyPatch, logs: LogRecorder, *, away: bool
) -> None:
    monkeypatch.setattr("rtserver.delivery.dispatcher.CURRENT_WAIT_S", 0.05)
    parts = _Parts()
    parts.append(2)
    await parts.dispatcher.open("p1")
    parts.append(3)
    parts.log.failures = int(away)
    feed = await parts.dispatcher.open("p1")
    assert (feed.seq, feed.holders) == (2, 2)
    assert [line["event"] for line in logs.lines] == ["feed_behind"]


@pytest.mark.gen_test
async def test_a_project_that_could_not_be_opened_is_opened_by_the_next_who_comes() -> None:
    parts = _Parts()
    parts.append(2)
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    parts.log.before_read = lambda: gate
    parts.log.failures = 1
    opening = [asyncio.ensure_future(parts.dispatcher.open("p1")) for _ in range(3)]
    await until(lambda: parts.log.reads == 1, "the question")
    gate.set_result(None)
    results = await asyncio.gather(*opening, return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailableError] * 3
    assert parts.dispatcher.feeds == {}
    assert (await parts.dispatcher.open("p1")).seq == 2


@pytest.mark.gen_test
async def test_one_who_is_gone_before_the_project_is_open_leaves_the_others_an_answer() -> None:
    parts = _Parts()
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    parts.log.before_read = lambda: gate
    first = asyncio.ensure_future(parts.dispatcher.open("p1"))
    await until(lambda: parts.log.reads == 1, "the question")
    second = asyncio.ensure_future(parts.dispatcher.open("p1"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    with pytest.raises(StoreUnavailableError):
        await second
    assert parts.dispatcher.feeds == {}


@pytest.mark.gen_test
async def test_one_who_waits_for_the_opening_and_gives_up_does_not_disturb_it() -> None:
    parts = _Parts()
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    parts.log.before_read = lambda: gate
    first = asyncio.ensure_future(parts.dispatcher.open("p1"))
    await until(lambda: parts.log.reads == 1, "the question")
    second = asyncio.ensure_future(parts.dispatcher.open("p1"))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    gate.set_result(None)
    assert (await first).holders == 1


@pytest.mark.gen_test
async def test_a_feed_outlives_its_last_holder_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = _Parts()
    loop = asyncio.get_running_loop()
    feed = await parts.dispatcher.open("p1")
    assert parts.dispatcher.held.is_set()
    parts.dispatcher.release(feed)
    assert not parts.dispatcher.held.is_set()
    now_s = loop.time()
    parts.dispatcher.sweep()
    assert parts.dispatcher.feeds == {"p1": feed}
    assert await parts.dispatcher.open("p1") is feed
    parts.dispatcher.release(feed)
    await parts.dispatcher.open("held")
    monkeypatch.setattr(loop, "time", lambda: now_s + FEED_IDLE_S + 60)
    parts.dispatcher.sweep()
    assert set(parts.dispatcher.feeds) == {"held"}


@pytest.mark.gen_test
async def test_a_feed_is_not_swept_while_a_hole_of_it_is_filled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who came back meanwhile would get a second one, and the first would fill for nobody."""
    parts = _Parts()
    feed, history = await parts.join()
    packs = [parts.append() for _ in range(3)]
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    parts.log.before_read = lambda: gate
    await parts.dispatcher.on_packs(packs[2:])
    parts.dispatcher.release(feed)
    with monkeypatch.context() as patch:
        patch.setattr("rtserver.delivery.dispatcher.FEED_IDLE_S", -1.0)
        parts.dispatcher.sweep()
        assert parts.dispatcher.feeds == {"p1": feed}
        gate.set_result(None)
        await parts.settled()
        assert history.entries == [1, 2, 3]
        parts.dispatcher.sweep()
        assert parts.dispatcher.feeds == {}


@pytest.mark.gen_test
async def test_a_new_epoch_forgets_every_number() -> None:
    acted: list[int] = []

    async def act(event: StoredEvent) -> None:
        acted.append(event.seq)

    parts = _Parts(on_control=act)
    await parts.dispatcher.on_packs([parts.append(1, CONTROL_PROJECT), parts.append(5)])
    old = await parts.dispatcher.open("p1")
    parts.log.packs.clear()
    parts.log.heads.clear()
    parts.dispatcher.begin_epoch()
    new, history = await parts.join()
    assert new is not old
    await parts.dispatcher.on_packs([parts.append(1, CONTROL_PROJECT), parts.append(1)])
    assert history.entries == [1]
    assert acted == [1, 1]
    parts.dispatcher.release(old)


@pytest.mark.gen_test
async def test_an_opening_that_fails_after_a_new_epoch_leaves_the_new_feed_alone() -> None:
    parts = _Parts()
    gate: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
    parts.log.before_read = lambda: gate
    first = asyncio.ensure_future(parts.dispatcher.open("p1"))
    await until(lambda: parts.log.reads == 1, "the question")
    parts.dispatcher.begin_epoch()
    waiting, gate = gate, None
    feed = await parts.dispatcher.open("p1")
    parts.log.failures = 1
    assert waiting is not None
    waiting.set_result(None)
    with pytest.raises(StoreUnavailableError):
        await first
    assert parts.dispatcher.feeds == {"p1": feed}
