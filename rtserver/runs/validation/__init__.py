"""Validation runs."""
