"""The transport of a session: one connection to a client, whatever its kind."""

from typing import Protocol

from rtserver.delivery.send_buffer import Sink
from rtserver.delivery.wire_forms import Encoding


class Transport(Protocol):
    """One connection to a client."""

    @property
    def encoding(self) -> Encoding:
        """Its wire form."""

    @property
    def sink(self) -> Sink:
        """Takes bytes in that form."""

    def ping(self) -> None:
        """Ask the client for a sign of life; `Session.on_pong` reports it."""

    def close(self, code: int, reason: str, retry_after_ms: int | None = None) -> None:
        """End the connection in an orderly way, after what was written.

        Args:
            code: of the close.
            reason: in words.
            retry_after_ms: when the client should come back, which it was told already; None where
                it should stay away.
        """

    def abort(self) -> None:
        """Drop the connection."""


class Gone:
    """The transport of a session whose connection is gone."""

    encoding = Encoding.WEBSOCKET

    @property
    def sink(self) -> Sink:
        """No sink: nothing can be sent."""
        raise AssertionError("a connection that is gone has no sink")

    def ping(self) -> None:
        """Nobody is there."""

    def close(self, code: int, reason: str, retry_after_ms: int | None = None) -> None:
        """It is closed."""

    def abort(self) -> None:
        """It is closed."""


GONE = Gone()
"""What a session has where its connection was; it keeps nothing of the connection alive."""
