"""Presence: who is in a project, over all workers."""
