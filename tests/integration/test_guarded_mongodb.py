"""Workers on a MongoDB that asks for TLS and a user, as most that are not private do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import api
from tests.support.guarded_mongod import guarded_mongod
from tests.support.sockets import session
from tests.support.workers import Workers


@pytest.fixture
def uri(tmp_path: Path) -> Iterator[str]:
    directory = tmp_path / "guarded"
    directory.mkdir()
    with guarded_mongod(directory) as uri:
        yield uri


@pytest.fixture
def guarded(uri: str, tmp_path: Path) -> Iterator[Workers]:
    factory = Workers(tmp_path, {"mongodb_uri": uri})
    yield factory
    problems = factory.stop() + factory.unexpected()
    if problems:
        pytest.fail("workers had problems:\n" + "\n".join(problems))


@pytest.mark.gen_test(timeout=120)
async def test_events_go_from_worker_to_worker_through_it(guarded: Workers) -> None:
    one, other = guarded.start_many(2)
    async with session(one.address) as near, session(other.address) as far, api(one.address) as to:
        ids = [await to.publish("p1", number) for number in range(3)]
        for viewer in (near, far):
            assert [event["id"] for event in await viewer.recv_events(3)] == ids
    async with session(other.address, last_event_id=ids[0]) as again:
        assert [event["id"] for event in await again.recv_events(2)] == ids[1:]
