"""A mongod whose commands fail as a test tells them to."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo.errors import PyMongoError

from tests.support.processes import end, wait_until
from tests.support.replica_set import direct, free_ports, spawn_member

NAME = "failing"


class FailingMongod:
    """A replica set of one node.

    Attributes:
        uri: for the driver.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.uri = f"mongodb://127.0.0.1:{port}/?replicaSet={NAME}"

    def fail_once(self, command: str, namespace: str, data: Mapping[str, Any]) -> None:
        """Let the next such command on a collection fail, as `data` says.

        Args:
            command: its name.
            namespace: database and collection, with a dot between.
            data: see "failCommand" in MongoDB's description of its driver tests.
        """
        with direct(self._port) as client:
            client.admin.command(
                {
                    "configureFailPoint": "failCommand",
                    "mode": {"times": 1},
                    "data": {"failCommands": [command], "namespace": namespace, **data},
                }
            )

    @contextmanager
    def uncommitted_inserts(self, namespace: str) -> Iterator[None]:
        """Let what is inserted into a collection stay uncommitted meanwhile."""
        hold = {
            "configureFailPoint": "hangAfterCollectionInserts",
            "data": {"collectionNS": namespace},
        }
        with direct(self._port) as client:
            client.admin.command({**hold, "mode": "alwaysOn"})
            try:
                yield
            finally:
                client.admin.command({**hold, "mode": "off"})


@contextmanager
def failing_mongod(directory: Path) -> Iterator[FailingMongod]:
    """Run one for as long as it is used."""
    (port,) = free_ports(1)
    process, log = spawn_member(directory, port, NAME, "--setParameter", "enableTestCommands=1")
    members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]

    def is_primary() -> bool:
        try:
            with direct(port) as client:
                if not client.admin.command("hello").get("setName"):
                    client.admin.command({"replSetInitiate": {"_id": NAME, "members": members}})
                return bool(client.admin.command("hello").get("isWritablePrimary"))
        except PyMongoError:
            return False

    try:
        wait_until(is_primary, "a primary", timeout_s=60, explain=log.read_text)
        yield FailingMongod(port)
    finally:
        end(process)
