"""Watching it: its sessions, filters and fan-out."""
