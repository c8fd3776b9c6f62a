"""Debian's HAProxy with `docs/haproxy.cfg` as it stands, two workers behind."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect

from tests.integration.proxy_case import (
    Front,
    find_program,
    free_address,
    ride_out_a_killed_worker,
    running,
    sample_of,
    sessions_stick_and_spread,
)
from tests.support.api import api
from tests.support.event_stream import event_stream
from tests.support.tokens import token
from tests.support.workers import Workers


@pytest.fixture(scope="module")
def front(_module_workers: Workers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    executable = find_program("haproxy")
    workers = _module_workers.start_many(2, ping_interval_s=1)
    address = free_address()
    directory = tmp_path_factory.mktemp("haproxy")
    config = directory / "haproxy.cfg"
    config.write_text(
        sample_of("haproxy.cfg", workers, ("bind 127.0.0.1:8080", f"bind {address}")),
        encoding="utf-8",
    )
    with running([executable, "-db", "-f", str(config)], address, directory) as written:
        yield Front(address, workers)
    assert "[ALERT]" not in written().replace("has no server available", "")


@pytest.mark.gen_test
async def test_streams_are_not_held_back_and_polling_sessions_stick(front: Front) -> None:
    async with api(front.address) as service:
        await service.propose("stream", "haproxy-1")
        async with event_stream(front.address, "haproxy-1") as stream:
            for number in range(10):
                await service.publish("stream", number)
                # The next is published only when this one is here: nothing may wait for more.
                assert (await stream.recv("test.event"))["data"] == number
            while not stream.blocks[-1].comments:
                await stream.recv_block()
    await sessions_stick_and_spread(front)
    async with httpx2.AsyncClient(trust_env=False) as visitor:  # it is the proxy that answers
        assert (await visitor.get(f"http://{front.address}/metrics")).status_code == 404
    async with connect(
        f"ws://{front.address}/ws/projects/ws?token={token('ada')}",
        origin=f"http://{front.address}",  # type: ignore[arg-type]
        proxy=None,
    ) as same_origin:
        assert json.loads(await same_origin.recv())["type"] == "welcome"


def test_a_worker_killed_behind_it_costs_no_client_an_event(front: Front, tmp_path: Path) -> None:
    """The last one: nobody starts the worker again."""
    ride_out_a_killed_worker(front, tmp_path, "killed-behind-haproxy")
