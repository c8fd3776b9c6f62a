"""The sender: writes one batch to many connections."""

from collections.abc import Sequence

import structlog

from rtserver.delivery.io_uring import ENTRIES, NoRingError, SendRing
from rtserver.delivery.send_buffer import Outbox, descriptors

LEAST_TOGETHER = 8
"""Fewer sends than this cost no more one by one."""

_log = structlog.get_logger()


def open_ring() -> SendRing | None:
    """A ring, where this system has them."""
    try:
        return SendRing()
    except NoRingError as error:
        _log.info("no_send_ring", reason=str(error))
        return None


class Sender:
    """Sends to many. One for a worker, used on its event loop. `close` it in the end."""

    def __init__(self, ring: SendRing | None = None) -> None:
        """Make a sender.

        Args:
            ring: takes many sends at once; closed with the sender. Unless given, each is made by
                itself.
        """
        self._ring = ring

    def send(self, outboxes: Sequence[Outbox], data: bytes) -> None:
        """Send to each, or keep until its socket takes it."""
        for start in range(0, len(outboxes), ENTRIES):
            self._send_together(outboxes[start : start + ENTRIES], data)

    def _send_together(self, outboxes: Sequence[Outbox], data: bytes) -> None:
        ring = self._ring
        if ring is None or len(outboxes) < LEAST_TOGETHER:
            for outbox in outboxes:
                outbox.send(data)
            return
        taken = ring.send(descriptors(outboxes), data)
        size_bytes = len(data)
        if taken.count(size_bytes) < len(taken):
            for outbox, sent in zip(outboxes, taken, strict=True):
                if sent < 0:
                    outbox.send(data)  # it knows what to do, whatever is in the way
                elif sent < size_bytes:
                    outbox.send_rest(data, sent)
        if ring.failure is not None:
            _log.warning("send_ring_failed", reason=ring.failure)
            self.close()

    def close(self) -> None:
        """Give the ring back. What is sent after that is sent one by one."""
        ring, self._ring = self._ring, None
        if ring is not None:
            ring.close()
