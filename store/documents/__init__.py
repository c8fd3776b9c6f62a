"""Documents that are changed in place: proposals, comments, locks, runs, connections, workers."""
