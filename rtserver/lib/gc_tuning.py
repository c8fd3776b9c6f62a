"""GC tuning: freeze long-lived objects, collect at fixed intervals.

Left alone, Python's cyclic collector took over 40 % of a fan-out to 2,000 sockets. With thresholds
that stop that, its older generations would about never be collected, and objects in a cycle would
stay for good: of each iteration some 17 KiB. So all generations are collected on a timer, less
often where that takes long.
A full collection holds up every thread of the process, so what must not wait is done before it.
"""

import asyncio
import gc
import time
from collections.abc import Callable
from typing import NoReturn

import structlog

THRESHOLDS = (50_000, 50, 100)
INTERVAL_S = 30.0
MAX_SHARE = 0.002
"""Of the time of the event loop, which stands still meanwhile."""
SLOW_S = 0.25

_log = structlog.get_logger()


def pause_s(took_s: float) -> float:
    """How long to wait after a collection that took so long, in seconds."""
    return max(INTERVAL_S, took_s / MAX_SHARE)


async def collect_now_and_then(make_ready: Callable[[], None]) -> NoReturn:
    """Freeze what is there, then collect on a timer, until cancelled; call it after the start.

    Args:
        make_ready: called right before each collection; has to end soon, for nothing else runs.
    """
    before = gc.get_threshold()
    make_ready()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    wait_s = INTERVAL_S
    try:
        while True:
            await asyncio.sleep(wait_s)
            make_ready()
            began_s = time.monotonic()
            found = gc.collect()
            took_s = time.monotonic() - began_s
            wait_s = pause_s(took_s)
            if took_s > SLOW_S:
                _log.warning("collection_was_slow", took_ms=round(took_s * 1000), found=found)
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
