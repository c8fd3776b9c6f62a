"""`handlers.base.starting`."""

import asyncio
import json
from pathlib import Path

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from rtserver.app import interface as app_interface
from rtserver.app.interface import Interface
from tests.unit.app.parts import foundation, settings_of


class Waits:
    """A part that is not there yet."""

    def problem(self) -> str | None:
        return "it does not answer"


async def fetch(interface: Interface, path: str, method: str = "GET") -> HTTPResponse:
    return await AsyncHTTPClient().fetch(
        f"http://127.0.0.1:{interface.port}{path}",
        method=method,
        raise_error=False,
        allow_nonstandard_methods=True,
    )


@pytest.mark.gen_test
async def test_until_the_worker_serves_it_says_what_it_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with foundation(settings_of(tmp_path)) as base:
        base.readiness.add("mongodb", Waits())
        monkeypatch.setattr(app_interface, "QUICK_START_S", 0.0)
        interface = Interface(base)
        with interface.answering_meanwhile():
            await asyncio.sleep(0.001)
        health = await fetch(interface, "/healthz")
        assert (health.code, json.loads(health.body)) == (200, {"status": "ok"})
        ready = await fetch(interface, "/readyz")
        assert ready.code == 503
        assert json.loads(ready.body)["problems"] == {"mongodb": "it does not answer"}
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            other = await fetch(interface, "/api/v1/projects/p1", method)
            assert other.code == 503
            assert other.headers["Content-Type"] == "application/problem+json"
            assert int(other.headers["Retry-After"]) >= 1
            assert json.loads(other.body)["reason"] == "starting"
