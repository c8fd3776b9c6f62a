from rtserver.eventlog.metrics import LogMetrics
from rtserver.observe.metrics import MetricsRegistry
from tests.support.metrics import value_of


def test_the_events_and_the_audit_records_are_counted_apart() -> None:
    registry = MetricsRegistry()
    events = LogMetrics(registry)
    records = LogMetrics(registry, items="records", prefix="audit_")
    events.events_published_total.inc(2)
    events.events_delivered_total.inc(500)
    records.events_published_total.inc(3)
    records.events_delivered_total.inc(700)
    for log in (events, records):
        log.tail_up.set(1)
        log.tail_restarts_total.inc()
        log.publish_queue_bytes.set(4096)
        log.delivery_latency_seconds.observe(0.003)
        with log.publish_duration_seconds.time():
            pass
    assert value_of(registry, "events_published_total") == 2
    assert value_of(registry, "events_delivered_total") == 500
    assert value_of(registry, "audit_records_published_total") == 3
    assert value_of(registry, "audit_records_delivered_total") == 700
    for prefix in ("", "audit_"):
        assert value_of(registry, f"{prefix}tail_up") == 1
        assert value_of(registry, f"{prefix}tail_restarts_total") == 1
        assert value_of(registry, f"{prefix}publish_queue_bytes") == 4096
        assert value_of(registry, f"{prefix}publish_duration_seconds_count") == 1
        assert value_of(registry, f"{prefix}delivery_latency_seconds_sum") == 0.003
