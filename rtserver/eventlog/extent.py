"""The extent of a log: how much it holds and since when, measured now and then for the operator."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from rtserver.eventlog.metrics import LogMetrics
from rtserver.model.errors import StoreUnavailableError

MEASURE_S = 15.0


@dataclass(frozen=True, slots=True)
class LogExtent:
    """What a log holds.

    Attributes:
        age_s: how long ago its oldest was stored, by MongoDB's clock; 0 where it is empty.
        used_bytes, capacity_bytes: what is in it, and what can be.
    """

    age_s: float
    used_bytes: int
    capacity_bytes: int


class LogExtents(Protocol):
    """Where it is asked for."""

    async def extent(self) -> LogExtent | None:
        """What the log holds now; None where it is not there at the moment.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """


class ExtentMeter:
    """Keeps the metrics of how far back a log reaches, and how full it is."""

    def __init__(self, metrics: LogMetrics, extents: LogExtents) -> None:
        self._metrics = metrics
        self._extents = extents

    async def run(self) -> None:
        """Measure until cancelled. While MongoDB is away the last values stay."""
        while True:
            try:
                extent = await self._extents.extent()
            except StoreUnavailableError:
                extent = None  # readiness and the log of the tail tell of it
            if extent is not None:
                self._metrics.log_horizon_seconds.set(extent.age_s)
                self._metrics.log_used_ratio.set(extent.used_bytes / extent.capacity_bytes)
            await asyncio.sleep(MEASURE_S)
