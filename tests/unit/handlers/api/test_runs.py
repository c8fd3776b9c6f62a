"""A proposal's runs over HTTP, page by page."""

import json
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient

from rtserver.app.server import Server
from tests.unit.handlers.parts import Http


@pytest.fixture
def server_settings() -> dict[str, object]:
    return {"validation_command": "true"}


@pytest.mark.gen_test
async def test_where_a_page_ends_the_next_one_begins(server: Server) -> None:
    http = Http(AsyncHTTPClient(), f"http://127.0.0.1:{server.port}")

    async def ask(method: str, path: str, status: int, *body: object) -> Any:
        answer = await http(method, path, *body)
        assert answer.code == status, answer.body
        return json.loads(answer.body)

    await ask("POST", "/api/v1/projects/p1/proposals", 201, {"id": "a", "title": "A"})
    path = "/api/v1/proposals/a/runs"
    assert await ask("GET", path, 200) == {"runs": [], "next": None}
    made = []
    for _ in range(3):
        run = await ask("POST", "/api/v1/proposals/a/validations", 202, {})
        made.append(run["run_id"])
        while run["state"] in ("queued", "running"):
            run = await ask("GET", f"/api/v1/runs/{made[-1]}", 200)
    first = await ask("GET", f"{path}?limit=2", 200)
    last = await ask("GET", f"{path}?limit=2&after={first['next']}", 200)
    assert [run["run_id"] for run in first["runs"] + last["runs"]] == made[::-1]
    assert last["next"] is None
    for query in ("limit=0", "after=x"):
        await ask("GET", f"{path}?{query}", 400)
