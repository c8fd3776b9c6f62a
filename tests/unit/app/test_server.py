"""How a worker is taken apart, and how a start that fails is."""

import asyncio
import contextlib
import functools
import inspect
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tornado.httpserver import HTTPServer

from rtserver.app import interface
from rtserver.app.logs import LogStore
from rtserver.app.mongo import MongoAccess
from rtserver.app.server import Server
from rtserver.audit.archive.archiver import Archiver
from rtserver.audit.record.auditor import Auditor
from rtserver.audit.record.workers import Workers
from rtserver.auth.jwks import JwksCache
from rtserver.config.settings import Settings
from rtserver.delivery.sender import Sender
from rtserver.demo.completions_server import CompletionsServer
from rtserver.eventlog.worker_messages import Control
from rtserver.lib.tasks import TaskOwner
from rtserver.model.errors import StoreUnavailableError
from rtserver.presence.fleet import PresenceFleet
from rtserver.presence.service import PresenceService
from rtserver.runs.files.write import ProposalWriter
from rtserver.runs.llm.client import LanguageModel
from rtserver.runs.service import RunService
from rtserver.sessions.table import SessionTable
from store.base.relay import OutboxRelay
from store.documents.connections import MongoLeases
from store.documents.proposals import MongoProposals
from store.log.heads import Heads
from store.log.writer import MongoEventLog
from tests.support.leftovers import end_leftovers
from tests.support.mongo import MongodProcess
from tests.support.recorder import LogRecorder
from tests.support.tokens import SECRET
from tests.support.waiting import until
from tests.unit.app.parts import settings_of


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


@pytest.fixture
def settings(mongod: MongodProcess, database: str, tmp_path: Path) -> Settings:
    """With every part that a worker can have."""
    return settings_of(
        tmp_path,
        mongodb_uri=mongod.uri,
        mongodb_database=database,
        audit_archive_dir=tmp_path / "archive",
        jwt_jwks_url="http://127.0.0.1:1/keys",
        jwt_algorithms="RS256,HS256",
    )


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "failure",
    # The first is what goes wrong in code that takes apart what may not be there.
    [AttributeError("broken"), asyncio.CancelledError(), TimeoutError(), None],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_step_that_fails_keeps_no_other_from_happening(
    settings: Settings,
    logs: LogRecorder,
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException | None,
) -> None:
    watch = Watch(monkeypatch, failure)
    server = Server(settings, secret=SECRET, demo=True)
    await server.start()
    watch.begin()
    logs.expect("shutdown_step_failed")
    await server.stop()
    expected = [step.name for step in SHUTDOWN]
    assert watch.happened == expected
    failed = [line for line in logs.lines if line["event"] == "shutdown_step_failed"]
    assert [line["step"] for line in failed] == ([] if failure is None else expected)


START = [
    (MongoAccess, "open", 1),
    (LogStore, "open", 1),
    (LogStore, "open", 2),
    (LogStore, "open", 3),
    (Auditor, "start", 1),
    (Workers, "begin", 1),
    (Workers, "begin", 2),
    (Auditor, "adopt", 1),
    (MongoProposals, "prepare", 1),
    (OutboxRelay, "prepare", 1),
    (MongoLeases, "prepare", 1),
    (MongoProposals, "create", 1),
    (ProposalWriter, "settle_all", 1),
    (CompletionsServer, "start", 1),
    (PresenceFleet, "begin", 1),
    (Control, "hello", 1),
    (HTTPServer, "add_sockets", 2),
]
"""What a start does: whose method, and which of its calls."""


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("owner", "method", "call"), START, ids=[f"{one.__name__}.{name}" for one, name, _ in START]
)
async def test_a_start_that_fails_undoes_what_it_did(
    settings: Settings,
    logs: LogRecorder,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    method: str,
    call: int,
) -> None:
    original = getattr(owner, method)
    calls = 0

    def is_the_one() -> bool:
        nonlocal calls
        calls += 1
        return calls == call

    @functools.wraps(original)
    async def start_async(*given: Any, **named: Any) -> Any:
        result = await original(*given, **named)
        if is_the_one():
            raise StoreUnavailableError("broken")
        return result

    @functools.wraps(original)
    def start_sync(*given: Any, **named: Any) -> Any:
        result = original(*given, **named)
        if is_the_one():
            raise StoreUnavailableError("broken")
        return result

    is_async = inspect.iscoroutinefunction(original)
    monkeypatch.setattr(owner, method, start_async if is_async else start_sync)
    # The call that fails is to be the start's own, however slow the machine is.
    monkeypatch.setattr(interface, "QUICK_START_S", 600)
    before = files_open()
    server = Server(replace(settings, startup_wait_s=0), secret=SECRET, demo=True)
    with pytest.raises(StoreUnavailableError, match="broken"):
        await server.start()
    assert not await end_leftovers()
    # The driver's threads close their connections when they notice.
    await until(lambda: files_open() <= before, "nothing is left open")
    await server.stop()
    assert not [line for line in logs.lines if line["event"].startswith("shutdown_step")]


@pytest.mark.gen_test
async def test_a_start_that_mongodb_lets_down_at_its_end_is_tried_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, logs: LogRecorder
) -> None:
    original = Control.hello
    calls = 0

    async def fail_once(self: Control) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise StoreUnavailableError("broken")
        await original(self)

    monkeypatch.setattr(Control, "hello", fail_once)
    before = files_open()
    server = Server(settings, secret=SECRET, demo=True)
    await server.start()
    assert calls == 2
    assert server._base.readiness.problems() == {}
    await server.stop()
    assert not await end_leftovers()
    await until(lambda: files_open() <= before, "nothing is left open")
    assert [line["event"] for line in logs.lines].count("waiting_for_mongodb") == 1


def files_open() -> set[str]:
    """What this process has open: sockets, files, locks."""
    names = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            names.add(f"{link.name} {link.readlink()}")
    return names
