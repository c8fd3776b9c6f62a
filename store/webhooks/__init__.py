"""Webhooks in MongoDB."""
