"""Proposals, comments and locks on a real MongoDB: each change and its event are one."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.errors import WriteError

from rtserver.eventlog.api import Fence, LogUnavailableError, Published
from rtserver.model.events import EventDraft, EventType
from rtserver.model.moments import present_moment
from rtserver.reviews.comments import Comment
from rtserver.reviews.editing import creation_event
from rtserver.reviews.locks import Lock
from rtserver.reviews.proposals import Proposal, ProposalExistsError
from rtserver.reviews.statuses import ProposalStatus
from store.base.client import Database
from store.base.relay import OutboxRelay
from store.base.schemas import prepare_validated, schema
from store.documents.comments import COMMENTS, MongoComments, comment_fields
from store.documents.locks import LOCKS, MongoLocks
from store.documents.proposals import PROPOSALS, MongoProposals
from store.log.writer import MongoEventLog
from tests.support.recorder import LogRecorder
from tests.support.waiting import running
from tests.unit.store.parts import make_log

NOW = present_moment()


class DyingLog:
    """A log under a worker that dies when it is about to append, or just after."""

    def __init__(self, log: MongoEventLog, *, appends: bool) -> None:
        self._log = log
        self._appends = appends

    epoch = "unused"

    async def publish(
        self,
        drafts: Sequence[EventDraft],
        *,
        key: str | None = None,
        fence: Fence | None = None,
        timeout_s: float | None = None,
    ) -> Published:
        if self._appends:
            await self._log.publish(drafts, key=key, timeout_s=timeout_s)
        raise LogUnavailableError("dead")

    head = oldest = read = None


class DeadRelay(OutboxRelay):
    """A worker that dies right after a change."""

    async def try_relay(self, collection: str, document: dict[str, Any]) -> None:
        """Never get here."""


class World:
    """The stores of a worker that dies at a given point, and the relay of one that lives."""

    def __init__(self, db: Database, log: MongoEventLog, dies: str | None) -> None:
        self.db = db
        self.log = log
        parts = (db, log, (PROPOSALS, LOCKS), {COMMENTS: comment_fields})
        self.relay = OutboxRelay(*parts)
        mine = self.relay
        if dies == "at once":
            mine = DeadRelay(*parts)
        elif dies is not None:
            dying: Any = DyingLog(log, appends=dies == "after the append")
            mine = OutboxRelay(db, dying, *parts[2:])
        self.proposals = MongoProposals(db, mine)
        self.comments = MongoComments(db, mine)
        self.locks = MongoLocks(db, mine)

    async def prepare(self) -> None:
        for part in (self.proposals, self.comments, self.locks, self.relay):
            await part.prepare()

    async def events(self) -> list[dict[str, Any]]:
        head = await self.log.head("p1")
        packs = await self.log.read("p1", after=0, upto=head, limit=10_000)
        return [event.frame() for pack in packs for event in pack.events()]

    async def mend(self) -> None:
        """What workers do at start and on a timer; two of them, at the same time and again."""
        await asyncio.gather(self.relay.sweep(), self.relay.sweep())
        assert await self.relay.sweep() == 0


async def _world(stack: AsyncExitStack, db: Database, dies: str | None = None) -> World:
    log = await make_log(db)
    await stack.enter_async_context(running(log.run()))
    world = World(db, log, dies)
    await world.prepare()
    return world


def _proposal(**fields: Any) -> Proposal:
    usual = Proposal("p", "p1", "P", "ada", ["ben"], ProposalStatus.DRAFT, NOW, NOW, "ada")
    return replace(usual, **fields)


def _comment(number: int = 0) -> Comment:
    return Comment(f"c{number}", "p", "p1", "eve", "Eve", f"text {number}")


def _draft(**fields: Any) -> EventDraft:
    return EventDraft("p1", EventType.PROPOSAL_UPDATED, fields)


DEATHS = [None, "at once", "before the append", "after the append"]


@pytest.mark.parametrize("dies", DEATHS)
@pytest.mark.gen_test
async def test_a_change_and_its_event_are_one(
    db: Database, dies: str | None, logs: LogRecorder
) -> None:
    async with AsyncExitStack() as stack:
        world = await _world(stack, db, dies)
        created = _proposal()
        await world.proposals.create(created, creation_event(created, "ada"))
        changes = [_proposal(version=version, title=f"T{version}") for version in (2, 3)]
        for changed in changes:
            drafts = [_draft(n=changed.version), _draft(m=changed.version)]
            assert await world.proposals.change(changed, drafts)
        assert await world.proposals.get("p") == changes[-1]
        await world.mend()
        frames = await world.events()
        assert [frame.get("n", frame.get("m")) for frame in frames] == [None, 2, 2, 3, 3]
        assert [frame["id"].rpartition("-")[2] for frame in frames] == list("12345")
        assert await db[PROPOSALS].count_documents({"outbox": {"$ne": []}}) == 0


@pytest.mark.parametrize("dies", DEATHS)
@pytest.mark.gen_test
async def test_a_comment_and_its_event_are_one(db: Database, dies: str | None) -> None:
    async with AsyncExitStack() as stack:
        world = await _world(stack, db, dies)
        created = _proposal()
        await world.proposals.create(created, creation_event(created, "ada"))
        added = [await world.comments.add(_comment(n)) for n in range(3)]
        await world.mend()
        assert await world.comments.of_proposal("p", after=None, limit=10, max_bytes=10_000) == (
            added,
            False,
        )
        frames = (await world.events())[1:]
        assert [frame["comment"] for frame in frames] == [one.to_json() for one in added]
        assert [one.text for one in added] == ["text 0", "text 1", "text 2"]


@pytest.mark.parametrize("dies", DEATHS)
@pytest.mark.gen_test
async def test_a_lock_and_its_event_are_one(db: Database, dies: str | None) -> None:
    async with AsyncExitStack() as stack:
        world = await _world(stack, db, dies)
        wanted = Lock("p1", "ada", "why", NOW, NOW)
        taken = await world.locks.take(wanted, 60, _draft(n=1))
        assert taken is not None
        assert await world.locks.end(taken, _draft(n=2), only_lapsed=False)
        assert not await world.locks.end(taken, _draft(n=3), only_lapsed=False)
        assert await world.locks.get("p1") is None
        await world.mend()
        assert [frame["n"] for frame in await world.events()] == [1, 2]


@pytest.mark.gen_test
async def test_a_comment_is_for_the_members_of_its_place_in_the_order(db: Database) -> None:
    async with AsyncExitStack() as stack:
        world = await _world(stack, db, "at once")
        created = _proposal()
        await world.proposals.create(created, creation_event(created, "ada"))
        await world.comments.add(_comment(1))
        await world.proposals.change(_proposal(version=2, reviewers=["cleo"]), [_draft()])
        await world.comments.add(_comment(2))
        await world.mend()
        packs = await world.log.read("p1", after=0, upto=10, limit=100)
        events = [event for pack in packs for event in pack.events()]
        assert [event.audience.users for event in events] == [
            frozenset(),
            {"ada", "ben"},
            frozenset(),
            {"ada", "cleo"},
        ]


@pytest.mark.gen_test
async def test_one_poisoned_document_does_not_hold_up_the_others(
    db: Database, logs: LogRecorder
) -> None:
    async with AsyncExitStack() as stack:
        world = await _world(stack, db, "at once")
        for number in range(3):
            one = _proposal(proposal_id=f"p{number}")
            await world.proposals.create(one, creation_event(one, "ada"))
        bad = replace(_comment(), proposal_id="p1", author_name="")
        await world.comments.add(bad)
        logs.expect("outbox_refused")
        await world.relay.sweep()
        assert sorted(frame["proposal_id"] for frame in await world.events()) == ["p0", "p1", "p2"]


@pytest.mark.gen_test
async def test_only_the_newest_version_can_be_changed(db: Database) -> None:
    async with AsyncExitStack() as stack:
        world = await _world(stack, db)
        created = _proposal()
        await world.proposals.create(created, creation_event(created, "ada"))
        with pytest.raises(ProposalExistsError):
            await world.proposals.create(created, creation_event(created, "ada"))
        assert not await world.proposals.change(_proposal(version=3), [_draft()])
        assert await world.proposals.change(_proposal(version=2), [_draft()])
        assert not await world.proposals.change(_proposal(version=2), [_draft()])
        assert len(await world.events()) == 2


@pytest.mark.gen_test
async def test_leases_of_locks(db: Database) -> None:
    async with AsyncExitStack() as stack:
        world = await _world(stack, db)
        locks = world.locks
        wanted = Lock("p1", "ada", "why", NOW, NOW)
        assert await locks.renew("p1", "ada", None, 60) is None
        taken = await locks.take(wanted, 60, _draft())
        assert taken is not None
        assert taken.expires_at - datetime.now(UTC) > timedelta(seconds=50)
        assert await locks.take(replace(wanted, by="ben"), 60, _draft()) is None
        assert await locks.renew("p1", "ben", None, 60) is None
        assert await locks.renew("p1", "ada", "other", 60) is None
        assert not await locks.end(taken, _draft(), only_lapsed=True)
        assert await locks.lapsed() == []
        short = await locks.renew("p1", "ada", "why", 0)
        assert short is not None
        async with asyncio.timeout(10):
            while not await locks.lapsed():  # noqa: ASYNC110 - time passes in MongoDB
                await asyncio.sleep(0.01)
        found = await locks.get("p1")
        assert found is not None
        assert found.lapsed
        back = await locks.renew("p1", "ada", None, 60)
        assert back is not None
        assert not await locks.end(found, _draft(), only_lapsed=True)
        await locks.renew("p1", "ada", None, 0)
        async with asyncio.timeout(10):
            while not (lapsed := await locks.lapsed()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        ended = await asyncio.gather(
            *(locks.end(lapsed[0], _draft(n=9), only_lapsed=True) for _ in range(8))
        )
        assert sorted(ended) == [False] * 7 + [True]
        assert [frame.get("n") for frame in await world.events()] == [None, 9]


BROKEN: list[tuple[str, dict[str, Any]]] = [
    (PROPOSALS, {"$set": {"status": "done"}}),
    (PROPOSALS, {"$set": {"version": 0}}),
    (PROPOSALS, {"$set": {"reviewers": ["ben", "ben"]}}),
    (PROPOSALS, {"$set": {"reviewers": [1]}}),
    (PROPOSALS, {"$set": {"title": ""}}),
    (PROPOSALS, {"$unset": {"author": ""}}),
    (PROPOSALS, {"$set": {"outbox": [{"key": "x"}]}}),
    (COMMENTS, {"$set": {"text": ""}}),
    (COMMENTS, {"$unset": {"proposal_id": ""}}),
    (COMMENTS, {"$set": {"created_at": "today"}}),
    (LOCKS, {"$set": {"by": ""}}),
    (LOCKS, {"$set": {"until": 7}}),
]


@pytest.mark.gen_test
async def test_mongodb_itself_refuses_documents_that_cannot_be(db: Database) -> None:
    async with AsyncExitStack() as stack:
        world = await _world(stack, db)
        created = _proposal()
        await world.proposals.create(created, creation_event(created, "ada"))
        await world.comments.add(_comment())
        await world.locks.take(Lock("p1", "ada", "why", NOW, NOW), 60, _draft())
        for collection, update in BROKEN:
            with pytest.raises(WriteError, match="failed validation"):
                await db[collection].update_one({}, update)


@pytest.mark.gen_test
async def test_collections_are_made_by_many_at_once_and_changed_later(db: Database) -> None:
    old, new = schema({"a": {"bsonType": "int"}}), schema({"a": {"bsonType": "string"}})
    await asyncio.gather(*(prepare_validated(db, "things", old) for _ in range(8)))
    await db["things"].insert_one({"a": 1})
    await asyncio.gather(*(prepare_validated(db, "things", new) for _ in range(4)))
    with pytest.raises(WriteError):
        await db["things"].insert_one({"a": 1})
    await db["things"].insert_one({"a": "1"})
    await db["things"].update_one({"a": 1}, {"$set": {"b": 1}})  # one that was there before


@pytest.mark.gen_test
async def test_indexes_serve_the_queries(db: Database) -> None:
    async with AsyncExitStack() as stack:
        world = await _world(stack, db)
        await world.prepare()
    for collection, wanted in (
        (PROPOSALS, {"_id_", "of_project_in_order", "touching", "colliding", "outbox"}),
        (COMMENTS, {"_id_", "of_proposal"}),
        (LOCKS, {"_id_", "held", "outbox"}),
    ):
        assert set(await db[collection].index_information()) == wanted
    for collection, query in (
        (PROPOSALS, {"project_id": "p1"}),
        (PROPOSALS, {"project_id": "p1", "touches.key": {"$in": ["old\nfees\nLate fee"]}}),
        (COMMENTS, {"proposal_id": "p", "created_at": {"$gt": NOW}}),
        (LOCKS, {"until": {"$exists": True}}),
        (PROPOSALS, {"outbox.key": {"$exists": True}}),
    ):
        plan = await db[collection].find(query).explain()
        assert "IXSCAN" in str(plan["queryPlanner"]["winningPlan"]), query
