"""Iterations: a language model rewrites a proposal."""
