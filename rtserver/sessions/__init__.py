"""One client connection: its session, its messages, its commands, admission."""
