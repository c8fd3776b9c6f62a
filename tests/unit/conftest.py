"""Fixtures of the unit tests beside those of tests/conftest.py."""

from collections.abc import Iterator
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from store.base.client import Database, connect
from store.log.access import DriverAccess
from store.log.wire_access import WireAccess
from tests.support.mongo import MongodProcess
from tests.unit.store import parts as store_parts


@pytest.fixture
def db(io_loop: IOLoop, mongod: MongodProcess, database: str) -> Iterator[Database]:
    """The test's own database, on the driver that the server uses."""
    client = connect(mongod.uri)
    yield client[database]
    client.close()


@pytest.fixture(params=[WireAccess, DriverAccess])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Has each test that asks for it run with each way of a log to its collection."""
    monkeypatch.setattr(store_parts, "ACCESS", request.param)
    return request.param
