"""Revisions: a proposal's text as it was at each moment, and the verdicts on exactly that text."""
