"""Keeping it: the archive on disk."""
