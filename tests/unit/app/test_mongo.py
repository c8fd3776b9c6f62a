"""How a process gets at MongoDB."""

import asyncio

import pytest
from pymongo.errors import AutoReconnect, ExecutionTimeout, OperationFailure

from rtserver.app.mongo import MongoAccess, PatientStart
from rtserver.config.settings import Settings
from rtserver.lib.shutdown import Shutdown
from rtserver.model.errors import OperatorError, StoreUnavailableError
from store.log.access import DriverAccess
from store.log.wire_access import WireAccess
from tests.support.recorder import LogRecorder
from tests.support.warp import run

NOBODY = "mongodb://127.0.0.1:1/?directConnection=true"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("uri", "way"), [(NOBODY, WireAccess), (f"{NOBODY}&tls=true", DriverAccess)]
)
async def test_the_log_has_its_own_connections_where_that_goes(uri: str, way: type) -> None:
    environ = {"RT_MONGODB_URI": uri}
    access = MongoAccess(Settings.load(environ, {}))
    try:
        await access.open()
        assert type(access.log_access()) is way
    finally:
        await access.close()


class Starts:
    """A start that fails for these reasons, one after the other, and then goes well."""

    def __init__(self, shutdown: Shutdown, *failures: Exception) -> None:
        self._shutdown = shutdown
        self._failures = list(failures)
        self.done = 0
        self.undone = 0

    async def __call__(self) -> str:
        self.done += 1
        self._shutdown.push("part", self._undo)
        await asyncio.sleep(5)
        if self._failures:
            raise self._failures.pop(0)
        return "started"

    def _undo(self) -> None:
        assert self._shutdown.has_begun  # nobody takes the end of a part for an outage
        self.undone += 1


def _unheard() -> None:
    """Nobody is to be told."""


def test_a_start_waits_for_mongodb_and_undoes_what_it_let_down(logs: LogRecorder) -> None:
    """A worker that was started while MongoDB had no majority ended within seconds."""

    async def start() -> None:
        shutdown = Shutdown(grace_s=1)
        shutdown.push("before", lambda: pytest.fail("this was started before"))
        starts = Starts(
            shutdown,
            AutoReconnect("nobody there"),
            AutoReconnect("nobody there"),
            ExecutionTimeout("no majority", 50),
            StoreUnavailableError("the log could not be tailed"),
        )
        told: list[int] = []
        patient = PatientStart(shutdown, wait_s=60, on_missing=lambda: told.append(starts.done))
        assert patient.problem() == "the worker is starting"
        assert await patient.run(starts) == "started"
        assert (starts.done, starts.undone) == (5, 4)
        assert told == [1, 2, 3, 4]  # clients hear of it with the first
        assert not shutdown.has_begun
        assert shutdown.problem() is None

    run(start())
    assert [line["event"] for line in logs.lines] == [*["waiting_for_mongodb"] * 3, "mongodb_there"]
    problems = [line.get("problem") for line in logs.lines]
    assert problems[0] == problems[2] == "MongoDB does not answer"
    assert "no majority" in str(problems[1])


def test_the_wait_is_bounded_and_what_is_no_outage_is_not_waited_for() -> None:
    async def start() -> None:
        clock = asyncio.get_running_loop().time
        shutdown = Shutdown(grace_s=1)
        starts = Starts(shutdown, *[AutoReconnect("nobody there")] * 100)
        with pytest.raises(OperatorError, match="MongoDB does not answer"):
            await PatientStart(shutdown, wait_s=60, on_missing=_unheard).run(starts)
        assert 55 <= clock() <= 65
        for error in (OperationFailure("auth failed", 18), AutoReconnect("nobody there")):
            starts = Starts(shutdown, error)
            with pytest.raises(OperatorError):
                await PatientStart(shutdown, wait_s=3, on_missing=_unheard).run(starts)
            assert starts.done == 1
        starts = Starts(shutdown, StoreUnavailableError("broken"))
        with pytest.raises(StoreUnavailableError, match="broken"):
            await PatientStart(shutdown, wait_s=0, on_missing=_unheard).run(starts)

    run(start())
