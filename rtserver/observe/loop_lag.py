"""Event loop lag: how much later than asked for the event loop wakes a task."""

import asyncio
from collections import deque
from typing import NoReturn

from rtserver.observe.metrics import MetricsRegistry

_INTERVAL_S = 0.1
_WINDOW_SAMPLES = 600


class LoopLag:
    """Samples the lag of the event loop.

    Attributes:
        lag_seconds: the lag of each sample. In Prometheus: `rtserver_event_loop_lag_seconds`, and
            `rtserver_event_loop_lag_max_seconds` for the largest of the last 60 s.
    """

    def __init__(self, registry: MetricsRegistry) -> None:
        self._lags_s: deque[float] = deque(maxlen=_WINDOW_SAMPLES)
        self.lag_seconds = registry.histogram(
            "event_loop_lag_seconds", "How much too late the event loop woke its sampler"
        )
        largest = registry.gauge(
            "event_loop_lag_max_seconds", "The largest event loop lag of the last 60 s"
        )
        largest.set_function(lambda: max(self._lags_s, default=0.0))

    async def watch(self, interval_s: float = _INTERVAL_S) -> NoReturn:
        """Sample until cancelled; the caller owns the task.

        Args:
            interval_s: time between samples. A stall shorter than this may fall between two.
        """
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + interval_s
            await asyncio.sleep(interval_s)
            lag_s = max(0.0, loop.time() - due_s)
            self._lags_s.append(lag_s)
            self.lag_seconds.observe(lag_s)
