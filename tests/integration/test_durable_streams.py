"""Runs as Durable Streams, by the protocol's own conformance tests: those of its read half."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from handlers.api import run_stream
from rtserver.app.server import Server
from tests.support.durable_streams import streams_of
from tests.support.line_process import NODE
from tests.support.node import MODULES, need_node
from tests.support.processes import ROOT

GROUPS = (
    "Read Operations",
    "Long-Poll Operations",
    "HTTP Protocol should (return correct headers on GET|return empty body|read from offset)",
    "Browser Security Headers",
    "HEAD Metadata should",
    "Offset Validation and Resumability",
    "Protocol Edge Cases should (handle PUT|preserve|generate|reject (empty|multiple) offset"
    "|handle binary|ignore)",
    "Long-Poll Edge Cases",
    "Caching and ETag",
    "Read-Your-Writes Consistency",
    "SSE Mode",
    "JSON Mode",
    "Stream Closure (HEAD|Read Closed|Long-poll|SSE|Edge Cases offset-now)",
)
TIMEOUT_S = 120


@pytest.fixture
def server_settings() -> dict[str, object]:
    # Nobody renews the leases of the runs that the tests make; and they ask what CORS allows.
    return {"lease_s": 120, "allowed_origins": "https://example.com"}


@pytest.mark.gen_test(timeout=TIMEOUT_S)
async def test_the_read_half_conforms(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run_stream, "LONG_POLL_S", 0.5)
    monkeypatch.setattr(run_stream, "EVENT_STREAM_S", 6.0)
    socket, port = bind_unused_port()
    before = HTTPServer(streams_of(server))
    before.add_socket(socket)
    try:
        results = await _conformance(f"http://127.0.0.1:{port}", tmp_path)
    finally:
        before.stop()
        await before.close_all_connections()
    assert results["numFailedTests"] == 0, _failures(results)
    assert results["numPassedTests"] >= 110


async def _conformance(address: str, tmp_path: Path) -> dict[str, Any]:
    report = tmp_path / "report.json"
    process = await asyncio.create_subprocess_exec(
        need_node(),
        str(MODULES / "vitest" / "vitest.mjs"),
        *("run", "--root", str(ROOT), "--dir", str(NODE), "--no-cache"),
        # Of a whole test, of which some make a dozen streams one after the other. It allows 5 s.
        f"--testTimeout={TIMEOUT_S * 1000}",
        *("--reporter=json", f"--outputFile={report}"),
        *("--testNamePattern", f"^({'|'.join(GROUPS)})", "durable_streams.test.mjs"),
        env={**os.environ, "STREAMS_URL": address, "NO_COLOR": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert report.exists(), said.decode()
    results: dict[str, Any] = json.loads(report.read_text())
    return results


def _failures(results: dict[str, Any]) -> str:
    return "\n".join(
        f"{test['fullName']}: {test['failureMessages']}"
        for file in results["testResults"]
        for test in file["assertionResults"]
        if test["status"] == "failed"
    )
