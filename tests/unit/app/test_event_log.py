"""`rtserver.app.event_log`."""

import json

import pytest

from rtserver.app.event_log import build_event_log
from rtserver.app.mongo import build_mongo
from rtserver.config.settings import Settings
from rtserver.model.errors import OperatorError
from store.log.collection import EVENTS
from store.log.marks import MARKS_FOLDER
from tests.support.fakes import draft
from tests.unit.app.parts import build_kept, foundation


@pytest.mark.gen_test
async def test_where_the_mark_cannot_be_the_setting_is_named(settings: Settings) -> None:
    settings.data_dir.touch()  # no directory, so nothing can be made in it
    async with foundation(settings) as base:
        mongo = await build_mongo(base)
        with pytest.raises(OperatorError, match="RT_DATA_DIR"):
            await build_event_log(base, mongo)


@pytest.mark.gen_test
async def test_how_far_the_log_went_is_written_down_at_the_end(settings: Settings) -> None:
    async with foundation(settings) as base:
        kept = await build_kept(base)
        await kept.events.writer.publish([draft("p1")])
        newest = await kept.mongo.database[EVENTS].find_one({}, sort=[("$natural", -1)])
        assert newest is not None
        kept.events.store.marks.saw(kept.events.writer.epoch, newest)
    path = settings.data_dir / MARKS_FOLDER / f"{settings.mongodb_database}.{EVENTS}.json"
    assert json.loads(path.read_text())["epoch"] == kept.events.writer.epoch
