"""One private mongod for a whole test run, and a database of its own for each test."""

import itertools
import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from store.mongod.directory import Holder, MongodDir
from tests.support.forked import ForkedServer
from tests.support.processes import end, wait_until

_numbers = itertools.count(1)


class MongodProcess:
    """`rtserver mongod` on a data directory.

    Attributes:
        data_dir: the directory; workers that get it as `RT_DATA_DIR` find this mongod by
            themselves.
        uri: for `RT_MONGODB_URI`, while it runs.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._log = data_dir.with_name(data_dir.name + ".mongod.log")
        self.start()

    def start(self) -> None:
        """Start it, also again, and return when it takes writes."""
        environ = {name: text for name, text in os.environ.items() if not name.startswith("RT_")}
        self.process = ForkedServer(
            ["mongod"],
            environ={**environ, "RT_DATA_DIR": str(self.data_dir)},
            stdout=self._log,
            stderr=self._log,
        )
        directory = MongodDir(self.data_dir)
        holders: list[Holder] = []

        def ready() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(f"mongod did not start:\n{self._log.read_text()}")
            holder = directory.holder()
            if isinstance(holder, Holder) and holder.pid == self.process.pid and holder.uri:
                holders.append(holder)
            return bool(holders)

        wait_until(ready, "mongod", timeout_s=60, explain=self._log.read_text)
        self.uri = str(holders[0].uri)

    @property
    def mongod_pid(self) -> int:
        """Of mongod itself, as it wrote it."""
        return int((self.data_dir / "mongod" / "db" / "mongod.lock").read_text())

    def kill(self) -> None:
        """End mongod and the process that holds it with SIGKILL."""
        os.kill(self.mongod_pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it in an orderly way."""
        end(self.process)

    @contextmanager
    def client(self) -> Iterator["MongoClient[dict[str, Any]]"]:
        """A client for looking at, or damaging, what the server stored."""
        client: MongoClient[dict[str, Any]] = MongoClient(
            self.uri, w="majority", serverSelectionTimeoutMS=10_000
        )
        try:
            yield client
        finally:
            client.close()

    @contextmanager
    def fresh_database(self) -> Iterator[str]:
        """The name of a database that nobody has used; dropped in the end."""
        name = f"test_{next(_numbers)}_{secrets.token_hex(3)}"
        yield name
        if self.process.poll() is None:
            with self.client() as client:
                client.drop_database(name)
