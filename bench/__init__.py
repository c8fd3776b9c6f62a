"""Benchmarks against peers, side by side on one machine. See docs/benchmarks.md."""
