"""The fixtures themselves: a check that can't fail would be worse than none."""

import pytest

from rtserver.app.server import Server
from tests.support.api import api
from tests.support.sockets import session
from tests.support.workers import Workers


@pytest.mark.gen_test
async def test_event_published_on_one_worker_is_seen_on_another(workers: Workers) -> None:
    one, other = workers.start_many(2)
    async with session(one.address) as client, api(other.address) as service:
        event_id = await service.publish("p1", {"n": 1})
        event = await client.recv_type("test.event")
        assert (event["id"], event["data"]) == (event_id, {"n": 1})


@pytest.mark.gen_test
async def test_server_in_the_loop_of_the_test(server: Server) -> None:
    address = f"127.0.0.1:{server.port}"
    async with session(address) as client, api(address) as service:
        await service.publish("p1", 7)
        assert (await client.recv_type("test.event"))["data"] == 7
