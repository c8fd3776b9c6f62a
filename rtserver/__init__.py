"""The core of rtserver: protocol, dispatch, fan-out, resume, admission."""
