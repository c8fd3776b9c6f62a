"""`rtserver.app.demo`."""

import pytest

from rtserver.app.demo import build_demo
from rtserver.config.settings import Settings
from rtserver.demo.project import DEMO_PROJECT_ID
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
