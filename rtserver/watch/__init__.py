"""Watching the user's own MongoDB collections."""
