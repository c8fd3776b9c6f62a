import asyncio
import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.delivery import wire_forms as framing
from rtserver.delivery.fanout import Fanout
from rtserver.delivery.feed import Feed
from rtserver.delivery.send_buffer import Outbox
from rtserver.delivery.sender import Sender
from rtserver.delivery.wire_forms import CHUNK_BYTES, Encoding, chunks, join_events
from rtserver.eventlog.metrics import LogMetrics
from rtserver.model.audience import (
    WHOLE_PROJECT,
    WORKERS,
    Audience,
    members_of,
    only_users,
    viewers_of,
)
from rtserver.model.events import EventDraft, StoredEvent
from rtserver.model.visibility import Viewer, visible
from rtserver.observe.metrics import MetricsRegistry
from tests.support.fakes import FakeSubscriber, draft, stored

MEMBERS = {"a": frozenset({"ada"}), "b": frozenset({"ada", "ben"})}
AUDIENCES = (
    WHOLE_PROJECT,
    WORKERS,
    viewers_of("a"),
    viewers_of("b"),
    members_of("a", MEMBERS["a"]),
    members_of("b", MEMBERS["b"]),
    members_of("b", frozenset({"cyn", "ben"})),
    only_users(frozenset({"ben"})),
    only_users(frozenset({"ada", "cyn"})),
)
VIEWS = (None, frozenset({"a"}), frozenset({"b"}), frozenset({"a", "b"}))


def _feed(*subscribers: FakeSubscriber) -> Feed:
    feed = Feed("p1", 1 << 20)
    for subscriber in subscribers:
        feed.live.add(subscriber)
    for proposal_id, members in MEMBERS.items():
        feed.members.learn(proposal_id, 1, members)
    return feed


def _events(audiences: list[Audience], first: int = 1) -> list[StoredEvent]:
    drafts = [
        EventDraft("p1", "test.event", {"n": n}, audience) for n, audience in enumerate(audiences)
    ]
    return stored(*drafts, first=first)


@given(st.lists(st.sampled_from(AUDIENCES), min_size=1, max_size=12))
def test_everyone_gets_what_they_may_see_and_nothing_else(audiences: list[Audience]) -> None:
    async def scenario() -> None:
        subscribers = [
            FakeSubscriber(Viewer(user, view), encoding)
            for user, view, encoding in itertools.product(("ada", "ben", "dan"), VIEWS, Encoding)
        ]
        metrics = LogMetrics(MetricsRegistry())
        feed = _feed(*subscribers)
        events = _events(audiences)
        await Fanout(metrics, Sender()).deliver(feed, events)
        delivered = 0
        for one in subscribers:
            seen = [
                event
                for event in events
                if visible(event.audience, one.viewer, lambda p: MEMBERS.get(p, frozenset()))
            ]
            assert one.sink.received == join_events(one.encoding, seen)
            assert one.sink.sends == bool(seen), "a batch is one write"
            delivered += len(seen)
            # Whose last event is not the newest has to be told where the log stands.
            assert (one in feed.behind) == (not seen or seen[-1] is not events[-1])
        assert metrics.events_delivered_total._value.get() == delivered
        assert feed.seq == events[-1].seq
        assert feed.recent.after(0, 1 << 20) == events

    asyncio.run(scenario())


@pytest.mark.gen_test
async def test_each_event_is_encoded_once_for_each_wire_form_of_the_same_view(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts: Counter[tuple[str, int]] = Counter()
    for encoding, encode in dict(framing.ENCODERS).items():

        def counted(event: StoredEvent, name=encoding.value, encode=encode) -> bytes:  # type: ignore[no-untyped-def]
            counts[name, event.seq] += 1
            return encode(event)  # type: ignore[no-any-return]

        monkeypatch.setitem(framing.ENCODERS, encoding, counted)
    subscribers = [
        FakeSubscriber(Viewer(f"user{n}", VIEWS[n % 2]), encoding)
        for n in range(20)
        for encoding in (Encoding.WEBSOCKET, Encoding.SSE)
    ]
    feed = _feed(*subscribers)
    await Fanout(LogMetrics(MetricsRegistry()), Sender()).deliver(
        feed, _events([WHOLE_PROJECT, WHOLE_PROJECT])
    )
    assert set(counts.values()) == {1}, "views and users make no difference to such events"
    assert len(counts) == 4
    counts.clear()
    await Fanout(LogMetrics(MetricsRegistry()), Sender()).deliver(
        feed, _events([WHOLE_PROJECT, viewers_of("b")], first=3)
    )
    assert counts["websocket", 3] == 2, "two views"
    assert counts["websocket", 4] == 1, "only one of them sees it"
    counts.clear()
    await Fanout(LogMetrics(MetricsRegistry()), Sender()).deliver(
        feed, _events([only_users(frozenset({"user1"}))], first=5)
    )
    assert counts == {("websocket", 5): 1, ("sse", 5): 1}


@pytest.mark.gen_test
async def test_an_event_for_everybody_leaves_nobody_behind() -> None:
    one = FakeSubscriber(Viewer("ada", frozenset({"b"})))
    feed = _feed(one)
    fanout = Fanout(LogMetrics(MetricsRegistry()), Sender())
    await fanout.deliver(feed, _events([viewers_of("a")]))
    assert one in feed.behind
    await fanout.deliver(feed, _events([WHOLE_PROJECT], first=2))
    assert not feed.behind


@pytest.mark.gen_test
async def test_one_who_catches_up_with_the_newest_event_is_not_behind_any_more() -> None:
    one = FakeSubscriber(Viewer("ada", frozenset({"a"})))
    feed = _feed(one)
    fanout = Fanout(LogMetrics(MetricsRegistry()), Sender())
    # A client that was sent 1 and not 2 stayed at 1 until something else was passed over.
    await fanout.deliver(feed, _events([viewers_of("a"), viewers_of("b")]))
    assert one in feed.behind
    await fanout.deliver(feed, _events([viewers_of("a")], first=3))
    assert one not in feed.behind


@pytest.mark.gen_test
async def test_an_outbox_that_overflows_in_the_middle_disturbs_nobody_else() -> None:
    slow, quick = FakeSubscriber(room=0), FakeSubscriber()
    feed = _feed(slow, quick)
    gone: list[FakeSubscriber] = []

    def leave() -> None:
        feed.live.discard(slow)
        feed.behind.discard(slow)
        gone.append(slow)

    slow.outbox = Outbox(slow.sink, 100, leave)
    fanout = Fanout(LogMetrics(MetricsRegistry()), Sender())
    for first in (1, 2, 3):
        await fanout.deliver(feed, _events([WHOLE_PROJECT], first=first))
    assert gone == [slow]
    assert quick.sink.sends == 3
    assert not feed.behind


@pytest.mark.gen_test
async def test_a_large_batch_goes_in_parts_and_lets_the_loop_run_between_them() -> None:
    big = stored(*(draft(text="x" * 50_000, n=n) for n in range(10)))
    one = FakeSubscriber()
    feed = _feed(one)
    seen: list[int] = []

    async def look() -> None:
        while feed.seq < 10:
            seen.append(feed.seq)
            assert feed.recent.reaches(feed.seq - 1) or feed.seq == 0
            await asyncio.sleep(0)

    looking = asyncio.ensure_future(look())
    await asyncio.sleep(0)
    await Fanout(LogMetrics(MetricsRegistry()), Sender()).deliver(feed, big)
    await looking
    assert seen == [0, 2, 4, 6, 8]
    assert one.sink.received == join_events(Encoding.WEBSOCKET, big)
    assert one.sink.sends == 5


@given(st.lists(st.integers(0, 400), max_size=40), st.integers(1, 600))
def test_parts_hold_all_events_in_order_and_are_as_large_as_they_may_be(
    sizes: list[int], limit_bytes: int
) -> None:
    if not sizes:
        assert list(chunks([])) == []
        return
    events = stored(*(draft(text="x" * size) for size in sizes))
    parts = list(chunks(events, limit_bytes))
    assert [event for part in parts for event in part] == events
    sums = [sum(len(event.payload) for event in part) for part in parts]
    assert all(
        total <= limit_bytes or len(part) == 1 for total, part in zip(sums, parts, strict=True)
    )
    for total, following in zip(sums, parts[1:], strict=False):
        assert total + len(following[0].payload) > limit_bytes


def test_a_part_fits_into_any_outbox_twice() -> None:
    assert CHUNK_BYTES * 2 <= 1 << 20
