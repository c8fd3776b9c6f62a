"""Sessions over SockJS that have not said hello: nobody can keep others out with them."""

import asyncio
import json
import uuid
from contextlib import AsyncExitStack

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.api import api
from tests.support.raw_http import raw_http
from tests.support.sockjs_polls import hello, polled
from tests.support.workers import Workers

LIMIT = 4


@pytest.mark.gen_test
async def test_one_address_cannot_take_the_places_of_others(workers: Workers) -> None:
    worker = workers.start(max_strangers_per_address=LIMIT)
    new = f"/sockjs/projects/000/{uuid.uuid4().hex}"
    async with AsyncExitStack() as stack, api(worker.address) as service:
        known = await stack.enter_async_context(polled(worker.address, hello("p1")))
        await known.recv_type("welcome")
        strangers = [await stack.enter_async_context(polled(worker.address)) for _ in range(2)]
        for path in ("/sockjs/projects/websocket", f"{new}/websocket"):
            await stack.enter_async_context(connect(f"ws://{worker.address}{path}", proxy=None))

        http = await stack.enter_async_context(raw_http(worker.address))
        for method, path in (("POST", "/xhr"), ("GET", "/eventsource"), ("GET", "/jsonp?c=x")):
            await http.send(method, new + path)
            await http.read_head()
            problem = json.loads(await http.read_body())
            assert (http.status, problem["reason"]) == (429, "too_many")
            assert int(http.headers["retry-after"]) > 0
        with pytest.raises(InvalidStatus, match="429"):
            await connect(f"ws://{worker.address}{new}/websocket", proxy=None)

        # Who is in goes on, and others come in.
        event_id = await service.publish("p1", 1)
        assert (await known.recv_type("test.event"))["id"] == event_id
        other = polled(worker.address, hello("p1", "ben"), from_ip="127.0.0.2")
        await (await stack.enter_async_context(other)).recv_type("welcome")

        # A hello makes room.
        await strangers[0].send(hello("p1", "cleo"))
        await strangers[0].recv_type("welcome")
        async with asyncio.timeout(10):
            await stack.enter_async_context(polled(worker.address))
