"""The pages and their files, as a worker serves them."""

from collections.abc import Iterator

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.web import Application

from rtserver.app.server import Server
from tests.support.mongo import MongodProcess
from tests.unit.handlers.parts import server_in_thread

PAGES = ("/", "/admin", "/legacy")
FILES = tuple(f"/static/{name}.html" for name in ("index", "admin", "legacy"))


@pytest.fixture(scope="module")
def served(mongod: MongodProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with mongod.fresh_database() as name:
        settings = {
            "mongodb_uri": mongod.uri,
            "mongodb_database": name,
            "data_dir": tmp_path_factory.mktemp("pages"),
        }
        with server_in_thread(settings) as server:
            yield server


@pytest.fixture
def app(served: Server) -> Application:
    return served.features.interface.application


@pytest.fixture
def http_server(served: Server) -> HTTPServer:
    return served.features.interface.server


@pytest.mark.parametrize("path", PAGES + FILES)
@pytest.mark.gen_test
async def test_a_page_has_its_guards_by_whatever_name(
    served: Server, http_client: AsyncHTTPClient, path: str
) -> None:
    """By the names of their files they had none, and could be framed."""
    answer = await http_client.fetch(f"http://127.0.0.1:{served.port}{path}")
    policy = answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'self'" in policy
    assert "ws:" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["%00", "a%00.js", "..%2f..%2fREADME.md", "none.js", "client"])
@pytest.mark.gen_test
async def test_what_is_no_file_is_no_error_of_the_server(
    served: Server, http_client: AsyncHTTPClient, name: str
) -> None:
    url = f"http://127.0.0.1:{served.port}/static/{name}"
    answer = await http_client.fetch(url, raise_error=False)
    assert answer.code in (403, 404)
    assert b"Traceback" not in answer.body
