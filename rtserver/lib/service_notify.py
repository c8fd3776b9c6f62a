"""Tells a service manager how a service is, as sd_notify(3) has it."""

import os
import socket


def notify(state: bytes) -> None:
    """Tell who started this process, where that wants to know.

    Args:
        state: an assignment, `READY=1` say.

    Raises:
        OSError: it does not listen any more.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            # A name that begins with @ is one in the abstract namespace, see unix(7).
            sender.sendto(state, f"\0{address[1:]}" if address[0] == "@" else address)
