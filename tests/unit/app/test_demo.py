"""`rtserver.app.demo`."""

import math

import pytest

from rtserver.app.demo import build_demo, tell_demo_story
from rtserver.app.folders import build_workspaces
from rtserver.app.reviews import build_reviews
from rtserver.config.settings import Settings
from rtserver.demo.project import DEMO_PROJECT_ID
from rtserver.demo.review import REVIEWED_PROPOSAL_ID
from rtserver.model.identity import Identity
from rtserver.reviews.statuses import ProposalStatus
from tests.unit.app.parts import build_kept, foundation


@pytest.mark.gen_test
async def test_its_proposals_are_made_known_once(settings: Settings) -> None:
    async with foundation(settings) as base:
        kept = await build_kept(base)
        await build_demo(base, kept.documents)
        await build_demo(base, kept.documents)
        proposals, _ = await kept.documents.proposals.page(
            DEMO_PROJECT_ID, after=None, limit=100, max_bytes=1_000_000
        )
        assert len(proposals) == await kept.events.writer.head(DEMO_PROJECT_ID) == 4
        folders = settings.workspaces_dir / DEMO_PROJECT_ID / "openspec" / "changes"
        assert {one.proposal_id for one in proposals} <= {one.name for one in folders.iterdir()}


@pytest.mark.gen_test
async def test_one_proposal_has_been_reviewed_once(settings: Settings) -> None:
    async with foundation(settings) as base:
        kept = await build_kept(base)
        made = await build_demo(base, kept.documents)
        reviews = build_reviews(
            base, kept.mongo, kept.events, kept.documents, await build_workspaces(base), kept.audit
        )
        await tell_demo_story(reviews, made)
        await tell_demo_story(reviews, await build_demo(base, kept.documents))
        proposal = await kept.documents.proposals.get(REVIEWED_PROPOSAL_ID)
        assert proposal is not None
        assert proposal.revision is not None
        assert proposal.revision.number == 3
        (review,) = proposal.reviews
        assert review.is_stale(proposal.revision)
        assert proposal.status is ProposalStatus.IN_REVIEW
        ada = Identity("ada", "Ada", frozenset({DEMO_PROJECT_ID}), frozenset(), math.inf)
        comments, _ = await reviews.comments.of_proposal(
            ada, REVIEWED_PROPOSAL_ID, after=None, limit=100
        )
        shown = await reviews.threads.shown(ada, REVIEWED_PROPOSAL_ID, comments)
        assert [one.get("outdated") for one in shown] == [False, None, True, False]
