"""Audit recording: actions, chains, the spool on disk."""
