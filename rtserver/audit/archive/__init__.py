"""The archive on disk, where audit records are kept."""
