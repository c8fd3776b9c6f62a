"""How a start that fails is undone, and tried again."""

import contextlib
import functools
import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tornado.httpserver import HTTPServer

from rtserver.app import interface
from rtserver.app.logs import LogStore
from rtserver.app.mongo import MongoAccess
from rtserver.app.server import Server
from rtserver.audit.record.auditor import Auditor
from rtserver.audit.record.workers import Workers
from rtserver.config.settings import Settings
from rtserver.demo.completions_server import CompletionsServer
from rtserver.eventlog.worker_messages import Control
from rtserver.model.errors import StoreUnavailableError
from rtserver.presence.fleet import PresenceFleet
from rtserver.runs.files.write import ProposalWriter
from store.base.relay import OutboxRelay
from store.documents.connections import MongoLeases
from store.documents.proposals import MongoProposals
from tests.support.leftovers import end_leftovers
from tests.support.recorder import LogRecorder
from tests.support.tokens import SECRET
from tests.support.waiting import until

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
    full_settings: Settings,
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
    server = Server(replace(full_settings, startup_wait_s=0), secret=SECRET, demo=True)
    with pytest.raises(StoreUnavailableError, match="broken"):
        await server.start()
    assert not await end_leftovers()
    # The driver's threads close their connections when they notice.
    await until(lambda: files_open() <= before, "nothing is left open")
    await server.stop()
    assert not [line for line in logs.lines if line["event"].startswith("shutdown_step")]


@pytest.mark.gen_test
async def test_a_start_that_mongodb_lets_down_at_its_end_is_tried_again(
    full_settings: Settings, monkeypatch: pytest.MonkeyPatch, logs: LogRecorder
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
    server = Server(full_settings, secret=SECRET, demo=True)
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
