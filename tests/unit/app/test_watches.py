"""`rtserver.app.watches`."""

from pathlib import Path

import pytest

from rtserver.app.watches import build_watches
from tests.support.mongo import MongodProcess
from tests.unit.app.parts import build_kept, foundation, settings_of


@pytest.mark.gen_test
@pytest.mark.parametrize("watches", [[], ["notes:note:project=p", "lists:list:project=p"]])
async def test_each_collection_is_followed(
    mongod: MongodProcess, database: str, tmp_path: Path, watches: list[str]
) -> None:
    settings = settings_of(
        tmp_path,
        mongodb_uri=mongod.uri,
        mongodb_database=database,
        watch=" ".join(f"{database}.{watch}" for watch in watches),
    )
    async with foundation(settings) as base:
        kept = await build_kept(base)
        assert len(build_watches(base, kept.mongo, kept.events, kept.audit)) == len(watches)
