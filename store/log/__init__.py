"""The event log in capped collections."""
