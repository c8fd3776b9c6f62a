"""Lease trust: leases that look lapsed after an outage are left alone for a while."""

from rtserver.lib.lease_trust import LeaseTrust

LEASE_S = 15.0
ROUND_S = LEASE_S / 3


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def renew_for(trust: LeaseTrust, clock: Clock, time_s: float) -> None:
    """Renew as a worker does, every third of the lease."""
    for _ in range(round(time_s / ROUND_S)):
        clock.now_s += ROUND_S
        trust.renewed()


def test_at_the_start_one_round_is_waited_for() -> None:
    clock = Clock()
    trust = LeaseTrust(LEASE_S, now_s=clock)
    assert not trust.holds()
    renew_for(trust, clock, ROUND_S)
    assert trust.holds()


def test_it_holds_for_as_long_as_the_own_lease_is_renewed() -> None:
    clock = Clock()
    trust = LeaseTrust(LEASE_S, now_s=clock)
    renew_for(trust, clock, 10 * LEASE_S)
    clock.now_s += ROUND_S
    assert trust.holds()


def test_during_an_outage_nothing_has_lapsed() -> None:
    clock = Clock()
    trust = LeaseTrust(LEASE_S, now_s=clock)
    renew_for(trust, clock, LEASE_S)
    clock.now_s += LEASE_S
    # MongoDB may answer again already: others may not have noticed.
    assert not trust.holds()


def test_after_an_outage_all_get_a_lease_to_renew() -> None:
    clock = Clock()
    trust = LeaseTrust(LEASE_S, now_s=clock)
    renew_for(trust, clock, LEASE_S)
    clock.now_s += 60
    trust.renewed()
    renew_for(trust, clock, LEASE_S - ROUND_S)
    assert not trust.holds()
    renew_for(trust, clock, ROUND_S)
    assert trust.holds()


def test_longer_leases_get_as_long_as_they_last() -> None:
    clock = Clock()
    trust = LeaseTrust(LEASE_S, now_s=clock)
    renew_for(trust, clock, 120)
    assert trust.holds(120)
    clock.now_s += 60
    trust.renewed()
    renew_for(trust, clock, 60)
    assert trust.holds()
    assert not trust.holds(120)
    renew_for(trust, clock, 60)
    assert trust.holds(120)


def test_a_failover_of_seconds_in_which_no_lease_can_lapse_is_no_outage() -> None:
    clock = Clock()
    trust = LeaseTrust(LEASE_S, now_s=clock)
    renew_for(trust, clock, 2 * LEASE_S)
    clock.now_s += ROUND_S + 4
    trust.renewed()
    assert trust.holds()
