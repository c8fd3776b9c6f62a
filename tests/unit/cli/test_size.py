"""`size`: sizes for a load."""

import bson
import pytest

from rtserver.cli.size import AROUND_EVENT_BYTES, Load, size, size_of
from rtserver.config.kinds import MIB
from rtserver.config.settings import Settings
from rtserver.eventlog.publishing import PublishedEvent, draft_of
from rtserver.model.events import pack_item
from store.log.collection import pack_document


def test_what_is_around_an_events_data_is_what_the_log_keeps_of_one() -> None:
    data = {"text": "x" * 100}
    event = PublishedEvent("build.finished", data, "add-hold-queue", "proposal")
    drafted = draft_of(event, "library-system", "ci-service", max_data_bytes=1000)
    document = pack_document(
        bson.ObjectId(), "library-system", 1, [pack_item(drafted)], digest=None
    )
    around_bytes = len(bson.encode(document)) - len('{"text":""}') - 100
    assert 0.95 * AROUND_EVENT_BYTES <= around_bytes <= 1.05 * AROUND_EVENT_BYTES


def test_sizes_grow_with_what_they_depend_on() -> None:
    load = Load(events_per_s=20, event_bytes=200, hours=24, connections=2_000)
    found = size_of(load)
    assert found.event_log_bytes == 956 * MIB  # 1,728,000 events of 580 bytes
    assert found.deliveries_per_s == 40_000
    assert found.workers == 2
    few = size_of(Load(20, 200, 48, 2_000, viewers=10))
    assert few.workers == 1
    assert few.event_log_bytes > 1.9 * found.event_log_bytes
    assert few.memory_bytes < found.memory_bytes


def test_what_is_printed_can_be_set(capsys: pytest.CaptureFixture[str]) -> None:
    for load in (Load(20, 200, 24, 2_000), Load(0.001, 0, 0.1, 0)):
        assert size(load) == 0
        lines = capsys.readouterr().out.splitlines()
        environ = dict(line.split("=") for line in lines if not line.startswith("#"))
        settings = Settings.load(environ, {})
        found = size_of(load)
        assert settings.event_log_bytes == found.event_log_bytes
        assert settings.audit_log_bytes == found.audit_log_bytes
