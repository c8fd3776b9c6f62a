"""`size`: how large the logs, and how many the workers should be for a load."""

import math
from dataclasses import dataclass

from rtserver.config.kinds import GIB, KIB, MIB, format_bytes

AROUND_EVENT_BYTES = 380
"""What the log keeps of an event besides its data, where the event has a document to itself: the
frame's other keys, and what `store.log.collection` says. Taken from the documents of an event of a
proposal; tests/unit/cli/test_size.py looks at one. Those that are published together need less."""
RECORD_BYTES = 634
"""Of an audit record. Measured: size over count of the collection `audit` of a server that people
and programs used."""
CONNECTION_BYTES = 15 * KIB
"""Of an idle connection's share of a worker's memory: docs/benchmarks.md, "memory"."""
WORKER_BYTES = 110 * MIB
"""Of a worker without connections: docs/architecture.md, "Resume"."""
DELIVERIES_PER_S = 30_000
"""Of one worker on one processor, half of what it can: docs/benchmarks.md has 1,000 sockets that
are sent 20 events a second, one by one, at a third of a processor."""
RECORDS_PER_CONNECTION = 2
"""It is opened, and closed."""
CONNECTION_HOURS = 1.0
"""So long a connection is taken to last."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is expected of a server, all workers together.

    Attributes:
        events_per_s: published, on average over `hours`.
        event_bytes: of an event's data.
        hours: how long the logs should reach back: after an absence so long clients still miss
            nothing.
        connections: open at once.
        viewers: of them get each event; None for all.
    """

    events_per_s: float
    event_bytes: int
    hours: float
    connections: int
    viewers: int | None = None

    @property
    def records_per_s(self) -> float:
        """Audit records: one a publication, and those of connections."""
        came = self.connections * RECORDS_PER_CONNECTION / (CONNECTION_HOURS * 3600)
        return self.events_per_s + came


@dataclass(frozen=True, slots=True)
class Size:
    """What a load needs.

    Attributes:
        event_log_bytes, audit_log_bytes: of the collections.
        workers: processes, with a processor each.
        memory_bytes: of all workers, without MongoDB and validators.
        deliveries_per_s: events times those who get each.
    """

    event_log_bytes: int
    audit_log_bytes: int
    workers: int
    memory_bytes: int
    deliveries_per_s: float


def size_of(load: Load) -> Size:
    """What a load needs; the sizes of logs in whole MiB, and no less than the settings take."""
    time_s = load.hours * 3600
    event_bytes = load.event_bytes + AROUND_EVENT_BYTES
    viewers = load.connections if load.viewers is None else load.viewers
    deliveries_per_s = load.events_per_s * viewers
    workers = max(1, math.ceil(deliveries_per_s / DELIVERIES_PER_S))
    return Size(
        _whole_mib(load.events_per_s * time_s * event_bytes, least=4),
        _whole_mib(load.records_per_s * time_s * RECORD_BYTES, least=1),
        workers,
        workers * WORKER_BYTES + load.connections * CONNECTION_BYTES,
        deliveries_per_s,
    )


def _whole_mib(size_bytes: float, *, least: int) -> int:
    return max(least, math.ceil(size_bytes / MIB)) * MIB


def size(load: Load) -> int:
    """Print what a load needs, as settings where there are some, with how it comes to that."""
    found = size_of(load)
    around = f"{load.event_bytes} bytes of data and {AROUND_EVENT_BYTES} around it"
    memory = f"{found.memory_bytes / GIB:.1f} GiB"
    print(
        f"# {load.hours:g} h of {load.events_per_s:g} events a second, each {around}\n"
        f"RT_EVENT_LOG_BYTES={_setting(found.event_log_bytes)}\n"
        f"# {load.hours:g} h of {load.records_per_s:g} records a second, each {RECORD_BYTES} "
        "bytes: one a publication, two a connection that lasts an hour\n"
        f"RT_AUDIT_LOG_BYTES={_setting(found.audit_log_bytes)}\n"
        f"# workers, with a processor each: {found.workers} ({found.deliveries_per_s:,.0f} "
        f"deliveries a second, {DELIVERIES_PER_S:,} each); one more, so that one may fail\n"
        f"# memory of the workers: {memory} ({format_bytes(WORKER_BYTES)} each, and "
        f"{format_bytes(CONNECTION_BYTES)} a connection), without MongoDB and validators"
    )
    return 0


def _setting(size_bytes: int) -> str:
    return format_bytes(size_bytes).replace(" ", "")
