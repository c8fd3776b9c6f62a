"""`rtserver.app.webhooks`."""

import json
from pathlib import Path

import pytest

from rtserver.app.webhooks import build_webhooks
from rtserver.model.events import EventPack
from tests.support.mongo import MongodProcess
from tests.support.webhook_receiver import SECRET
from tests.unit.app.parts import build_kept, foundation, settings_of


@pytest.mark.gen_test
@pytest.mark.parametrize("ids", [[], ["ci", "chat"]])
async def test_each_endpoint_is_told(
    mongod: MongodProcess, database: str, tmp_path: Path, ids: list[str]
) -> None:
    settings = settings_of(
        tmp_path,
        mongodb_uri=mongod.uri,
        mongodb_database=database,
        webhook_hosts="hooks.example.com",
        webhooks=json.dumps(
            [
                {
                    "id": one,
                    "url": "https://hooks.example.com",
                    "secret": SECRET,
                    "projects": ["p1"],
                }
                for one in ids
            ]
        ),
    )
    async with foundation(settings) as base:
        kept = await build_kept(base)
        webhooks = await build_webhooks(base, kept.mongo, kept.events, kept.audit)
        assert [delivery.id for delivery in webhooks.deliveries] == ids
        webhooks.saw([EventPack("p1", "abcd", 1, 1, [])])
