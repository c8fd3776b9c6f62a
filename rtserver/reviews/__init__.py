"""Proposals, their statuses, comments and edit locks."""
