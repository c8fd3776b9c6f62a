"""Long jobs on a proposal: queue, leases, progress."""
