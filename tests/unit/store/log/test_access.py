"""`store.log.access`, on a MongoDB of its own."""

import asyncio
from pathlib import Path

import pytest

from store.base.client import connect
from store.log.access import DriverAccess
from tests.support.mongo import MongodProcess


@pytest.mark.gen_test
async def test_what_the_driver_sends_again_to_another_process_shows(tmp_path: Path) -> None:
    mongod = MongodProcess(tmp_path / "var")
    client = connect(mongod.uri)
    try:
        access = DriverAccess(client["access"])
        await access.insert("made", [{"_id": 1}])
        first = access.instance
        async with access.following() as following:
            assert (await following.command({"ping": 1}))["ok"] == 1
        assert following.is_on_primary()
        await access.insert("made", [{"_id": 2}])
        assert access.instance == first
        await asyncio.to_thread(mongod.stop)
        await asyncio.to_thread(mongod.start)
        await access.insert("made", [{"_id": 3}])
        assert access.instance != first
        assert not following.is_on_primary()
    finally:
        await asyncio.to_thread(client.close)
        await asyncio.to_thread(mongod.stop)
