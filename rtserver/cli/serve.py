"""`serve` and `mongod`: the commands that run until a signal ends them."""

import asyncio
import os
import signal
import time
from collections.abc import Callable

import structlog

from rtserver.app.mongo import run_shared_mongod
from rtserver.app.server import Server
from rtserver.cli.command_line import cannot_listen
from rtserver.cli.reload import Reload
from rtserver.cli.signals import done_unless_stopped, stop_signals
from rtserver.cli.token import demo_pages
from rtserver.config.settings import Settings
from rtserver.lib.exit_deadline import ExitDeadline
from rtserver.lib.gc_tuning import collect_now_and_then
from rtserver.lib.service_notify import notify
from rtserver.model.errors import OperatorError

BLOCKED_S = 1.0
"""Beyond the grace period, for a worker whose event loop does not even begin to shut down."""
ORDERLY_S = 5.0
"""The same for one that is at it: steps that come last have a moment each."""
THREADS_S = 0.5
"""The same for threads, once all else has ended."""
STDIN_FD = 0
_log = structlog.get_logger()


async def serve(
    settings: Settings,
    *,
    secret: str | None,
    demo: bool,
    test_endpoints: bool = False,
    reread: Callable[[], Settings],
) -> int:
    """Run one worker until SIGTERM or SIGINT. SIGHUP has it read its settings again.

    The process ends soon after the grace period also where a thread of it does not.

    Raises:
        OperatorError, OSError, StoreUnavailableError, KeyConfigurationError: it could not start.
    """
    for variable in settings.unknown_environment:
        _log.warning("unknown_setting", problem=str(variable))
    grace_s = settings.shutdown_grace_s
    deadline = ExitDeadline(asyncio.get_running_loop())
    with stop_signals(deadline, grace_s + BLOCKED_S) as stop:
        server = Server(settings, secret=secret, demo=demo, test_endpoints=test_endpoints)
        reload = Reload(settings, reread, server.take_limits)
        if not os.isatty(STDIN_FD):  # where there is a terminal, its end is the server's
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.run)
        try:
            if not await done_unless_stopped(server.start(), stop):
                _log.info("stopping")
                return 0
            if demo and secret is not None:
                for line in demo_pages(settings, secret, server.port):
                    print(line, flush=True)
            notify(b"READY=1")
            await done_unless_stopped(
                collect_now_and_then(server.features.audit.auditor.bring_to_disk), stop
            )
            _log.info("stopping")
        except OSError as error:
            raise OperatorError(cannot_listen(settings, error)) from error
        finally:
            began_s = time.monotonic()
            deadline.set(grace_s + ORDERLY_S)
            await server.stop(has_successor=stop.has_successor)
            # What is still to come is waiting for threads.
            deadline.set(max(0.0, began_s + grace_s - time.monotonic()) + THREADS_S)
    return 0


async def shared_mongod(settings: Settings) -> int:
    """Run the MongoDB that all workers of this host share, until SIGTERM or SIGINT.

    Raises:
        OperatorError: it cannot run.
    """
    with stop_signals() as stop:
        await done_unless_stopped(run_shared_mongod(settings), stop)
    return 0
