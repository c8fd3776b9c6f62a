"""What is put under faults: three mongods as a replica set, and workers that are started again."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.conftest import VALIDATION_COMMAND
from tests.support.network import Network, network_of
from tests.support.replica_set import ReplicaSet, three_mongods
from tests.support.workers import Worker, Workers

MONGODS = ("m1", "m2", "m3")
WORKERS = ("w1", "w2", "w3")
LEASE_S = 3
ELECTION_TIMEOUT_MS = 3_000
SETTINGS: dict[str, object] = {
    "lease_s": LEASE_S,
    "lock_lease_s": LEASE_S,  # so long a lock that ran out is kept after an outage
    "ping_interval_s": 1,
    "pong_timeout_s": 2,
    "event_log_bytes": 256 * 1024 * 1024,
    "audit_log_bytes": 64 * 1024 * 1024,
    "audit_anchor_interval_s": 5,
    "validation_command": VALIDATION_COMMAND,
    "validation_report_command": "",
    "shutdown_grace_s": 2,
}


@dataclass
class Cluster:
    """The cluster.

    Attributes:
        network: the namespaces; None where there are no rights to them. Then nothing is cut off.
        living: the workers that were not killed, by name.
        paused: what stands still, by name.
        down: the mongods that were killed, by name.
    """

    mongods: ReplicaSet
    workers: Workers
    network: Network | None
    living: dict[str, Worker] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    down: set[str] = field(default_factory=set)
    known: dict[str, str] = field(default_factory=dict)

    @property
    def addresses(self) -> list[str]:
        """Where clients knock: those of the workers, also of those that stand still or are gone."""
        return list(self.known.values())

    def name_at(self, address: str) -> str:
        return next(name for name, known in self.known.items() if known == address)

    def start_workers(self, names: Sequence[str]) -> None:
        for name in names:
            place = None if self.network is None else self.network.places[name]
            host: dict[str, object] = {} if place is None else {"host": place.host}
            self.living[name] = self.workers.launch_in(
                None if place is None else place.network, **host
            )
        for name in names:
            self.known[name] = self.living[name].wait_ready().address

    def kill_worker(self, name: str) -> None:
        self.paused.discard(name)
        self.living.pop(name).kill()

    def port(self, mongod: str) -> int:
        return self.mongods.ports[MONGODS.index(mongod)]

    def primary(self) -> str | None:
        """The mongod that takes writes, if it is known at once."""
        return next((name for name in MONGODS if self.mongods.is_primary(self.port(name))), None)

    def kill_mongod(self, name: str) -> None:
        self.paused.discard(name)
        self.down.add(name)
        self.mongods.kill(self.port(name))

    def start_mongod(self, name: str) -> None:
        self.mongods.start_member(self.port(name))
        self.down.discard(name)

    def pause(self, name: str) -> None:
        self.paused.add(name)
        if name in MONGODS:
            self.mongods.pause(self.port(name))
        else:
            self.living[name].pause()

    def resume(self, name: str) -> None:
        if name in self.paused:
            self.paused.discard(name)
            if name in MONGODS:
                self.mongods.resume(self.port(name))
            else:
                self.living[name].resume()

    def heal(self) -> None:
        """Mend all that is broken, and return when every worker is ready."""
        if self.network is not None:
            self.network.mend_all()
        for name in list(self.paused):
            self.resume(name)
        for name in list(self.down):
            self.start_mongod(name)
        self.start_workers([name for name in WORKERS if name not in self.living])
        self.mongods.primary()
        for worker in self.living.values():
            worker.wait_ready()


@contextmanager
def mongods(network: Network | None) -> Iterator[ReplicaSet]:
    """A replica set, each member in its namespace where there are any."""
    homes = {} if network is None else {"homes": [network.places[one].home for one in MONGODS]}
    with three_mongods(election_timeout_ms=ELECTION_TIMEOUT_MS, **homes) as three:
        yield three


@contextmanager
def networked(*, apart: bool) -> Iterator[Network | None]:
    """The namespaces, if this process is apart from the machine's own."""
    if not apart:
        yield None
        return
    with network_of([*MONGODS, *WORKERS]) as network:
        yield network


@contextmanager
def cluster(
    three: ReplicaSet,
    network: Network | None,
    directory: Path,
    database: str,
    limits: Mapping[str, object],
    projects: Sequence[str],
) -> Iterator[Cluster]:
    """Workers on a database of their own."""
    directory.mkdir(parents=True, exist_ok=True)
    settings = {**SETTINGS, **limits, "mongodb_uri": three.uri, "mongodb_database": database}
    workers = Workers(directory, settings)
    for project_id in projects:  # a validator runs in the project's folder
        Path(directory, "workspaces", project_id).mkdir(parents=True)
    made = Cluster(three, workers, network)
    made.start_workers(WORKERS)
    try:
        yield made
    finally:
        for name in list(made.paused):
            made.resume(name)
        for worker in made.living.values():
            worker.kill()  # how they end in order is another test's
