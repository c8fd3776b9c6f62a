"""Real workers: `rtserver serve`, each a process with a log that is looked at."""

import http.client
import json
import os
import re
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.forked import ForkedServer
from tests.support.processes import end, wait_until
from tests.support.tokens import SECRET

START_S = 60.0
QUICK_SETTINGS = {
    # Nothing should happen that a test did not ask for.
    "workspace_watch": "off",
    "jwt_secret": SECRET,
    "port": 0,
    "log_format": "json",
    "event_log_bytes": 16 * 1024 * 1024,
    "lease_s": 3,
    "shutdown_grace_s": 3,
}
"""What workers are started with unless a test says otherwise."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a worker's log.

    Attributes:
        text: as it was written.
        fields: its JSON; empty for a line that is none.
    """

    text: str
    fields: Mapping[str, Any]

    @property
    def event(self) -> str:
        """The event's name; the whole text of a line that is no JSON."""
        return str(self.fields.get("event", self.text))

    def is_alarm(self) -> bool:
        """Whether it tells of something that should not happen: errors, tracebacks, warnings."""
        return (
            self.fields.get("level") not in ("debug", "info", "warning")
            or "exception" in self.fields
            or self.fields.get("logger") == "py.warnings"
        )


class Worker:
    """One worker.

    Attributes:
        host, port: where it listens.
        settings: by attribute name, as it was started.
    """

    def __init__(
        self,
        log: Path,
        settings: Mapping[str, object],
        arguments: Iterable[str],
        command: str = "serve",
        network: Path | None = None,
    ) -> None:
        self.settings = dict(settings)
        self.host = str(settings.get("host", "127.0.0.1"))
        self.port = 0
        self._log = log
        self._read_to = 0
        self._told = False
        self._expected: set[str] = set()
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("RT_")}
        given = {f"RT_{name.upper()}": str(value) for name, value in settings.items()}
        self.process = ForkedServer(
            [command, *arguments],
            environ={**inherited, "PYTHONWARNINGS": "default", **given},
            stdout=log.with_suffix(".out"),
            stderr=log,
            network=network,
        )

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def wait_ready(self, timeout_s: float = START_S) -> "Worker":
        """Return when `/readyz` says that it serves.

        Raises:
            TimeoutError: it did not get there.
            RuntimeError: it ended.
        """
        wait_until(self._is_ready, "worker is ready", timeout_s=timeout_s, explain=self.log_text)
        return self

    def _is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"worker ended: {self.process.returncode}\n{self.log_text()}")
        if not self.port:
            ports = [line.fields["port"] for line in self.lines() if line.event == "serving"]
            if not ports:
                return False
            self.port = int(ports[0])
        return self.get_status("/readyz") == 200

    def get_status(self, path: str) -> int:
        """The status of a plain GET; 0 where nobody answers."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels, as `/metrics` shows it."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        try:
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
        finally:
            connection.close()
        values = [line.rpartition(" ")[2] for line in lines if re.match(rf"{name}[{{ ]", line)]
        return sum(map(float, values))

    def log_text(self) -> str:
        """All that it logged."""
        return self._log.read_text(errors="replace")

    def lines(self) -> list[LogLine]:
        """All that it logged, line by line; a line that is still being written is left out."""
        return log_lines(self.log_text())

    def logged(self, event: str) -> list[LogLine]:
        """The lines of one name."""
        return [line for line in self.lines() if line.event == event]

    def expect(self, *events: str) -> None:
        """Allow alarms of these names, from the last check on until the next."""
        self._expected.update(events)

    def unexpected(self) -> list[str]:
        """Alarms in the log since the last call that no test said it expects."""
        lines = self.lines()
        fresh, self._read_to = lines[self._read_to :], len(lines)
        alarms = [
            line.text for line in fresh if line.is_alarm() and line.event not in self._expected
        ]
        self._expected.clear()
        return alarms

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """SIGSTOP: it stands still, and keeps its connections."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM, without waiting. Once: a second one would end it at once."""
        if not self._told and self.process.poll() is None:
            self._told = True
            self.process.send_signal(signal.SIGTERM)

    def stop(self) -> list[str]:
        """End it in an orderly way, where it was not killed; what is wrong with how it ended."""
        self.terminate()
        if not end(self.process, tell=False):
            return [f"worker {self.pid} did not end on SIGTERM\n{self.log_text()}"]
        if self._told and self.process.returncode != 0:
            return [f"worker {self.pid} ended with {self.process.returncode}\n{self.log_text()}"]
        return []


def log_lines(text: str) -> list[LogLine]:
    """The lines of a log; one that is still being written is left out."""
    return [_line(line) for line in text.rpartition("\n")[0].splitlines()]


def _line(text: str) -> LogLine:
    try:
        fields = json.loads(text)
    except ValueError:
        fields = {}
    return LogLine(text, fields if isinstance(fields, dict) else {})


class Workers:
    """Starts workers on one database, ends them, and reports what they complained of.

    Attributes:
        settings: of every worker.
    """

    def __init__(self, directory: Path, settings: Mapping[str, object]) -> None:
        """Make a factory.

        Args:
            directory: for logs and data.
            settings: for every worker; those of `start` win.
        """
        self.directory = directory
        self.settings = {
            **QUICK_SETTINGS,
            "data_dir": directory / "var",
            "workspace_root": directory / "workspaces",
            **settings,
        }
        self.all: list[Worker] = []

    def launch(self, *arguments: str, **settings: object) -> Worker:
        """Start a worker and don't wait."""
        return self._launch("serve", arguments, settings)

    def launch_in(self, network: Path | None, **settings: object) -> Worker:
        """Start a worker in a network namespace, and don't wait."""
        return self._launch("serve", (), settings, network)

    def _launch(
        self,
        command: str,
        arguments: Iterable[str],
        settings: Mapping[str, object],
        network: Path | None = None,
    ) -> Worker:
        log = self.directory / f"worker-{len(self.all) + 1}.log"
        worker = Worker(log, {**self.settings, **settings}, arguments, command, network)
        self.all.append(worker)
        return worker

    def start(self, *arguments: str, **settings: object) -> Worker:
        """Start a worker; settings by attribute name: `ping_interval_s=0.2`."""
        return self.launch(*arguments, **settings).wait_ready()

    def start_many(self, count: int, **settings: object) -> list[Worker]:
        """Start several at once."""
        workers = [self.launch(**settings) for _ in range(count)]
        return [worker.wait_ready() for worker in workers]

    def start_masters(self, count: int, **settings: object) -> list[Worker]:
        """Start several, each behind a master that replaces it on SIGHUP."""
        masters = [self._launch("master", (), settings) for _ in range(count)]
        return [master.wait_ready() for master in masters]

    def expect(self, *events: str) -> None:
        """Allow alarms of these names on every worker, until the next check."""
        for worker in self.all:
            worker.expect(*events)

    def unexpected(self) -> list[str]:
        """What the workers logged since the last call that no test said it expects."""
        return [text for worker in self.all for text in worker.unexpected()]

    def stop(self) -> list[str]:
        """End all workers; what is wrong with how they ended."""
        for worker in self.all:
            worker.terminate()
        return [problem for worker in self.all for problem in worker.stop()]
