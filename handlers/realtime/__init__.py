"""WebSocket and SSE."""
