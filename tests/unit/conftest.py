"""Fixtures of the unit tests beside those of tests/conftest.py."""

from collections.abc import Iterator

import pytest
from tornado.ioloop import IOLoop

from store.client import Database, connect
from tests.support.mongo import MongodProcess


@pytest.fixture
def db(io_loop: IOLoop, mongod: MongodProcess, database: str) -> Iterator[Database]:
    """The test's own database, on the driver that the server uses."""
    client = connect(mongod.uri)
    yield client[database]
    client.close()
