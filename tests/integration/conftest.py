"""Two workers that most integration tests share: starting some for each test would take minutes."""

import itertools
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import validator_script
from tests.support.mongo import MongodProcess
from tests.support.workers import Worker, Workers

ALLOWED_ORIGIN = "https://app.example.com"
VALIDATION_COMMAND = shlex.join(
    [sys.executable, "-I", "-S", str(Path(validator_script.__file__)), "{proposal_id}"]
)

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two workers on one database, with the limits that the server has by default.

    Tests take projects and users of their own, so that none is in another's way.
    """

    one: Worker
    other: Worker
    workspaces: Path

    def workspace(self, project_id: str) -> Path:
        """Make a project's workspace."""
        path = self.workspaces / project_id
        path.mkdir(parents=True, exist_ok=True)
        return path

    def expect(self, *events: str) -> None:
        """Allow alarms of these names in the workers' logs, during this test."""
        self.one.expect(*events)
        self.other.expect(*events)


@pytest.fixture(scope="package")
def _pair_workers(
    mongod: MongodProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workers]:
    directory = tmp_path_factory.mktemp("pair")
    with mongod.fresh_database() as name:
        workers = Workers(
            directory,
            {
                "mongodb_uri": mongod.uri,
                "mongodb_database": name,
                "allowed_origins": ALLOWED_ORIGIN,
                "validation_command": VALIDATION_COMMAND,
                "validation_report_command": "",
                # None of these is killed. They are idle most of the time, and ask MongoDB less so.
                "lease_s": 30,
                # Workspaces are no repositories unless a test makes them.
                "git": "commit",
            },
        )
        yield workers
        problems = workers.stop() + workers.unexpected()
    if problems:
        pytest.fail("workers had problems:\n" + "\n".join(problems))


@pytest.fixture(scope="package")
def _pair(_pair_workers: Workers) -> Pair:
    one, other = _pair_workers.start_many(2)
    return Pair(one, other, _pair_workers.directory / "workspaces")


@pytest.fixture
def pair(_pair_workers: Workers, _pair: Pair) -> Iterator[Pair]:
    yield _pair
    alarms = _pair_workers.unexpected()
    if alarms:
        pytest.fail("workers logged errors:\n" + "\n".join(alarms))


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    """A project id that no other test has."""
    name = re.sub(r"[^a-z0-9_]+", "-", str(request.node.name).lower()).strip("-")
    return f"{name[:100]}-{next(_numbers)}"
