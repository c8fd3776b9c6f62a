import pytest

from rtserver.audit.record.actions import Acting, Action, matching
from rtserver.model.connection import ConnectionRecord
from rtserver.model.events import AUDIT_PROJECT


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("lock.expired", {"lock.expired"}),
        ("lock.*", {"lock.acquired", "lock.released", "lock.expired"}),
        ("lock.e*", {"lock.expired"}),
        ("*", {*Action}),
        ("lock", set()),
        ("lock.", set()),
        ("", set()),
    ],
)
def test_a_pattern_stands_for_one_action_or_for_all_that_begin_so(
    pattern: str, found: set[str]
) -> None:
    assert set(matching(pattern)) == found


def test_a_connection_acts_for_its_user_in_its_project() -> None:
    record = ConnectionRecord("c1", "w1", "ada", "p1", "sse", 0.0, ip="203.0.113.7")
    acting = Acting.of(record)
    assert (acting.actor, acting.project_id, acting.connection_id) == ("ada", "p1", "c1")
    assert acting.ip == "203.0.113.7"


def test_who_watches_the_audit_log_acts_in_no_project() -> None:
    record = ConnectionRecord("c1", "w1", "root", AUDIT_PROJECT, "websocket", 0.0)
    acting = Acting.of(record)
    assert (acting.project_id, acting.ip) == (None, None)
