"""How a process gets at MongoDB."""

import pytest

from rtserver.app.mongo import MongoAccess
from rtserver.config.settings import Settings
from store.log.access import DriverAccess
from store.log.wire_access import WireAccess

NOBODY = "mongodb://127.0.0.1:1/?directConnection=true"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("uri", "way"), [(NOBODY, WireAccess), (f"{NOBODY}&tls=true", DriverAccess)]
)
async def test_the_log_has_its_own_connections_where_that_goes(uri: str, way: type) -> None:
    environ = {"RT_MONGODB_URI": uri}
    access = MongoAccess(Settings.load(environ, {}))
    try:
        await access.open()
        assert type(access.log_access()) is way
    finally:
        await access.close()
