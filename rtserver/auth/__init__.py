"""Who a request is from: tokens, key sets, origins, client addresses."""
