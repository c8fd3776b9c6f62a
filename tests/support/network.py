"""A network of namespaces: each has an address of its own, and may be cut off from any other.

A cut is silent, as that of a real network is: what is sent goes to a link address that nobody has.
It takes the rights to make namespaces, and `ip`, `unshare` and `nsenter`; see `enter_alone`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.processes import Child, spawn, wait_until
from tests.support.replica_set import Home

BRIDGE = "chaos0"
NETWORK = "10.231.7."
HERE = NETWORK + "1"
NOBODY = "02:00:00:00:00:01"
ALONE = "TEST_ALONE_IN_NETWORK"
COMMAND_S = 10.0


def enter_alone() -> bool:
    """Begin this program anew in a network namespace of its own; False where that can't be.

    It returns only there (True), or where there are no rights to it.
    """
    if os.environ.get(ALONE):
        return True
    if not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
        return False
    for way in (["unshare", "--net"], ["unshare", "--user", "--map-root-user", "--net"]):
        tried = subprocess.run([*way, "true"], capture_output=True, timeout=COMMAND_S, check=False)
        if tried.returncode == 0:
            os.environ[ALONE] = "1"
            os.execvp(way[0], [*way, sys.executable, *sys.orig_argv[1:]])
    return False


@dataclass
class Place:
    """A namespace.

    Attributes:
        host: its address.
        network: the file that names it.
        pid: of the process that keeps it.
    """

    host: str
    pid: int

    @property
    def network(self) -> Path:
        return Path(f"/proc/{self.pid}/ns/net")

    def is_apart(self) -> bool:
        """Whether it is another one than this process's."""
        return self.network.readlink() != Path("/proc/self/ns/net").readlink()

    @property
    def home(self) -> Home:
        return Home(self.host, ("nsenter", f"--net={self.network}", "--"))

    def ip(self, *arguments: str) -> None:
        _run("nsenter", f"--net={self.network}", "--", "ip", *arguments)


@dataclass
class Network:
    """Places by name, and this process, which is called `here`.

    Attributes:
        cuts: the pairs (from, to) between which nothing goes.
    """

    places: dict[str, Place] = field(default_factory=dict)
    cuts: set[tuple[str, str]] = field(default_factory=set)

    def cut(self, one: str, other: str) -> None:
        """Let nothing that one sends reach the other; the way back is another cut."""
        if (one, other) not in self.cuts:
            self.cuts.add((one, other))
            self._neighbour(one, other, "replace", "lladdr", NOBODY, "nud", "permanent")

    def mend(self, one: str, other: str) -> None:
        if (one, other) in self.cuts:
            self.cuts.remove((one, other))
            self._neighbour(one, other, "del")

    def mend_all(self) -> None:
        for one, other in sorted(self.cuts):
            self.mend(one, other)

    def _neighbour(self, one: str, other: str, what: str, *how: str) -> None:
        host = HERE if other == "here" else self.places[other].host
        if one == "here":
            _run("ip", "neigh", what, host, "dev", BRIDGE, *how)
        else:
            self.places[one].ip("neigh", what, host, "dev", "eth0", *how)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr}")


@contextmanager
def network_of(names: Sequence[str]) -> Iterator[Network]:
    """Make one for as long as it is used; this process has to be alone in its own."""
    made = Network()
    keepers: list[Child] = []
    with tempfile.TemporaryDirectory(prefix="rtserver-network-") as folder:
        log = Path(folder, "log")
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
        _run("ip", "addr", "add", f"{HERE}/24", "dev", BRIDGE)
        _run("ip", "link", "set", BRIDGE, "up")
        try:
            for number, name in enumerate(names, start=2):
                argv = ["unshare", "--net", "sleep", "infinity"]
                keeper = spawn(argv, environ=dict(os.environ), stdout=log, stderr=log)
                keepers.append(keeper)
                place = made.places[name] = Place(f"{NETWORK}{number}", keeper.pid)
                wait_until(place.is_apart, "a namespace")
                way = ["type", "veth", "peer", "name", "eth0", "netns", str(keeper.pid)]
                _run("ip", "link", "add", f"to{number}", *way)
                _run("ip", "link", "set", f"to{number}", "master", BRIDGE, "up")
                place.ip("addr", "add", f"{place.host}/24", "dev", "eth0")
                place.ip("link", "set", "eth0", "up")
                place.ip("link", "set", "lo", "up")
            yield made
        finally:
            for keeping in keepers:
                keeping.kill()
                keeping.wait()
            _run("ip", "link", "del", BRIDGE)
