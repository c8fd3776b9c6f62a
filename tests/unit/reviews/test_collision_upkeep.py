"""Collisions on a real store: both proposals say so, whatever dies, and as long as it is so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from rtserver.model.events import EventDraft, EventType
from rtserver.model.moments import present_moment
from rtserver.reviews.collision_upkeep import CollisionsBusyError, settle_collisions
from rtserver.reviews.collisions import Collision, Touch
from rtserver.reviews.editing import change_events, creation_event, next_version
from rtserver.reviews.proposals import MAX_ATTEMPTS, Proposal, present_collisions
from rtserver.reviews.statuses import ProposalStatus
from store.base.client import Database
from store.base.relay import OutboxRelay
from store.documents.proposals import PROPOSALS, MongoProposals, settling
from tests.support.waiting import running
from tests.unit.store.parts import make_log

NOW = present_moment()
FEE = Touch("fees", "Late fee", "modified", is_new=False)
CARD = Touch("loans", "Card", "removed", is_new=False)


class DeadRelay(OutboxRelay):
    """A worker that dies right after a change."""

    async def try_relay(self, collection: str, document: dict[str, Any]) -> None:
        """Never get here."""


class World:
    """Proposals a, b and c, on a worker that dies after a change where a test says so."""

    def __init__(self, db: Database, log: Any, *, dies: bool) -> None:
        async def settle(project_id: str, proposal_id: str) -> None:
            await settle_collisions(self.live, project_id, proposal_id)

        parts: Any = (db, log, (PROPOSALS,), {}, {}, {PROPOSALS: settling(settle)})
        self.log = log
        self.relay = OutboxRelay(*parts)
        self.live = MongoProposals(db, self.relay)
        self.mine = MongoProposals(db, DeadRelay(*parts)) if dies else self.live

    async def proposal(self, proposal_id: str) -> Proposal:
        found = await self.live.get(proposal_id)
        assert found is not None
        return found

    async def touch(self, proposal_id: str, *touches: Touch) -> None:
        """As a new revision does."""
        present = await self.proposal(proposal_id)
        collisions = await present_collisions(self.live, present, touches)
        changed = next_version(replace(present, collisions=collisions), present)
        told = EventDraft("p1", EventType.REVISION_CREATED, {}, proposal_id=proposal_id)
        events = [*change_events(present, changed, "ada"), told]
        assert await self.mine.change(changed, events, touches=touches)

    async def mend(self) -> None:
        """What workers do at start and on a timer."""
        await asyncio.gather(self.relay.sweep(), self.relay.sweep())
        assert await self.relay.sweep() == 0

    async def collisions(self) -> dict[str, list[str]]:
        """Of each proposal the others, as the store says and as the events have said."""
        packs = await self.log.read("p1", after=0, upto=await self.log.head("p1"), limit=1000)
        told: dict[str, Any] = {}
        for event in (event.frame() for pack in packs for event in pack.events()):
            shown = event.get("proposal")
            if shown and shown["version"] > told.get(shown["id"], {"version": 0})["version"]:
                told[shown["id"]] = shown
        found = {}
        for proposal_id in "abc":
            present = await self.live.get(proposal_id)
            if present is not None:
                assert told[proposal_id]["collisions"] == present.to_json()["collisions"]
                found[proposal_id] = [each.proposal_id for each in present.collisions or ()]
        return found


@asynccontextmanager
async def _world(db: Database, *, dies: bool = False) -> AsyncIterator[World]:
    log = await make_log(db)
    async with running(log.run()):
        world = World(db, log, dies=dies)
        await world.live.prepare()
        for proposal_id in "abc":
            one = Proposal(proposal_id, "p1", "T", "ada", [], ProposalStatus.DRAFT, NOW, NOW, "ada")
            await world.live.create(one, creation_event(one, "ada"))
        yield world


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.gen_test
async def test_both_say_so_for_as_long_as_it_is_so(db: Database, dies: bool) -> None:
    async with _world(db, dies=dies) as world:
        await world.touch("a", FEE, CARD)
        await world.touch("b", replace(FEE, operation="removed"))
        await world.touch("c", CARD)
        await world.mend()
        assert await world.collisions() == {"a": ["b", "c"], "b": ["a"], "c": ["a"]}
        there = (await world.proposal("b")).collisions
        assert there == (Collision("a", "fees", "Late fee", "removed", "modified"),)

        await world.touch("a", CARD)
        await world.mend()
        assert await world.collisions() == {"a": ["c"], "b": [], "c": ["a"]}

        closing = await world.proposal("c")
        closed = next_version(
            replace(closing, status=ProposalStatus.REJECTED, collisions=()), closing
        )
        assert await world.mine.change(closed, change_events(closing, closed, "ada"))
        await world.mend()
        assert await world.collisions() == {"a": [], "b": [], "c": []}

        opened = next_version(replace(closed, status=ProposalStatus.DRAFT), closed)
        opened = replace(opened, collisions=await present_collisions(world.live, opened))
        assert await world.mine.change(opened, change_events(closed, opened, "ada"))
        await world.mend()
        assert await world.collisions() == {"a": ["c"], "b": [], "c": ["a"]}

        leaving = await world.proposal("a")
        gone = next_version(leaving, leaving)
        told = EventDraft("p1", EventType.PROPOSAL_DELETED, {}, proposal_id="a")
        assert await world.mine.remove(gone, told)
        await world.mend()
        assert await world.collisions() == {"b": [], "c": []}


@pytest.mark.gen_test
async def test_two_that_change_at_the_same_moment_do_not_miss_each_other(db: Database) -> None:
    async with _world(db) as world:
        await asyncio.gather(*(world.touch(proposal_id, FEE) for proposal_id in "abc"))
        await world.mend()
        assert await world.collisions() == {"a": ["b", "c"], "b": ["a", "c"], "c": ["a", "b"]}


@pytest.mark.gen_test
async def test_another_project_is_no_matter(db: Database) -> None:
    async with _world(db) as world:
        assert await world.live.touching("p2", [FEE]) == []
        await world.touch("a", FEE)
        assert await world.live.touching("p1", [FEE, CARD]) == [("a", [FEE])]
        assert await world.live.touching("p2", [FEE]) == []


class Contended:
    """A store in which somebody else is always quicker."""

    tries = 0

    async def concerned(self, _project_id: str, _proposal_id: str) -> list[str]:
        return ["a"]

    async def get(self, proposal_id: str) -> Proposal:
        return Proposal(proposal_id, "p1", "T", "ada", [], ProposalStatus.DRAFT, NOW, NOW, "ada")

    async def touches(self, _proposal_id: str) -> list[Touch]:
        return [FEE]

    async def touching(self, _project_id: str, touches: Any) -> list[tuple[str, Any]]:
        return [("b", touches)]

    async def change(self, _proposal: Proposal, _changed: Any) -> bool:
        self.tries += 1
        return False


@pytest.mark.gen_test
async def test_a_proposal_that_is_changed_all_the_time_is_left_to_a_later_try() -> None:
    store: Any = Contended()
    with pytest.raises(CollisionsBusyError):
        await settle_collisions(store, "p1", "b")
    assert store.tries == MAX_ATTEMPTS
