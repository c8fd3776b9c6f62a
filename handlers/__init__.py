"""Ways in: each handler authenticates, translates and hands over to the core."""
