"""How far back a log reaches, measured now and then."""

import asyncio

from rtserver.eventlog.extent import MEASURE_S, ExtentMeter, LogExtent
from rtserver.eventlog.metrics import LogMetrics
from rtserver.model.errors import StoreUnavailableError
from rtserver.observe.metrics import MetricsRegistry
from tests.support.metrics import value_of
from tests.support.warp import run


class Extents:
    """What is found, time after time."""

    def __init__(self, *found: LogExtent | Exception | None) -> None:
        self._found = list(found)

    async def extent(self) -> LogExtent | None:
        match self._found.pop(0):
            case Exception() as error:
                raise error
            case found:
                return found


def test_what_is_found_is_shown_and_stays_while_nothing_is() -> None:
    shown: list[tuple[float, float]] = []

    async def measure() -> None:
        registry = MetricsRegistry()
        extents = Extents(
            LogExtent(60.0, 25, 100),
            StoreUnavailableError("away"),
            None,
            LogExtent(0.0, 0, 100),
        )
        measuring = asyncio.create_task(ExtentMeter(LogMetrics(registry), extents).run())
        for _ in range(4):
            await asyncio.sleep(MEASURE_S / 2)
            names = ("log_horizon_seconds", "log_used_ratio")
            shown.append(tuple(value_of(registry, name) for name in names))  # type: ignore[arg-type]
            await asyncio.sleep(MEASURE_S / 2)
        measuring.cancel()
        await asyncio.gather(measuring, return_exceptions=True)

    run(measure())
    assert shown == [(60.0, 0.25)] * 3 + [(0.0, 0.0)]
