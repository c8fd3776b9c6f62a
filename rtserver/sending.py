"""Sends one batch to many connections, with a second thread where there is time for it.

Most of what a small frame costs is spent in the kernel, where a thread holds no lock of the
interpreter. So two threads get a lone event to a thousand sockets sooner than one. Under load that
would be wasted: the second processor has other things to do, and passing the lock costs more than
is gained. So the second thread helps only after a time in which little was sent.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from rtserver.outbox import Outbox

LEAST_SHARED = 200
"""Fewer connections are done before a second thread has woken up."""
REST_FACTOR = 2.0
"""So many times as long as it lasted nothing was sent since: the worker is not busy with it."""


class Sender:
    """Sends to many. One for a worker, used on its event loop. `close` it in the end."""

    def __init__(self) -> None:
        # Two threads on one processor only get in each other's way.
        self._least = LEAST_SHARED if len(os.sched_getaffinity(0)) > 1 else sys.maxsize
        self._helper = ThreadPoolExecutor(1, thread_name_prefix="fanout")
        self._ended_s = 0.0
        self._lasted_s = 0.0

    def send(self, outboxes: Sequence[Outbox], data: bytes) -> None:
        """Send to each, or keep until its socket takes it. Returns when all was handed in."""
        began_s = time.monotonic()
        if len(outboxes) < self._least or began_s - self._ended_s < self._lasted_s * REST_FACTOR:
            rest = _send_now(iter(outboxes), data)
        else:
            rest = self._share(iter(outboxes), data)
        for outbox, sent in rest:
            outbox.send_rest(data, sent)
        self._ended_s = time.monotonic()
        self._lasted_s = self._ended_s - began_s

    def _share(self, outboxes: Iterator[Outbox], data: bytes) -> list[tuple[Outbox, int]]:
        # Whoever is free takes the next one. Each is taken once: only one thread at a time holds
        # the interpreter's lock while it asks a tuple's iterator.
        helping = self._helper.submit(_send_now, outboxes, data)
        rest = _send_now(outboxes, data)
        if not helping.cancel():
            rest += helping.result()
        return rest

    def close(self) -> None:
        """End the thread."""
        self._helper.shutdown()


def _send_now(outboxes: Iterator[Outbox], data: bytes) -> list[tuple[Outbox, int]]:
    """Send what sockets take at once; those that did not take all, and how much they took."""
    size_bytes = len(data)
    rest: list[tuple[Outbox, int]] = []
    for outbox in outboxes:
        sent = outbox.send_now(data)
        if sent < size_bytes:
            rest.append((outbox, sent))
    return rest
