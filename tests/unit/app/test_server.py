"""How a worker is taken apart."""

import asyncio
import functools
import inspect
from dataclasses import dataclass
from typing import Any

import pytest
from tornado.httpserver import HTTPServer

from rtserver.app.mongo import MongoAccess
from rtserver.app.server import Server
from rtserver.audit.archive.archiver import Archiver
from rtserver.audit.record.auditor import Auditor
from rtserver.audit.record.workers import Workers
from rtserver.auth.jwks import JwksCache
from rtserver.config.settings import Settings
from rtserver.delivery.sender import Sender
from rtserver.demo.completions_server import CompletionsServer
from rtserver.lib.tasks import TaskOwner
from rtserver.presence.fleet import PresenceFleet
from rtserver.presence.service import PresenceService
from rtserver.runs.llm.client import LanguageModel
from rtserver.runs.service import RunService
from rtserver.sessions.table import SessionTable
from store.log.heads import Heads
from store.log.writer import MongoEventLog
from tests.support.recorder import LogRecorder
from tests.support.tokens import SECRET


@dataclass(frozen=True)
class Step:
    """A step of the shutdown: what is called, and the name under which its failure is logged."""

    name: str
    owner: type
    method: str


SHUTDOWN = [
    Step("accept", HTTPServer, "stop"),
    Step("runs", RunService, "stop"),
    Step("watches", TaskOwner, "stop"),
    Step("close-sessions", SessionTable, "close_all"),
    Step("presence-bye", PresenceFleet, "end"),
    Step("presence", PresenceService, "stop"),
    Step("event-log", MongoEventLog, "drain"),
    Step("last-words", TaskOwner, "finish"),
    Step("connections", HTTPServer, "close_all_connections"),
    Step("language-model", LanguageModel, "close"),
    Step("demo-language-model", CompletionsServer, "stop"),
    Step("sender", Sender, "close"),
    Step("audit", Auditor, "finish"),
    Step("audit-archive", Archiver, "finish"),
    Step("audit-archive-thread", Archiver, "close"),
    Step("audit-workers", Workers, "end"),
    Step("audit-spool", Auditor, "close"),
    Step("audit-log-heads", Heads, "finish"),
    Step("mongodb", MongoAccess, "close"),
    Step("key-set", JwksCache, "close"),
]
"""In the order in which they have to happen."""


class Watch:
    """Notes which steps happen from `begin` on, and has each fail after all that it does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failure: BaseException | None) -> None:
        self.happened: list[str] = []
        self._failure = failure
        self._watching = False
        for step in SHUTDOWN:
            self._wrap(monkeypatch, step)

    def begin(self) -> None:
        self._watching = True

    def _happens(self, step: Step) -> bool:
        """Note a call; whether it is the first of its step."""
        first = self._watching and step.name not in self.happened
        if first:
            self.happened.append(step.name)
        return first

    def _wrap(self, monkeypatch: pytest.MonkeyPatch, step: Step) -> None:
        original = getattr(step.owner, step.method)

        @functools.wraps(original)
        async def step_async(*given: Any, **named: Any) -> Any:
            first = self._happens(step)
            result = await original(*given, **named)
            if first and self._failure is not None:
                raise self._failure
            return result

        @functools.wraps(original)
        def step_sync(*given: Any, **named: Any) -> Any:
            first = self._happens(step)
            result = original(*given, **named)
            if first and self._failure is not None:
                raise self._failure
            return result

        is_async = inspect.iscoroutinefunction(original)
        monkeypatch.setattr(step.owner, step.method, step_async if is_async else step_sync)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "failure",
    # The first is what goes wrong in code that takes apart what may not be there.
    [AttributeError("broken"), asyncio.CancelledError(), TimeoutError(), None],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_step_that_fails_keeps_no_other_from_happening(
    full_settings: Settings,
    logs: LogRecorder,
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException | None,
) -> None:
    watch = Watch(monkeypatch, failure)
    server = Server(full_settings, secret=SECRET, demo=True)
    await server.start()
    watch.begin()
    logs.expect("shutdown_step_failed")
    await server.stop()
    expected = [step.name for step in SHUTDOWN]
    assert watch.happened == expected
    failed = [line for line in logs.lines if line["event"] == "shutdown_step_failed"]
    assert [line["step"] for line in failed] == ([] if failure is None else expected)
