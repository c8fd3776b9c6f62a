"""Commits in a workspace's repository, by git's plumbing: some files, and nothing else in it."""
