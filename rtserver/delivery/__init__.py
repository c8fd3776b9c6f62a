"""Delivery from the log to the sockets: dispatcher, feeds, fan-out, send buffers, resume."""
