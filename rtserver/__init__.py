"""The core of rtserver: protocol, dispatch, fan-out, resume, admission."""

__version__ = "0.1.0"
