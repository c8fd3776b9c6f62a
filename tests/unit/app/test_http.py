"""`rtserver.app.http` and `rtserver.app.interface`."""

import pytest
from tornado.httpclient import AsyncHTTPClient

from rtserver.app.server import Server
from rtserver.config.settings import Settings
from tests.support.tokens import SECRET


@pytest.mark.gen_test
@pytest.mark.parametrize("test_endpoints", [False, True])
async def test_endpoints_of_test_suites_are_there_where_they_were_asked_for(
    settings: Settings, test_endpoints: bool
) -> None:
    server = Server(settings, secret=SECRET, test_endpoints=test_endpoints)
    await server.start()
    try:
        address = f"http://127.0.0.1:{server.port}/sockjs/echo/info"
        response = await AsyncHTTPClient().fetch(address, raise_error=False)
        assert response.code == (200 if test_endpoints else 404)
    finally:
        await server.stop()
