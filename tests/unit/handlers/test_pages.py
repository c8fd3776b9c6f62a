"""The pages and their files, as a worker serves them."""

import gzip
import re
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


@pytest.mark.gen_test
async def test_files_are_compressed_and_asked_for_again_by_their_tags(
    served: Server, http_client: AsyncHTTPClient
) -> None:
    url = f"http://127.0.0.1:{served.port}/static/client/session.js"
    packed = await http_client.fetch(
        url, headers={"Accept-Encoding": "gzip"}, decompress_response=False
    )
    plain = await http_client.fetch(url, decompress_response=False)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 2
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert not packed.headers["ETag"].startswith("W/")
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    again = await http_client.fetch(
        url,
        headers={"Accept-Encoding": "gzip", "If-None-Match": packed.headers["ETag"]},
        raise_error=False,
    )
    assert again.code == 304
    assert again.body == b""
    head = await http_client.fetch(url, method="HEAD", decompress_response=False)
    assert head.headers["Content-Length"] == str(len(plain.body))


@pytest.mark.gen_test
async def test_what_a_page_was_put_together_from_is_kept_for_ever(
    served: Server, http_client: AsyncHTTPClient
) -> None:
    base = f"http://127.0.0.1:{served.port}"
    page = (await http_client.fetch(f"{base}/")).body.decode()
    names = re.findall(r'"/static/built/([^"]+)"', page)
    if not names:
        pytest.skip("npm has not installed esbuild")
    for name in names:
        answer = await http_client.fetch(f"{base}/static/built/{name}")
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["Content-Security-Policy"]
    script = next(name for name in names if re.match(r"index-.*\.js$", name))
    older = await http_client.fetch(f"{base}/static/built/index-AAAAAAAA.js")
    assert older.headers["Cache-Control"] == "no-store"
    assert older.body == (await http_client.fetch(f"{base}/static/built/{script}")).body
    for name in ("chunk-AAAAAAAA.js", "index.html", "..", "index-A.txt"):
        gone = await http_client.fetch(f"{base}/static/built/{name}", raise_error=False)
        assert gone.code == 404
