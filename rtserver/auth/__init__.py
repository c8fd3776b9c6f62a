"""Authentication: tokens, key sets, origins, client addresses."""
