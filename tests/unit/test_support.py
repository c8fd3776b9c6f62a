"""The checks that hold for every test: one that cannot fail would be worse than none."""

import asyncio
import logging
from types import SimpleNamespace

import pytest
import structlog

from tests.support.leftovers import end_leftovers
from tests.support.recorder import LogRecorder, recording
from tests.support.scheduling import BrowsersInHalf
from tests.support.workers import LogLine


def test_errors_in_the_log_are_seen_unless_expected(logs: LogRecorder) -> None:
    logs.expect("some.library", "another.library")
    with recording() as recorder:
        recorder.expect("foreseen", "some.library")
        structlog.get_logger().error("foreseen")
        logging.getLogger("some.library").error("also foreseen")
        structlog.get_logger().warning("no error", fact=1)
        assert recorder.unexpected() == []
        structlog.get_logger().error("surprise")
        try:
            raise ValueError("of a block that logs it")
        except ValueError:
            structlog.get_logger().exception("fault")
        logging.getLogger("another.library").error("loud")
    assert [line["event"] for line in recorder.lines] == [
        "foreseen",
        "no error",
        "surprise",
        "fault",
    ]
    assert len(recorder.unexpected()) == 3


@pytest.mark.gen_test
async def test_task_that_goes_on_is_found_and_ended() -> None:
    async def end_soon() -> None:
        await asyncio.sleep(0.01)

    soon = asyncio.create_task(end_soon(), name="soon")
    never = asyncio.create_task(asyncio.Event().wait(), name="never")
    (left,) = await end_leftovers()
    assert left.startswith("never")
    assert soon.done()
    assert never.cancelled()


@pytest.mark.parametrize(
    ("fields", "alarm"),
    [
        ({"level": "warning", "event": "tail_lost"}, False),
        ({"level": "info", "event": "serving"}, False),
        ({"level": "error", "event": "log_lost"}, True),
        ({"level": "warning", "event": "x", "exception": "Traceback"}, True),
        ({"level": "warning", "event": "x", "logger": "py.warnings"}, True),
        ({}, True),
    ],
)
def test_alarms_in_a_worker_s_log(fields: dict[str, str], alarm: bool) -> None:
    assert LogLine("text", fields).is_alarm() is alarm


class _Process:
    """One of a run's processes, which is told what to run.

    Attributes:
        files: of the tests that it was told to run, in order.
    """

    shutting_down = False

    def __init__(self, name: str, tests: list[str]) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.tests = tests
        self.files: list[str] = []

    def send_runtest_some(self, indexes: list[int]) -> None:
        self.files += [self.tests[index].partition("::")[0] for index in indexes]

    def shutdown(self) -> None:
        self.shutting_down = True


def test_half_of_the_processes_take_browser_tests_and_none_waits_for_work() -> None:
    browser = [f"tests/browser/test_{n}.py" for n in range(3)]
    others = [f"tests/unit/test_{n}.py" for n in range(9)]
    tests = [f"{file}::test" for file in (*browser, *others)]
    option = SimpleNamespace(loadscopereorder=False)
    config = SimpleNamespace(option=option, getvalue=lambda _name: ["5*popen"])
    scheduler = BrowsersInHalf(config)
    processes = [_Process(f"gw{n}", tests) for n in range(5)]
    for process in processes:
        scheduler.add_node(process)
        scheduler.add_node_collection(process, tests)
    scheduler.schedule()
    assert [process.files[0] for process in processes] == browser[:2] + others[:3]
    while running := [one for one in processes if scheduler.assigned_work[one]]:
        for process in running:
            for file in list(scheduler.assigned_work[process]):
                scheduler.mark_test_complete(process, tests.index(f"{file}::test"))
                del scheduler.assigned_work[process][file]
    assert sorted(file for process in processes for file in process.files) == browser + others
    assert [process for process in processes if set(process.files) & set(browser)] == processes[:2]
    assert set(processes[0].files) & set(others)
