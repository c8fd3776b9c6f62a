"""Close codes: why the server closes a session, and what the client should do about it.

Codes 4000 to 4999 are for private use between applications (RFC 6455 section 7.4.2). The same
codes are sent on WebSocket and SockJS; an SSE stream ends after a `closing` event that carries one.
"""

import enum
import random
from dataclasses import dataclass


class CloseCode(enum.IntEnum):
    """The close codes of rtserver. Each has an `Advice` in `ADVICE`."""

    GOING_AWAY = 1001
    INTERNAL_ERROR = 1011
    UNAUTHORIZED = 4001
    FORBIDDEN = 4003
    TOO_SLOW = 4008
    REPLACED = 4009
    NO_PONG = 4010
    TOO_MANY_MESSAGES = 4029
    PROJECT_FULL = 4053
    PROTOCOL_ERROR = 4400


@dataclass(frozen=True, slots=True)
class Advice:
    """What goes with a close code.

    Attributes:
        reason: the words that travel in the close frame and in `closing`; at most 123 bytes
            (RFC 6455 section 5.5).
        reconnect: whether the client should come back by itself.
        retry_after_ms: lower and upper end of the wait proposed to the client; each client gets
            its own random value between them, so that thousands do not come back at once.
    """

    reason: str
    reconnect: bool
    retry_after_ms: tuple[int, int] = (0, 0)


ADVICE: dict[CloseCode, Advice] = {
    CloseCode.GOING_AWAY: Advice("The server is restarting", True, (200, 2000)),
    CloseCode.INTERNAL_ERROR: Advice("Internal error", True, (1000, 5000)),
    CloseCode.UNAUTHORIZED: Advice("Unauthorized", False),
    CloseCode.FORBIDDEN: Advice("Forbidden", False),
    CloseCode.TOO_SLOW: Advice("Too slow: reconnect and resume", True, (500, 2000)),
    CloseCode.REPLACED: Advice("Replaced by a newer connection of the same user", False),
    CloseCode.NO_PONG: Advice("No pong in time", True, (0, 1000)),
    CloseCode.TOO_MANY_MESSAGES: Advice("Too many messages", True, (5000, 10000)),
    CloseCode.PROJECT_FULL: Advice("The project has no free connection", True, (5000, 15000)),
    CloseCode.PROTOCOL_ERROR: Advice("Protocol error", False),
}


def retry_after_ms(code: CloseCode) -> int | None:
    """A random wait for one client, in milliseconds; None where it should not come back."""
    advice = ADVICE[code]
    if not advice.reconnect:
        return None
    low, high = advice.retry_after_ms
    return random.randint(low, high)  # noqa: S311 - spreads load, guards nothing
