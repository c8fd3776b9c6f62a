"""`rtserver.app.http` and `rtserver.app.interface`."""

from dataclasses import replace
from pathlib import Path

import pytest
from tornado.httpclient import AsyncHTTPClient

from rtserver.app.server import Server
from rtserver.audit.checkpoints.key_file import make_key_file
from rtserver.config.settings import Settings
from tests.support.tokens import SECRET


@pytest.mark.gen_test
@pytest.mark.parametrize("test_endpoints", [False, True])
async def test_endpoints_of_test_suites_are_there_where_they_were_asked_for(
    settings: Settings, tmp_path: Path, test_endpoints: bool
) -> None:
    key = None
    if test_endpoints:
        settings = replace(settings, audit_signing_key_file=tmp_path / "key")
        key = make_key_file(tmp_path / "key", "audit.example.com").public
    server = Server(settings, secret=SECRET, test_endpoints=test_endpoints)
    await server.start()
    try:
        address = f"http://127.0.0.1:{server.port}/sockjs/echo/info"
        response = await AsyncHTTPClient().fetch(address, raise_error=False)
        assert response.code == (200 if test_endpoints else 404)
        address = f"http://127.0.0.1:{server.port}/.well-known/rtserver-audit-keys"
        keys = await AsyncHTTPClient().fetch(address)
        assert keys.body.decode() == ("" if key is None else f"{key}\n")
    finally:
        await server.stop()
