"""A worker's metrics registry, from which each package declares its own metrics for Prometheus.

The registry is the object's own, so that several servers in one process don't share numbers. Every
label value comes from a closed set and its series exists from the start: a rate over a series that
appears with its first event misses that event, and a peer can't make series at will.
"""

from collections.abc import Container, Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

OTHER = "other"
"""The label for a value that is in none of the sets, since a peer chose it."""

_NAMESPACE = "rtserver"
_FAST_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def known_or_other(value: str, known: Container[str]) -> str:
    """The value itself where it is known, else `OTHER`."""
    return value if value in known else OTHER


class MetricsRegistry:
    """The metrics of one worker. In Prometheus each name starts with `rtserver_`.

    The process's memory, files and garbage collection are measured from the start. Metrics with
    labels are given all the values that their labels may have.
    """

    def __init__(self) -> None:
        # A time of creation for each series would double what is encoded on the event loop at each
        # scrape, and all of them are the process's start (`process_start_time_seconds`).
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def counter(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        series: Iterable[Sequence[str]] = (),
    ) -> Counter:
        """Declare a counter; Prometheus adds `_total` to its name.

        Args:
            name: without the namespace.
            documentation: the text of the metric's HELP line.
            labels: names of the labels.
            series: the values of the labels, for each series that there may be.
        """
        counter = Counter(
            name, documentation, labels, namespace=_NAMESPACE, registry=self._registry
        )
        for values in series:
            counter.labels(*values)
        return counter

    def gauge(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        series: Iterable[Sequence[str]] = (),
    ) -> Gauge:
        """Declare a gauge; the arguments are as for `counter`."""
        gauge = Gauge(name, documentation, labels, namespace=_NAMESPACE, registry=self._registry)
        for values in series:
            gauge.labels(*values)
        return gauge

    def histogram(
        self, name: str, documentation: str, buckets: Sequence[float] = _FAST_S
    ) -> Histogram:
        """Declare a histogram of durations in seconds."""
        return Histogram(
            name, documentation, buckets=buckets, namespace=_NAMESPACE, registry=self._registry
        )

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The metrics as text, and its content type.

        Args:
            accept: the request's Accept header; it may ask for OpenMetrics.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type
