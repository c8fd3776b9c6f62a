"""Where the audit log meets MongoDB."""
