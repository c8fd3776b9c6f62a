"""The archive's margin: how much can be recorded before something is lost."""

import asyncio
import math

from rtserver.audit.archive.metrics import ArchiveMetrics
from rtserver.audit.archive.ports import ArchiveStore, Extent
from rtserver.model.positions import Position

MEASURE_S = 5.0
RATE_S = 60.0


class Margin:
    """How far the archive is from losing something, measured now and then."""

    def __init__(self, metrics: ArchiveMetrics) -> None:
        self._metrics = metrics
        self._next_s = -math.inf
        self._last: tuple[float, Extent] | None = None
        self._records_per_s = 0.0

    async def measure(self, store: ArchiveStore, position: Position | None) -> None:
        """Look, unless that was just done.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        now_s = asyncio.get_running_loop().time()
        if now_s < self._next_s:
            return
        self._next_s = now_s + MEASURE_S
        extent = await store.extent()
        self._note_rate(now_s, extent)
        archived = position.seq if position is not None and position.epoch == extent.epoch else 0
        behind = max(0, extent.head - max(archived, extent.oldest - 1))
        count = extent.head - extent.oldest + 1
        record_bytes = extent.size_bytes / count if count > 0 else 0.0
        margin_bytes = max(0.0, extent.capacity_bytes - behind * record_bytes)
        self._metrics.position.set(archived)
        self._metrics.behind_records.set(behind)
        self._metrics.margin_bytes.set(margin_bytes)
        rate = self._records_per_s * record_bytes
        self._metrics.margin_seconds.set(margin_bytes / rate if rate > 0 else math.inf)

    def _note_rate(self, now_s: float, extent: Extent) -> None:
        if self._last is not None and self._last[1].epoch == extent.epoch:
            passed_s = now_s - self._last[0]
            rate = max(0, extent.head - self._last[1].head) / passed_s
            share = 1 - math.exp(-passed_s / RATE_S)
            # A rise counts at once: the margin should rather be told too small.
            self._records_per_s = max(rate, self._records_per_s * (1 - share) + rate * share)
            if self._records_per_s < 1e-3:
                self._records_per_s = 0.0
        self._last = (now_s, extent)
