"""`rtserver.app.audit`."""

import pytest

from rtserver.app.audit import build_audit
from rtserver.app.mongo import build_mongo
from rtserver.audit.record.spool import SPOOL_FOLDER
from rtserver.config.settings import Settings
from rtserver.model.errors import OperatorError
from tests.unit.app.parts import build_kept, foundation


@pytest.mark.gen_test
async def test_where_the_spool_cannot_be_the_setting_is_named(settings: Settings) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / SPOOL_FOLDER).touch()
    async with foundation(settings) as base:
        mongo = await build_mongo(base)
        with pytest.raises(OperatorError, match="RT_DATA_DIR"):
            await build_audit(base, mongo)


@pytest.mark.gen_test
async def test_outages_are_recorded_until_the_worker_stops(settings: Settings) -> None:
    async with foundation(settings) as base:
        kept = await build_kept(base)
        auditor = kept.audit.auditor
        (outages,) = kept.mongo.primary.observers
        before = auditor.n
        outages.primary_lost()
        outages.primary_found()
        assert auditor.n == before + 2
    ended = auditor.n
    outages.primary_lost()
    outages.primary_found()
    assert auditor.n == ended
