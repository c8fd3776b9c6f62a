"""Proving it: chains, gaps and seals checked offline."""
