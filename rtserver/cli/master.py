"""`master`: keeps a listening socket open, and behind it a worker that can be replaced.

SIGHUP starts another worker on the same socket; when it serves, the one before is told that it has
a successor (SIGUSR1), takes no more connections and sends its clients over. Both wait on the same
kernel queue meanwhile, so nobody is refused and nobody in the queue is dropped, as they would be
where each had a socket of its own (`SO_REUSEPORT`: what waits at a socket that is closed is reset).
A worker that does not come up changes nothing. SIGTERM and SIGINT end the worker, and the master.
Each worker reads `RT_ENV_FILE` for itself, so SIGHUP also changes settings, worker by worker.

Little is imported here: a master is there for each worker, and should start in no time.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog
from tornado.netutil import bind_sockets

from rtserver.cli.clean_start import (
    HANDED_OVER,
    PREFIX,
    memory_file,
    told_to,
    without_secrets,
)
from rtserver.cli.command_line import (
    FAILURE,
    SUCCESS,
    USAGE,
    Parser,
    add_server_flags,
    cannot_listen,
    complain,
)
from rtserver.config.engine import SettingError, flags_of
from rtserver.config.settings import SETTING_SPECS, Settings
from rtserver.lib.service_notify import notify
from rtserver.observe.log_output import configure_logs

MASTER_HELP = "run one worker, and replace it on SIGHUP without a refused connection"
COME_UP_S = 60.0
"""A worker may take so long to serve beyond its waits for MongoDB."""
READY = b"READY=1"
PR_SET_PDEATHSIG = 1
WORKER = (sys.executable, "-m", "rtserver")

_log = structlog.get_logger()


class _Worker:
    """A worker that the master started, with tasks that are over when it serves, and ends."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        notified: socket.socket,
        *,
        ready_s: float,
        changed: Callable[[object], None],
    ) -> None:
        self.process = process
        self.ready = asyncio.ensure_future(_wait_ready(notified, ready_s))
        self.ended = asyncio.ensure_future(process.wait())
        self.ready.add_done_callback(changed)
        self.ended.add_done_callback(changed)
        self.ended.add_done_callback(lambda _: self.ready.cancel())

    def serves(self) -> bool:
        """Whether it said that it does."""
        task = self.ready
        return task.done() and not task.cancelled() and task.exception() is None

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)


async def _wait_ready(notified: socket.socket, timeout_s: float) -> None:
    """Return when a worker says that it serves, as sd_notify(3) has it.

    Raises:
        TimeoutError: it did not in time.
    """
    loop = asyncio.get_running_loop()
    with notified:
        async with asyncio.timeout(timeout_s):
            while READY not in (await loop.sock_recv(notified, 4096)).splitlines():
                pass


class Master:
    """See the module."""

    def __init__(
        self,
        told: bytes,
        listen_fds: Sequence[int],
        *,
        ready_s: float,
        directory: Path,
        program: Sequence[str] = WORKER,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Make it; `run` starts the first worker.

        Args:
            told: what each worker is told, see `rtserver.cli.clean_start`.
            listen_fds: what it inherits.
            ready_s: how long one may take until it serves.
            directory: for the sockets on which workers say that they serve.
            program: what a worker is.
            on_ready: called once, when the first worker serves.
        """
        self._on_ready = on_ready
        self._told = told
        self._listen_fds = tuple(listen_fds)
        self._ready_s = ready_s
        self._directory = directory
        self._program = program
        self._started = 0
        self._stops = self._replaces = False
        self._changed = asyncio.Event()

    def stop(self) -> None:
        """End the worker, and `run` with it."""
        self._stops = True
        self._changed.set()

    def replace(self) -> None:
        """Put another worker in the worker's place. One that is being put there is not enough."""
        self._replaces = True
        self._changed.set()

    async def run(self) -> int:
        """Keep a worker until `stop`; the exit status of the last one.

        A worker that ends by itself ends the master too: its parent decides what then.
        """
        worker = await self._start()
        successor: _Worker | None = None
        leaving: _Worker | None = None
        has_said_ready = False
        while not (self._stops or worker.ended.done()):
            await self._changed.wait()
            self._changed.clear()
            if worker.serves() and not has_said_ready:
                has_said_ready = True
                self._on_ready()
            if leaving is not None and leaving.ended.done():
                leaving = None
            if successor is not None and (successor.ready.done() or successor.ended.done()):
                if successor.serves():
                    worker.tell(signal.SIGUSR1)
                    worker, leaving = successor, worker
                    _log.info("worker_replaced", pid=leaving.process.pid, by=worker.process.pid)
                else:
                    leaving = successor
                    leaving.tell(signal.SIGTERM)
                    _log.error(
                        "worker_not_replaced",
                        pid=worker.process.pid,
                        status=leaving.process.returncode,
                        hint="the new worker's own log says why; the one before goes on",
                    )
                successor = None
            elif self._replaces and successor is None and leaving is None:
                self._replaces = False
                successor = await self._start()
                _log.info("worker_replacing", pid=worker.process.pid, by=successor.process.pid)
        for one in (worker, successor):
            if one is not None:
                one.tell(signal.SIGTERM)
        for one in (leaving, successor, worker):
            if one is not None:  # it has a time limit of its own
                await one.ended
        status = worker.ended.result()
        return status if status >= 0 else 128 - status

    async def _start(self) -> _Worker:
        self._started += 1
        address = self._directory / str(self._started)
        notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notified.bind(str(address))
        notified.setblocking(False)
        master = os.getpid()
        fd = memory_file(self._told)

        def end_with_master() -> None:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != master:
                os._exit(1)

        try:
            process = await asyncio.create_subprocess_exec(
                *self._program,
                *without_secrets(json.loads(self._told)["arguments"]),
                pass_fds=(*self._listen_fds, fd),
                preexec_fn=end_with_master,
                env={**os.environ, "NOTIFY_SOCKET": str(address), HANDED_OVER: str(fd)},
            )
        finally:
            os.close(fd)
        return _Worker(
            process,
            notified,
            ready_s=self._ready_s,
            changed=lambda _: self._changed.set(),
        )


async def _run(master: Master) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, master.stop)
    loop.add_signal_handler(signal.SIGHUP, master.replace)
    return await master.run()


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `master`; its exit status.

    Args:
        arguments: the command and its arguments.
        environ: where the settings are.
    """
    parser = Parser(prog="python -m rtserver master", description=MASTER_HELP)
    add_server_flags(parser)
    try:
        given = parser.parse_args(arguments[1:])
        settings = Settings.load(environ, flags_of(given, SETTING_SPECS))
    except SystemExit as stop:
        return SUCCESS if stop.code == 0 else USAGE
    except SettingError as error:
        return complain(str(error), USAGE)
    configure_logs(settings.log_format, settings.log_level, settings.secrets)
    try:
        sockets = bind_sockets(settings.port, settings.host)
    except OSError as error:
        return complain(cannot_listen(settings, error), FAILURE)
    _log.info("listening", host=settings.host, port=sockets[0].getsockname()[1])
    fds = [one.fileno() for one in sockets]
    told = {name: text for name, text in environ.items() if name.startswith(PREFIX)}
    told["RT_LISTEN_FDS"] = ",".join(map(str, fds))
    with contextlib.ExitStack() as stack:
        for one in sockets:
            stack.enter_context(one)
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="rtserver-master-"))
        master = Master(
            told_to(["serve", *arguments[1:]], told),
            fds,
            ready_s=settings.startup_wait_s + settings.shared_mongod_wait_s + COME_UP_S,
            directory=Path(directory),
            on_ready=lambda: notify(READY),
        )
        return asyncio.run(_run(master))
