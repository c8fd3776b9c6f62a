"""The checks that hold for every test: one that cannot fail would be worse than none."""

import asyncio
import logging

import pytest
import structlog

from tests.support.leftovers import end_leftovers
from tests.support.recorder import LogRecorder, recording
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
