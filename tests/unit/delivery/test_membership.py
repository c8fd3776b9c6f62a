"""Who gets a comment: decided by the order in the log, whatever batches it comes in."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.delivery.dispatcher import Dispatcher
from rtserver.delivery.fanout import Fanout
from rtserver.delivery.feed import Feed
from rtserver.delivery.membership import Membership
from rtserver.delivery.sender import Sender
from rtserver.eventlog.metrics import LogMetrics
from rtserver.lib.tasks import TaskOwner
from rtserver.model.audience import members_of
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import EventDraft, EventType, StoredEvent
from rtserver.model.visibility import MemberTable, Viewer, visible
from rtserver.observe.metrics import MetricsRegistry
from rtserver.reviews.editing import creation_event
from rtserver.reviews.proposals import Proposal
from rtserver.reviews.statuses import ProposalStatus
from tests.support.fakes import FakeSubscriber, MemoryLog, draft, stored

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class MemberDocuments:
    """What MongoDB has of the proposals; see `rtserver.delivery.membership.MemberSource`."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[int, frozenset[str]]] = {}
        self.failures = 0
        self.loads = 0

    async def members(self, project_id: str) -> Iterable[tuple[str, int, frozenset[str]]]:
        self.loads += 1
        if self.failures:
            self.failures -= 1
            raise StoreUnavailableError("The database does not answer; try again soon")
        return [(proposal_id, *found) for proposal_id, found in self.found.items()]


def _changed(version: int, *members: str) -> EventDraft:
    author, *reviewers = members
    proposal = Proposal(
        "p", "p1", "P", author, reviewers, ProposalStatus.DRAFT, NOW, NOW, author, version
    )
    event = creation_event(proposal, author)
    event.type = EventType.PROPOSAL_UPDATED
    return event


def _comment(*members: str) -> EventDraft:
    audience = members_of("p", frozenset(members))
    return EventDraft("p1", EventType.COMMENT_CREATED, {}, audience=audience, proposal_id="p")


def _sees(viewer: Viewer, feed: Feed, event: StoredEvent) -> bool:
    return visible(event.audience, viewer, feed.members.of)


def test_a_table_keeps_the_newest_version() -> None:
    table = MemberTable()
    assert table.of("p") == frozenset()
    table.learn("p", 3, frozenset({"ada"}))
    table.learn("p", 2, frozenset({"ben"}))
    assert table.of("p") == {"ada"}
    table.learn("p", 3, frozenset({"cleo"}))
    assert table.of("p") == {"cleo"}


@pytest.mark.parametrize(
    ("then", "now", "seen"),
    [("ada ben", "ada ben", True), ("ada", "ada ben", False), ("ada ben", "ada", False)],
)
@pytest.mark.gen_test
async def test_a_comment_needs_membership_then_and_now(then: str, now: str, seen: bool) -> None:
    feed = Feed("p1", 1000)
    feed.members.learn("p", 1, frozenset(now.split()))
    [event] = stored(_comment(*then.split()))
    assert _sees(Viewer("ben"), feed, event) is seen


@pytest.mark.gen_test
async def test_a_batch_is_split_where_members_change() -> None:
    events = stored(
        draft(), _comment("ada", "ben"), _changed(2, "ada"), _comment("ada"), _changed(3, "cleo")
    )
    feed = Feed("p1", 1000)
    feed.members.learn("p", 1, frozenset({"ada", "ben"}))
    steps = [(len(step), sorted(feed.members.of("p"))) for step in Membership.steps(feed, events)]
    assert steps == [(2, ["ada", "ben"]), (2, ["ada"]), (1, ["cleo"])]


@pytest.mark.gen_test
async def test_a_batch_without_changes_is_one_step() -> None:
    events = stored(draft(), draft())
    assert list(Membership.steps(Feed("p1", 1000), events)) == [events]


def _dispatcher(log: MemoryLog, documents: MemberDocuments, tasks: TaskOwner) -> Dispatcher:
    async def no_control(_event: StoredEvent) -> None:
        raise AssertionError("there is none")

    return Dispatcher(
        log,
        Fanout(LogMetrics(MetricsRegistry()), Sender()),
        tasks,
        Membership(documents),
        recent_bytes=1 << 20,
        on_control=no_control,
    )


def _types_of(subscriber: FakeSubscriber) -> int:
    return subscriber.sink.received.count(b'"comment_created"')


async def _follow(drafts: Sequence[Sequence[EventDraft]]) -> tuple[int, int]:
    """Hand packs on in one batch; how many comments ada and ben got."""
    log, documents, tasks = MemoryLog(), MemberDocuments(), TaskOwner()
    documents.found["p"] = (1, frozenset({"ada", "ben"}))
    dispatcher = _dispatcher(log, documents, tasks)
    feed = await dispatcher.open("p1")
    ada, ben = FakeSubscriber(Viewer("ada")), FakeSubscriber(Viewer("ben"))
    feed.live.add(ada)
    feed.live.add(ben)
    await dispatcher.on_packs([log.append("p1", *pack) for pack in drafts])
    await tasks.stop()
    return _types_of(ada), _types_of(ben)


@pytest.mark.gen_test
async def test_one_removed_in_the_middle_of_a_batch_gets_what_was_before() -> None:
    both, alone = _comment("ada", "ben"), _comment("ada")
    assert await _follow([[both, _changed(2, "ada"), alone], [alone]]) == (3, 1)
    assert await _follow([[both], [_changed(2, "ada")], [alone]]) == (2, 1)


@pytest.mark.gen_test
async def test_a_feed_opened_ahead_of_the_log_does_not_fall_back() -> None:
    log, documents, tasks = MemoryLog(), MemberDocuments(), TaskOwner()
    documents.found["p"] = (3, frozenset({"ada"}))
    dispatcher = _dispatcher(log, documents, tasks)
    feed = await dispatcher.open("p1")
    await dispatcher.on_packs([log.append("p1", _changed(2, "ada", "ben"))])
    assert feed.members.of("p") == {"ada"}
    await dispatcher.on_packs([log.append("p1", _changed(3, "ada"), _changed(4, "ada", "cleo"))])
    assert feed.members.of("p") == {"ada", "cleo"}


@pytest.mark.gen_test
async def test_a_feed_whose_members_cannot_be_read_is_not_opened() -> None:
    documents = MemberDocuments()
    documents.failures = 1
    dispatcher = _dispatcher(MemoryLog(), documents, TaskOwner())
    with pytest.raises(StoreUnavailableError):
        await dispatcher.open("p1")
    assert not dispatcher.feeds
    await dispatcher.open("p1")


@pytest.mark.gen_test
async def test_after_a_hole_members_are_read_anew() -> None:
    """What was overwritten may have removed somebody: nothing is shown before that is known."""
    log, documents, tasks = MemoryLog(), MemberDocuments(), TaskOwner()
    documents.found["p"] = (1, frozenset({"ada", "ben"}))
    dispatcher = _dispatcher(log, documents, tasks)
    feed = await dispatcher.open("p1")
    ben = FakeSubscriber(Viewer("ben"))
    feed.live.add(ben)
    log.append("p1", _changed(2, "ada"))
    log.overwrite("p1", 1)
    documents.found["p"] = (2, frozenset({"ada"}))
    documents.failures = 1
    await dispatcher.on_packs([log.append("p1", _comment("ada", "ben"))])
    filling = feed.filling
    assert filling is not None
    await filling
    assert ben.gaps == [(0, 1)]
    assert feed.members.of("p") == {"ada"}
    assert _types_of(ben) == 0


Step = tuple[str, frozenset[str]]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["change", "comment", "other"]),
            st.frozensets(st.sampled_from(["ada", "ben", "cleo"]), min_size=1),
        ),
        max_size=12,
    ),
    st.data(),
)
def test_steps_show_each_comment_to_its_members_of_that_moment(
    plan: list[Step], data: st.DataObject
) -> None:
    drafts, members, version = [], frozenset({"ada"}), 1
    expected: dict[int, frozenset[str]] = {}
    for seq, (kind, wanted) in enumerate(plan, start=1):
        if kind == "change":
            members, version = wanted, version + 1
            drafts.append(_changed(version, *sorted(wanted)))
        elif kind == "comment":
            drafts.append(_comment(*sorted(members)))
            expected[seq] = members
        else:
            drafts.append(draft())
    feed = _feed()
    feed.members.learn("p", 1, frozenset({"ada"}))
    events, at, shown = (stored(*drafts) if drafts else []), 0, {}
    while at < len(events):
        size = data.draw(st.integers(1, len(events) - at))
        for step in Membership.steps(feed, events[at : at + size]):
            for event in step:
                if event.type == EventType.COMMENT_CREATED:
                    shown[event.seq] = {
                        user for user in ("ada", "ben", "cleo") if _sees(Viewer(user), feed, event)
                    }
        at += size
    assert shown == expected


def _feed() -> Feed:
    feed = Feed.__new__(Feed)  # its future wants a running loop; this needs none
    feed.members = MemberTable()
    return feed
