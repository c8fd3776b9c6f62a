"""Fixtures of all tests. What they are made of is in tests/support/.

- `mongod`: one private mongod for each process of a run, of which `make test` has several.
  `database`: a fresh name on it for each test.
- `workers`: starts real worker processes for one test, `module_workers` for the tests of a file.
  After each test their logs must hold no error, unless the test said `expect("event_name")`.
- `io_loop`: pytest-tornado's; a test that leaves a task on it fails.
- `logs`: what in-process code logs (automatic); an error fails the test, unless it said
  `logs.expect("event_name")`.
- `server`: a whole worker within the test's own loop, for what can only be seen from inside.
"""

import asyncio
import tempfile
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from tornado.ioloop import IOLoop
from xdist.remote import Producer

from rtserver.app.server import Server
from rtserver.config.settings import Settings
from tests.support.leftovers import end_leftovers
from tests.support.memory import folder_in_memory
from tests.support.mongo import MongodProcess
from tests.support.recorder import LogRecorder, recording
from tests.support.scheduling import BrowsersInHalf
from tests.support.tokens import SECRET
from tests.support.workers import QUICK_SETTINGS, Workers

TEST_TIMEOUT_S = 60.0
"""Of a `gen_test` that names none; generous, for a machine that does other things too."""
SHOWN_LINES = 60
"""Of each log, with a failure."""


def pytest_configure(config: pytest.Config) -> None:
    """Replace pytest-tornado's 5 s, and let no slow moment of the machine fail a property."""
    config.option.async_test_timeout = max(config.option.async_test_timeout, TEST_TIMEOUT_S)
    hypothesis_settings.register_profile("rtserver", deadline=None)
    hypothesis_settings.load_profile("rtserver")
    # Without it Tornado's IOLoop makes itself another loop to go back to, which nobody closes.
    asyncio.set_event_loop(None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> BrowsersInHalf | None:
    """Refine `--dist loadfile`, of `make test`."""
    return BrowsersInHalf(config, log) if config.option.dist == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the servers were doing: it may not come again."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        given = item.funcargs.values()
        for recorder in (value for value in given if isinstance(value, LogRecorder)):
            report.sections.append(("logged in process", _last(map(str, recorder.lines))))
        factories = {id(value): value for value in given if isinstance(value, Workers)}
        for worker in (one for factory in factories.values() for one in factory.all):
            title = f"logged by worker {worker.pid}"
            report.sections.append((title, _last(line.text for line in worker.lines())))
    return report


def _last(lines: Iterable[str]) -> str:
    return "\n".join(deque(lines, maxlen=SHOWN_LINES))


@pytest.fixture(autouse=True)
def logs() -> Iterator[LogRecorder]:
    with recording() as recorder:
        yield recorder
    errors = recorder.unexpected()
    if errors:
        pytest.fail("errors were logged:\n" + "\n".join(errors))


@pytest.fixture
def io_loop(io_loop: IOLoop) -> Iterator[IOLoop]:
    yield io_loop
    left = io_loop.run_sync(end_leftovers)
    io_loop.run_sync(_shut_down_generators)
    if left:
        pytest.fail("tasks were left behind:\n" + "\n".join(left))


async def _shut_down_generators() -> None:
    await asyncio.get_running_loop().shutdown_asyncgens()


@pytest.fixture(scope="session")
def mongod() -> Iterator[MongodProcess]:
    with tempfile.TemporaryDirectory(
        prefix="rtserver-mongod-", dir=folder_in_memory()
    ) as directory:
        process = MongodProcess(Path(directory) / "var")
        try:
            yield process
        finally:
            process.stop()


@pytest.fixture
def database(mongod: MongodProcess) -> Iterator[str]:
    with mongod.fresh_database() as name:
        yield name


@pytest.fixture
def workers(mongod: MongodProcess, database: str, tmp_path: Path) -> Iterator[Workers]:
    """Workers of one test, on its database."""
    factory = Workers(tmp_path, {"mongodb_uri": mongod.uri, "mongodb_database": database})
    yield factory
    problems = factory.stop() + factory.unexpected()
    if problems:
        pytest.fail("workers had problems:\n" + "\n".join(problems))


@pytest.fixture(scope="module")
def _module_workers(
    mongod: MongodProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workers]:
    with mongod.fresh_database() as name:
        factory = Workers(
            tmp_path_factory.mktemp("workers"),
            {"mongodb_uri": mongod.uri, "mongodb_database": name},
        )
        yield factory
        problems = factory.stop() + factory.unexpected()
    if problems:
        pytest.fail("workers had problems:\n" + "\n".join(problems))


@pytest.fixture
def module_workers(_module_workers: Workers) -> Iterator[Workers]:
    """Workers that the tests of a file share; take projects and users of your own."""
    yield _module_workers
    alarms = _module_workers.unexpected()
    if alarms:
        pytest.fail("workers logged errors:\n" + "\n".join(alarms))


@pytest.fixture
def server_settings() -> dict[str, object]:
    """Settings of `server` beyond the usual; a test or file overrides this fixture."""
    return {}


@pytest.fixture
def server(
    io_loop: IOLoop,
    mongod: MongodProcess,
    database: str,
    tmp_path: Path,
    server_settings: dict[str, object],
) -> Iterator[Server]:
    """A worker in the test's own loop; `server.port` is where it listens."""
    given = {
        **QUICK_SETTINGS,
        "mongodb_uri": mongod.uri,
        "mongodb_database": database,
        "data_dir": tmp_path / "var",
        "workspace_root": tmp_path / "workspaces",
        **server_settings,
    }
    settings = Settings.load({f"RT_{name.upper()}": str(text) for name, text in given.items()}, {})
    one = Server(settings, secret=SECRET)
    io_loop.run_sync(one.start)
    try:
        yield one
    finally:
        io_loop.run_sync(one.stop)
