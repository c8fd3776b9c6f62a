"""Audit verification: chains, gaps and seals, checked offline."""
