"""A child process that never outlives its worker, and its output."""
