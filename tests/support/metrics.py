"""What a metrics registry tells Prometheus."""

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from rtserver.observe.metrics import MetricsRegistry


def samples(registry: MetricsRegistry) -> list[Sample]:
    """Every sample that a scrape shows."""
    text = registry.render()[0].decode()
    return [s for family in text_string_to_metric_families(text) for s in family.samples]


def value_of(registry: MetricsRegistry, name: str, **labels: str) -> float:
    """The value of one series; `name` is without the namespace."""
    (value,) = (
        s.value for s in samples(registry) if s.name == f"rtserver_{name}" and s.labels == labels
    )
    return value


def series(registry: MetricsRegistry) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """The name and the labels of every series."""
    return {(sample.name, frozenset(sample.labels.items())) for sample in samples(registry)}
