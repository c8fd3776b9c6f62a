"""Settings, read from the environment and flags."""
