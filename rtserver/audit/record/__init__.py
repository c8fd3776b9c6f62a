"""Writing it: actions, chains, the spool on disk."""
