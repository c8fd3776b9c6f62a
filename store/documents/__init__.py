"""What is changed in place: proposals, comments, locks, runs, connections, workers."""
