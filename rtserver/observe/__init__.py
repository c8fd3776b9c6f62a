"""Log output, metrics and readiness."""
