"""Trust in leases that a test takes away and gives back, without waiting."""

from rtserver.lib.lease_trust import LeaseTrust

_LEASE_S = 15.0


class ScriptedTrust(LeaseTrust):
    """Holds, until an outage begins and again when it is long over. Time is the test's."""

    def __init__(self) -> None:
        self._time_s = 0.0
        super().__init__(_LEASE_S, now_s=lambda: self._time_s)
        self.over()

    def outage(self) -> None:
        """The worker's own lease could not be renewed for a while."""
        self._time_s += _LEASE_S

    def over(self) -> None:
        """All owners have had the time to renew, of whatever leases."""
        self.renewed()
        for _ in range(1000):
            self._time_s += _LEASE_S / 3
            self.renewed()
