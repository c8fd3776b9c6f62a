"""What proposals are made and changed under: rights, and the approval that a new text ends."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rtserver.model.errors import ForbiddenError, NotFoundError
from rtserver.model.identity import Identity, Role
from rtserver.reviews.editing import ProposalService
from rtserver.reviews.locks import LockedError, LockService
from rtserver.reviews.proposals import NewProposal, Proposal, ProposalChanges, StaleError
from rtserver.reviews.rights import ArchivedError
from rtserver.reviews.statuses import MOVES, ProposalStatus
from store.base.client import Database
from store.base.relay import OutboxRelay
from store.documents.locks import LOCKS, MongoLocks
from store.documents.proposals import PROPOSALS, MongoProposals
from tests.support.lease_trust import ScriptedTrust
from tests.support.waiting import running
from tests.unit.store.parts import make_log


def user(user_id: str, *roles: Role, project: str = "p1") -> Identity:
    return Identity(user_id, user_id, frozenset({project}), frozenset(roles), time.time() + 600)


ADA, BEN, EVE, MAKER = user("ada"), user("ben"), user("eve"), user("maker")
ROOT, SERVICE = user("root", Role.ADMIN), user("svc", Role.SERVICE)


class World:
    """The service on a real store.

    Attributes:
        told: what it recorded of proposals that went back to review.
    """

    def __init__(self, db: Database, log: Any) -> None:
        self.log = log
        self.relay = OutboxRelay(db, log, (PROPOSALS, LOCKS))
        self.store = MongoProposals(db, self.relay)
        self.locks = LockService(MongoLocks(db, self.relay), lease_s=60, trust=ScriptedTrust())
        self.told: list[tuple[str, str]] = []
        self.service = ProposalService(self.store, self.locks, records=self)

    def reopened(self, proposal: Proposal, actor: str) -> None:
        self.told.append((proposal.proposal_id, actor))

    async def make(self, status: ProposalStatus) -> Proposal:
        """One of `ada`'s that `maker` has made known and `ben` reviews."""
        new = NewProposal(f"a-{status}", "T", "ada", ["ben"])
        await self.service.create(MAKER, "p1", new)
        way: dict[ProposalStatus, list[ProposalStatus]] = {
            ProposalStatus.DRAFT: [],
            ProposalStatus.IN_REVIEW: [ProposalStatus.IN_REVIEW],
            ProposalStatus.ARCHIVED: [ProposalStatus.ARCHIVED],
        }
        for step in way.get(status, [ProposalStatus.IN_REVIEW, status]):
            await self.service.change(ADA, new.proposal_id, ProposalChanges(status=step))
        found = await self.store.get(new.proposal_id)
        assert found is not None
        return found

    async def events(self) -> list[dict[str, Any]]:
        packs = await self.log.read("p1", after=0, upto=await self.log.head("p1"), limit=1000)
        return [event.frame() for pack in packs for event in pack.events()]


@asynccontextmanager
async def a_world(db: Database) -> AsyncIterator[World]:
    log = await make_log(db)
    async with running(log.run()):
        yield World(db, log)


@pytest.mark.gen_test
async def test_who_may_change_the_text(db: Database) -> None:
    async with a_world(db) as world:
        proposal = await world.make(ProposalStatus.DRAFT)
        for one in (ADA, BEN, MAKER, ROOT, SERVICE):
            await world.service.check_text(one, proposal.proposal_id)
        with pytest.raises(ForbiddenError):
            await world.service.check_text(EVE, proposal.proposal_id)
        outsider = user("ada", Role.SERVICE, project="p2")
        with pytest.raises(NotFoundError):
            await world.service.check_text(outsider, proposal.proposal_id)
        await world.locks.acquire(EVE, "p1", None, None)
        with pytest.raises(LockedError):
            await world.service.check_text(ADA, proposal.proposal_id)
        with pytest.raises(ForbiddenError):  # a lock gives no right
            await world.service.check_text(EVE, proposal.proposal_id)


@pytest.mark.gen_test
async def test_nobody_changes_the_text_of_what_is_archived(db: Database) -> None:
    async with a_world(db) as world:
        proposal = await world.make(ProposalStatus.ARCHIVED)
        for one in (ADA, ROOT, SERVICE):
            with pytest.raises(ArchivedError):
                await world.service.check_text(one, proposal.proposal_id)
        with pytest.raises(ForbiddenError):
            await world.service.check_text(EVE, proposal.proposal_id)


@pytest.mark.gen_test
@pytest.mark.parametrize("status", MOVES)
async def test_only_what_is_approved_is_reopened(db: Database, status: ProposalStatus) -> None:
    async with a_world(db) as world:
        before = await world.make(status)
        told = len(await world.events())
        for _ in "twice":
            await world.service.reopen(before.proposal_id, "ben")
        now = await world.store.get(before.proposal_id)
        assert now is not None
        news = (await world.events())[told:]
        if status is not ProposalStatus.APPROVED:
            assert (now, news, world.told) == (before, [], [])
            return
        assert (now.status, now.version) == (ProposalStatus.IN_REVIEW, before.version + 1)
        (event,) = news
        assert (event["type"], event["cause"]) == ("status_changed", "revised")
        assert (event["from"], event["to"], event["actor"]) == ("approved", "in_review", "ben")
        assert event["version"] == now.version
        assert world.told == [(before.proposal_id, "ben")]


@pytest.mark.gen_test
async def test_what_is_not_there_is_not_reopened(db: Database) -> None:
    async with a_world(db) as world:
        await world.service.reopen("none", "ben")
        assert world.told == []


@pytest.mark.gen_test
async def test_who_makes_one_known_as_approved(db: Database) -> None:
    async with a_world(db) as world:
        for one, status in ((EVE, ProposalStatus.APPROVED), (BEN, ProposalStatus.APPROVED)):
            with pytest.raises(ForbiddenError):
                await world.service.create(one, "p1", NewProposal("n", "T", status=status))
        for number, one in enumerate((ROOT, SERVICE)):
            new = NewProposal(f"n-{number}", "T", "ada", status=ProposalStatus.APPROVED)
            made = await world.service.create(one, "p1", new)
            assert (made.author, made.created_by) == ("ada", one.user_id)
        for status in (s for s in ProposalStatus if s is not ProposalStatus.APPROVED):
            await world.service.create(EVE, "p1", NewProposal(f"e-{status}", "T", status=status))


@pytest.mark.gen_test
async def test_who_may_remove_one_and_what_is_told(db: Database) -> None:
    async with a_world(db) as world:
        for one in (ADA, MAKER, ROOT):
            proposal = await world.make(ProposalStatus.APPROVED)
            for other in (BEN, EVE, SERVICE):
                with pytest.raises(ForbiddenError):
                    await world.service.remove(other, proposal.proposal_id)
            with pytest.raises(StaleError):
                await world.service.remove(one, proposal.proposal_id, lambda _: False)
            await world.locks.acquire(EVE, "p1", None, None)
            with pytest.raises(LockedError):
                await world.service.remove(one, proposal.proposal_id)
            await world.locks.release(EVE, "p1")
            removed = await world.service.remove(one, proposal.proposal_id, lambda _: True)
            told = (await world.events())[-1]
            assert (told["type"], told["actor"]) == ("proposal_deleted", one.user_id)
            assert (told["proposal_id"], told["version"]) == (
                proposal.proposal_id,
                removed.version,
            )
            with pytest.raises(NotFoundError):
                await world.service.remove(one, proposal.proposal_id)
            with pytest.raises(NotFoundError):
                await world.service.check_text(one, proposal.proposal_id)
        # Made anew each time, it goes on from there.
        again = await world.make(ProposalStatus.APPROVED)
        assert again.version == 3 * 4 + 3
