"""`serve` and `mongod`: the commands that run until a signal ends them."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from rtserver.app.mongo import run_shared_mongod
from rtserver.app.server import Server
from rtserver.cli.signals import stop_signals
from rtserver.cli.token import demo_pages
from rtserver.config.settings import Settings
from rtserver.lib.gc_tuning import collect_now_and_then
from rtserver.lib.threads import exit_at_latest
from rtserver.model.errors import OperatorError

LEFTOVERS_S = 2.0
"""How long a process that has stopped waits for threads that are still at work."""

_log = structlog.get_logger()


async def _done_unless_stopped(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> bool:
    """Do some work, and give it up when a signal comes; whether it was done."""
    doing = asyncio.ensure_future(work)
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({doing, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
            return True
        return False
    finally:
        for task in (doing, waiting):
            task.cancel()
        await asyncio.gather(doing, waiting, return_exceptions=True)


async def serve(
    settings: Settings, *, secret: str | None, demo: bool, test_endpoints: bool = False
) -> int:
    """Run one worker until SIGTERM or SIGINT.

    Raises:
        OperatorError, OSError, StoreUnavailableError, KeyConfigurationError: it could not start.
    """
    for variable in settings.unknown_environment:
        _log.warning("unknown_setting", problem=str(variable))
    with stop_signals() as stop:
        server = Server(settings, secret=secret, demo=demo, test_endpoints=test_endpoints)
        try:
            if not await _done_unless_stopped(server.start(), stop):
                _log.info("stopping")
                return 0
            if demo and secret is not None:
                for line in demo_pages(settings, secret, server.port):
                    print(line, flush=True)
            await _done_unless_stopped(
                collect_now_and_then(server.features.audit.auditor.bring_to_disk), stop
            )
            _log.info("stopping")
        except OSError as error:
            raise OperatorError(
                f"cannot listen on {settings.host}:{settings.port} ({error.strerror}); "
                "set RT_PORT or RT_HOST to a free address of this host"
            ) from error
        finally:
            await server.stop()
            # All was said and stored. What is still under way is a thread that can't be ended.
            exit_at_latest(LEFTOVERS_S, 1)
    return 0


async def shared_mongod(settings: Settings) -> int:
    """Run the MongoDB that all workers of this host share, until SIGTERM or SIGINT.

    Raises:
        OperatorError: it cannot run.
    """
    with stop_signals() as stop:
        await _done_unless_stopped(run_shared_mongod(settings), stop)
    return 0
