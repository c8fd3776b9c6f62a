"""Lists of proposals in pages, and what is left of a proposal that was removed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rtserver.model.errors import NotFoundError
from rtserver.model.events import EventDraft, EventType
from rtserver.model.moments import present_moment
from rtserver.model.run import RunKind, RunState
from rtserver.reviews.comments import Comment
from rtserver.reviews.editing import creation_event
from rtserver.reviews.pages import Place
from rtserver.reviews.proposals import Proposal, ProposalExistsError
from rtserver.reviews.statuses import ProposalStatus
from rtserver.runs.model import Run
from store.base.client import Database
from store.base.relay import OutboxRelay
from store.documents.comments import COMMENTS, MongoComments, comment_fields
from store.documents.proposals import PROPOSALS, MongoProposals, forget_with_removed
from store.documents.runs import RUNS, MongoRuns
from tests.support.waiting import running
from tests.unit.store.parts import make_log

NOW = present_moment()
MANY_BYTES = 10_000_000


class DeadRelay(OutboxRelay):
    """A worker that dies right after a change."""

    async def try_relay(self, collection: str, document: dict[str, Any]) -> None:
        """Never get here."""


class World:
    """The stores; of a worker that dies right after each change where a test says so."""

    def __init__(self, db: Database, log: Any, *, dies: bool) -> None:
        parts: Any = (
            *(db, log, (PROPOSALS, RUNS), {COMMENTS: comment_fields}),
            {PROPOSALS: forget_with_removed},
        )
        self.log = log
        self.relay = OutboxRelay(*parts)
        mine = DeadRelay(*parts) if dies else self.relay
        self.proposals = MongoProposals(db, mine)
        self.comments = MongoComments(db, mine)
        self.runs = MongoRuns(db, mine, lease_s=60)

    async def create(self, proposal_id: str = "p", **fields: Any) -> Proposal:
        one = proposal(proposal_id, **fields)
        await self.proposals.create(one, creation_event(one, one.author))
        return one

    async def remove(self, one: Proposal) -> bool:
        version = one.version + 1
        told = EventDraft(
            "p1",
            EventType.PROPOSAL_DELETED,
            {"version": version, "actor": "ada"},
            proposal_id=one.proposal_id,
        )
        return await self.proposals.remove(replace(one, version=version), told)

    async def told(self) -> list[str]:
        packs = await self.log.read("p1", after=0, upto=await self.log.head("p1"), limit=1000)
        return [event.type for pack in packs for event in pack.events()]

    async def comments_of(self, proposal_id: str) -> list[str]:
        found, _ = await self.comments.of_proposal(
            proposal_id, after=None, limit=1000, max_bytes=MANY_BYTES
        )
        return [comment.text for comment in found]


@asynccontextmanager
async def a_world(db: Database, *, dies: bool = False) -> AsyncIterator[World]:
    log = await make_log(db)
    async with running(log.run()):
        world = World(db, log, dies=dies)
        for part in (world.proposals, world.comments, world.runs, world.relay):
            await part.prepare()
        yield world


def proposal(proposal_id: str, **fields: Any) -> Proposal:
    usual = Proposal(proposal_id, "p1", "T", "ada", ["ben"], ProposalStatus.DRAFT, NOW, NOW, "ada")
    return replace(usual, **fields)


def comment(text: str) -> Comment:
    return Comment(f"c-{text}", "p", "p1", "eve", "Eve", text)


def run(run_id: str, kind: RunKind) -> Run:
    return Run(run_id, kind, "p1", "p", "w1", "ada", datetime.now(UTC))


async def pages(world: World, limit: int, max_bytes: int = MANY_BYTES) -> list[list[str]]:
    """All pages, as lists of ids."""
    after: Place | None = None
    found: list[list[str]] = []
    while True:
        page, more = await world.proposals.page("p1", after=after, limit=limit, max_bytes=max_bytes)
        found.append([one.proposal_id for one in page])
        if not more:
            return found
        # As it travels.
        after = Place.parse(str(page[-1].place))


@pytest.mark.gen_test
async def test_pages_are_in_order_and_miss_and_repeat_nothing(db: Database) -> None:
    async with a_world(db) as world:
        assert await pages(world, 5) == [[]]
        # Also many of one moment, as an import makes them.
        moments = [NOW, NOW, NOW, NOW + timedelta(milliseconds=1), NOW - timedelta(days=1)] * 4
        made = [
            await world.create(f"p{number:02}", created_at=moment)
            for number, moment in enumerate(moments)
        ]
        await world.create("elsewhere", project_id="p2")
        wanted = [
            one.proposal_id
            for one in sorted(made, key=lambda one: (one.created_at, one.proposal_id))
        ]
        for limit in (1, 3, 7, 20, 21):
            found = await pages(world, limit)
            assert [one for page in found for one in page] == wanted
            assert {len(page) for page in found[:-1]} <= {limit}
        assert len(await pages(world, 20)) == 1


@pytest.mark.gen_test
async def test_a_page_is_bounded_in_bytes_and_never_empty(db: Database) -> None:
    async with a_world(db) as world:
        reviewers = [f"{number:03}" + "x" * 97 for number in range(50)]  # more than 5,000 bytes
        for number in range(9):
            await world.create(f"p{number}", reviewers=reviewers)
        assert [len(page) for page in await pages(world, 100, max_bytes=13_000)] == [2, 2, 2, 2, 1]
        assert [len(page) for page in await pages(world, 100, max_bytes=1)] == [1] * 9


@pytest.mark.gen_test
async def test_a_page_begins_where_one_was_that_is_removed_by_now(db: Database) -> None:
    async with a_world(db) as world:
        made = [await world.create(f"p{number}") for number in range(4)]
        page, more = await world.proposals.page("p1", after=None, limit=2, max_bytes=MANY_BYTES)
        assert more
        await world.remove(made[1])
        rest, more = await world.proposals.page(
            "p1", after=page[-1].place, limit=2, max_bytes=MANY_BYTES
        )
        assert ([one.proposal_id for one in rest], more) == (["p2", "p3"], False)
        assert await pages(world, 9) == [["p0", "p2", "p3"]]


@pytest.mark.gen_test
async def test_a_page_is_one_range_of_an_index(db: Database) -> None:
    async with a_world(db) as world:
        await world.create()
        order = [("created_at", 1), ("_id", 1)]
        wanted = {
            "project_id": "p1",
            "removed": {"$exists": False},
            "created_at": {"$gte": NOW},
            "$nor": [{"created_at": NOW, "_id": {"$lte": "p"}}],
        }
        plan = str((await db[PROPOSALS].find(wanted).sort(order).explain())["queryPlanner"])
        assert "of_project_in_order" in plan
        assert "'SORT'" not in plan


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.gen_test
async def test_a_removal_and_its_event_are_one_and_take_everything_along(
    db: Database, dies: bool
) -> None:
    async with a_world(db, dies=dies) as world:
        one = await world.create()
        for text in ("a", "b"):
            await world.comments.add(comment(text))
        ended, active = run("r1", RunKind.ITERATION), run("r2", RunKind.VALIDATION)
        for each in (ended, active):
            await world.runs.create(each, EventDraft("p1", "x.y", {}, proposal_id="p"))
        await world.runs.finish(ended, RunState.COMPLETED, {}, EventDraft("p1", "x.y", {}))
        assert not await world.remove(replace(one, version=2))
        assert await world.remove(one)
        assert not await world.remove(one)
        # It is gone at once, whatever is left to be told.
        assert await world.proposals.get("p") is None
        assert not await world.proposals.change(replace(one, version=3), [])
        with pytest.raises(NotFoundError):
            await world.comments.add(comment("c"))
        await asyncio.gather(world.relay.sweep(), world.relay.sweep())
        assert await world.relay.sweep() == 0
        told = await world.told()
        assert told.count("proposal_deleted") == 1
        assert told.index("proposal_deleted") > told.index("comment_created")
        assert await world.comments_of("p") == []
        assert await world.runs.get("r1") is None
        assert await world.runs.get("r2") is not None
        assert list(await world.proposals.members("p1")) == [("p", 2, frozenset())]
        left = await db[PROPOSALS].find_one({"_id": "p"})
        assert left is not None
        words = [left[name] for name in ("title", "reviewers", "reviews", "revision")]
        assert words == ["p", [], [], None]


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.gen_test
async def test_one_of_the_same_id_goes_on_from_its_version(db: Database, dies: bool) -> None:
    async with a_world(db, dies=dies) as world:
        one = await world.create()
        with pytest.raises(ProposalExistsError):
            await world.create()
        assert await world.proposals.version_of_removed("p") == 0
        await world.comments.add(comment("old"))
        await world.remove(one)
        with pytest.raises(ProposalExistsError):  # it has to go on where the old one ended
            await world.create()
        # Whatever the old one had to tell is told before.
        assert await world.proposals.version_of_removed("p") == 2
        assert (await world.told())[-1] == "proposal_deleted"
        tries = [world.create(version=3, author=name, project_id="p2") for name in ("ben", "eve")]
        made = await asyncio.gather(*tries, return_exceptions=True)
        assert sorted(type(each).__name__ for each in made) == ["Proposal", "ProposalExistsError"]
        await world.relay.sweep()
        found = await world.proposals.get("p")
        assert found is not None
        assert (found.version, found.project_id) == (3, "p2")
        assert await world.comments_of("p") == []
        assert await world.proposals.version_of_removed("p") == 0
