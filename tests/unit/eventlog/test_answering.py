"""`rtserver.eventlog.answering`, on a clock that jumps."""

import asyncio

import pytest

from rtserver.eventlog.answering import SECOND_LOOK_S, SILENT_S, Answering
from rtserver.model.errors import StoreUnavailableError
from tests.support.recorder import LogRecorder
from tests.support.warp import run


async def waited_s(answering: Answering) -> float:
    """How long somebody waits for what never comes."""
    clock = asyncio.get_running_loop().time
    began_s = clock()
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        async with answering.required():
            await asyncio.sleep(1000)
    return clock() - began_s


def test_who_waits_is_told_within_five_seconds_and_who_comes_later_at_once(
    logs: LogRecorder,
) -> None:
    """Opening a session on a primary that hung took twenty seconds."""

    async def hang() -> None:
        answering = Answering()
        answering.asked()
        assert await waited_s(answering) == SILENT_S + SECOND_LOOK_S < 5
        assert answering.problem() == "MongoDB does not answer"
        assert await waited_s(answering) == 0
        answering.answered()
        assert answering.problem() is None
        async with answering.required():
            await asyncio.sleep(SILENT_S * 2)
        answering.asked()
        await asyncio.sleep(SILENT_S * 2)
        assert answering.problem() is not None

    run(hang())
    assert [line["event"] for line in logs.lines] == ["mongodb_silent"] * 2


def test_what_is_answered_in_time_is_no_silence() -> None:
    async def answer() -> None:
        answering = Answering()
        for _ in range(20):
            answering.asked()
            await asyncio.sleep(SILENT_S - 1)
            answering.asked()  # the same that is asked for again
            await asyncio.sleep(1 + SECOND_LOOK_S / 2)  # it came, and had only to be read
            answering.answered()
            assert answering.problem() is None
        await asyncio.sleep(100)
        assert answering.problem() is None

    run(answer())


def test_other_failures_of_those_who_wait_are_theirs() -> None:
    async def fail() -> None:
        answering = Answering()
        with pytest.raises(TimeoutError):
            async with answering.required(), asyncio.timeout(1):
                await asyncio.sleep(1000)
        answering.asked()
        with pytest.raises(KeyError):
            async with answering.required():
                raise KeyError
        await asyncio.sleep(SILENT_S * 2)  # and nobody who has gone is disturbed
        assert answering.problem() is not None

    run(fail())
