from rtserver.observe.metrics import OTHER, MetricsRegistry, known_or_other
from tests.support.metrics import samples, series, value_of


def test_the_metrics_of_two_servers_in_one_process_are_apart() -> None:
    first, second = MetricsRegistry(), MetricsRegistry()
    counter = first.counter("events", "Events")
    second.counter("events", "Events")
    counter.inc(3)
    assert value_of(first, "events_total") == 3
    assert value_of(second, "events_total") == 0


def test_each_series_is_there_from_the_start() -> None:
    registry = MetricsRegistry()
    registry.counter("ends", "Ends", ["kind", "how"], [["a", "well"], ["a", "ill"], ["b", "well"]])
    registry.gauge("open", "Open", ["kind"], [["a"]])
    labels = {(name, *sorted(pairs)) for name, pairs in series(registry) if "rtserver" in name}
    assert labels == {
        ("rtserver_ends_total", ("how", "well"), ("kind", "a")),
        ("rtserver_ends_total", ("how", "ill"), ("kind", "a")),
        ("rtserver_ends_total", ("how", "well"), ("kind", "b")),
        ("rtserver_open", ("kind", "a")),
    }


def test_a_histogram_counts_by_duration() -> None:
    registry = MetricsRegistry()
    registry.histogram("wait_seconds", "Waits").observe(0.003)
    assert value_of(registry, "wait_seconds_sum") == 0.003
    assert value_of(registry, "wait_seconds_bucket", le="0.0025") == 0
    assert value_of(registry, "wait_seconds_bucket", le="0.005") == 1


def test_a_value_that_a_peer_made_up_is_one_of_the_others() -> None:
    assert known_or_other("GET", ["GET", "PUT"]) == "GET"
    assert known_or_other("BREW", ["GET", "PUT"]) == OTHER


def test_the_process_itself_is_measured() -> None:
    names = {sample.name for sample in samples(MetricsRegistry())}
    assert {"process_resident_memory_bytes", "python_gc_collections_total"} <= names


def test_the_format_is_what_the_scraper_asks_for() -> None:
    registry = MetricsRegistry()
    registry.counter("events", "Events").inc()
    registry.histogram("wait_seconds", "Waits").observe(1)
    body, content_type = registry.render()
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert b"_created" not in body
    body, content_type = registry.render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert b"_created" not in body
    assert body.endswith(b"# EOF\n")
