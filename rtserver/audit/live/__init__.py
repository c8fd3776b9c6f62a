"""Live audit: the sessions, filters and fan-out of admins who watch."""
