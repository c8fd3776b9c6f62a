"""`rtserver.app.runs`."""

from pathlib import Path

import pytest

from rtserver.app.delivery import build_delivery
from rtserver.app.folders import build_workspaces, validator_of
from rtserver.app.reviews import build_reviews
from rtserver.app.runs import build_runs
from rtserver.config.settings import Settings
from rtserver.demo.llm import DEMO_MODEL
from rtserver.demo.project import DEMO_PROJECT_ID, SLOW_PROPOSAL_ID, SLOWLY
from tests.unit.app.parts import build_kept, foundation, settings_of


@pytest.mark.gen_test
@pytest.mark.parametrize("demo", [False, True])
async def test_proposals_are_revised_where_there_is_a_model(settings: Settings, demo: bool) -> None:
    async with foundation(settings) as base:
        kept = await build_kept(base)
        delivery = build_delivery(base, kept.events, kept.audit, kept.documents)
        workspaces = await build_workspaces(base)
        reviews = build_reviews(
            base, kept.mongo, kept.events, kept.documents, workspaces, kept.audit
        )
        runs = await build_runs(
            base, kept.events, kept.documents, delivery, workspaces, reviews, kept.audit, demo=demo
        )
        known = {"name": DEMO_MODEL, "demo": True} if demo else None
        assert runs.iterations.model_json() == known
        assert delivery.dispatcher.watchers == [runs.active, runs.streams]


def test_one_proposal_of_the_demo_alone_is_validated_slowly(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    assert validator_of(settings, demo=True)._run_by == {
        (DEMO_PROJECT_ID, SLOW_PROPOSAL_ID): SLOWLY
    }
    assert validator_of(settings)._run_by == {}
    own = settings_of(tmp_path, validation_command="make check")
    assert validator_of(own, demo=True)._run_by == {}


def test_a_report_fits_into_every_outbox(tmp_path: Path) -> None:
    small, large = settings_of(tmp_path, outbox_bytes=64 * 1024), settings_of(tmp_path)
    assert validator_of(small)._max_report_bytes == 32 * 1024
    assert validator_of(large)._max_report_bytes <= large.outbox_bytes // 2
