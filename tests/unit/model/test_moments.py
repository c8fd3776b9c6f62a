from datetime import UTC, datetime, timedelta, timezone

from rtserver.model.moments import now_rfc3339, rfc3339


def test_times_are_utc_with_milliseconds() -> None:
    moment = datetime(2026, 3, 1, 12, 0, 0, 123_987, timezone(timedelta(hours=2)))
    assert rfc3339(moment) == "2026-03-01T10:00:00.123Z"
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    assert before <= datetime.fromisoformat(now_rfc3339()) <= datetime.now(UTC)
