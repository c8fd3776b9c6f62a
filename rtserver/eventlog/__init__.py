"""The event log as the core sees it: its port, publishing and history."""
