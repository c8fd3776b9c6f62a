"""Signed webhooks: events of the log for those who are not connected. See docs/webhooks.md."""
