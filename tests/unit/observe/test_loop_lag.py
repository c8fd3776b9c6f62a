import asyncio
import time
from contextlib import suppress

import pytest

from rtserver.observe.loop_lag import LoopLag
from rtserver.observe.metrics import MetricsRegistry
from tests.support.metrics import value_of


@pytest.mark.gen_test
async def test_a_blocked_event_loop_is_seen() -> None:
    registry = MetricsRegistry()
    watcher = asyncio.create_task(LoopLag(registry).watch(interval_s=0.01))
    try:
        async with asyncio.timeout(5):
            # A metric has no event to wait for.
            while not value_of(registry, "event_loop_lag_seconds_count"):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            time.sleep(0.2)  # noqa: ASYNC251 - the fault that is to be seen
            while value_of(registry, "event_loop_lag_max_seconds") < 0.15:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    finally:
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher
    assert value_of(registry, "event_loop_lag_seconds_sum") >= 0.15
