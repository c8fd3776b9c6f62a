"""Signed checkpoints of the audit log: the key, the notes, and where they go."""
