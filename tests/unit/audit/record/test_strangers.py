"""Refusals of strangers: joined, bounded, and nothing that concerns users."""

import time
from typing import Any

import pytest

from rtserver.audit.record import strangers as module
from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.auditor import Auditor
from rtserver.audit.record.metrics import AuditMetrics
from rtserver.audit.record.strangers import (
    ALONE,
    MAX_ADDRESSES,
    SHARE_BURST,
    Strangers,
    share_of,
)
from rtserver.lib.rate_limit import TokenBucket
from rtserver.observe.metrics import MetricsRegistry
from tests.unit.audit.parts import KeyedLog


class Records(Auditor):
    def __init__(self) -> None:
        self.all: list[tuple[Action, Outcome, str | None, dict[str, Any]]] = []

    def record(
        self,
        action: Action,
        outcome: Outcome = Outcome.ALLOWED,
        *,
        target: str | None = None,
        project_id: str | None = None,
        by: Acting | None = None,
        **details: Any,
    ) -> None:
        assert target is None
        assert project_id is None
        known = {key: value for key, value in details.items() if value is not None}
        self.all.append((action, outcome, by.ip if by else None, known))


def refuse(
    strangers: Strangers, ip: str | None = "192.0.2.1", reason: str = "expired", path: str = "/a"
) -> bool:
    return strangers.refused(
        Action.TOKEN_REFUSED,
        Outcome.DENIED,
        Acting(ip=ip, path=path),
        target=None,
        project_id=None,
        details={"reason": reason, "path": path},
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    now = ["10:00:00"]
    monkeypatch.setattr(module, "now_rfc3339", lambda: now[0])
    return now


def test_the_first_are_records_and_what_follows_is_joined(clock: list[str]) -> None:
    records = Records()
    strangers = Strangers(records, TokenBucket(0, SHARE_BURST, 0))
    for _ in range(ALONE):
        refuse(strangers)
    alone = (Action.TOKEN_REFUSED, Outcome.DENIED, "192.0.2.1", {"reason": "expired", "path": "/a"})
    assert records.all == [alone] * ALONE
    for clock[0] in ("10:00:01", "10:00:02", "10:00:03"):
        refuse(strangers, path=f"/{clock[0]}")
    assert records.all == [alone] * ALONE
    strangers.flush()
    details = {"reason": "expired", "path": "/10:00:01", "count": 3}
    assert records.all[ALONE:] == [
        (*alone[:3], {**details, "first": "10:00:01", "last": "10:00:03"}),
    ]


def test_who_goes_on_is_counted_on_and_who_stops_is_forgotten() -> None:
    records = Records()
    strangers = Strangers(records, TokenBucket(0, SHARE_BURST, 0))
    for _ in range(ALONE + 1):
        refuse(strangers)
    strangers.flush()
    refuse(strangers)  # no record by itself: it goes on
    assert len(records.all) == ALONE + 1
    strangers.flush()
    assert [details["count"] for *_, details in records.all[ALONE:]] == [1, 1]
    strangers.flush()  # nothing came
    assert len(records.all) == ALONE + 2
    refuse(strangers)
    assert "count" not in records.all[ALONE + 2][3]


def test_addresses_reasons_and_networks_are_told_apart() -> None:
    records = Records()
    strangers = Strangers(records, TokenBucket(0, SHARE_BURST, 0))
    for _ in range(ALONE):
        refuse(strangers, "192.0.2.1")
        refuse(strangers, "192.0.2.2")
        refuse(strangers, "192.0.2.1", "missing")
        refuse(strangers, "2001:db8::1")
        refuse(strangers, None)
    refuse(strangers, "2001:db8::2")  # the same network
    assert len(records.all) == 5 * ALONE
    strangers.flush()
    (joined,) = records.all[5 * ALONE :]
    assert (joined[2], joined[3]["count"]) == ("2001:db8::1", 1)


def test_a_flood_from_everywhere_is_a_bounded_number_of_records() -> None:
    records = Records()
    strangers = Strangers(records, TokenBucket(0, SHARE_BURST, 0))
    for minute in range(3):
        before = len(records.all)
        for number in range(20_000):
            reason = ("expired", "missing")[number % 2]
            refuse(strangers, f"10.{minute}.{number // 200 % 200}.{number % 200}", reason)
        assert len(strangers._joined) <= MAX_ADDRESSES + 2
        strangers.flush()
        assert len(records.all) - before <= 2 * MAX_ADDRESSES + 2
    assert not refuse(strangers)  # users are long spared the sight of it
    records.all.pop()
    counts = [details.get("count", 1) for *_, details in records.all]
    assert sum(counts) == 60_000  # none is lost
    others = [details for _, _, ip, details in records.all if ip is None]
    assert {details["reason"] for details in others} == {"expired", "missing"}
    assert not any("path" in details for details in others)


def test_only_strangers_are_sent_there(tmp_path: Any) -> None:
    records = Records()
    log = KeyedLog()
    auditor = Auditor(
        log,
        AuditMetrics(MetricsRegistry()),
        tmp_path,
        worker_id="w1",
        spool_bytes=1 << 20,
        strangers=Strangers(records, TokenBucket(0, SHARE_BURST, 0)),
    )
    try:
        stranger = Acting(ip="192.0.2.1", path="/api")
        auditor.record(Action.TOKEN_REFUSED, Outcome.DENIED, by=stranger, reason="expired")
        assert (auditor.n, len(records.all), stranger.recorded) == (1, 1, 1)  # it is in both
        for by in (Acting(), Acting(ip="192.0.2.1", actor="ada"), Acting(actor="ada")):
            auditor.record(Action.TOKEN_REFUSED, Outcome.DENIED, by=by, reason="expired")
        assert (auditor.n, len(records.all)) == (4, 1)
    finally:
        auditor.close()


def test_users_see_the_first_of_it_and_no_more_than_a_share_of_their_log() -> None:
    strangers = Strangers(Records(), TokenBucket(0, SHARE_BURST, 0))
    seen = [refuse(strangers, f"192.0.2.{number // 10}") for number in range(1000)]
    assert sum(seen) == SHARE_BURST
    assert seen[:10] == [True] * ALONE + [False] * (10 - ALONE)
    share = share_of(8 * 1024 * 1024)
    later_s = time.monotonic() + 10
    assert sum(share.take(later_s) for _ in range(1000)) == SHARE_BURST
    # A day later there is room for 128 of a KiB, of 8,192 that the log has; not all at once.
    assert sum(share.take(later_s + 864 * hundredth) for hundredth in range(1, 101)) == 100
