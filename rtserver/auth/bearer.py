"""Bearer tokens in a request: where one travels, and which place wins.

Pure functions of header and query values, so that every way in finds tokens alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

BEARER_SUBPROTOCOL = "bearer"


class TokenSource(StrEnum):
    """The places a token may travel in; where there are several, the first listed wins."""

    HEADER = "header"
    SUBPROTOCOL = "subprotocol"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class FoundToken:
    """A token as it arrived, not yet verified.

    Attributes:
        token: The token; left out of the representation, which may reach a log.
        source: Where it was found.
    """

    token: str = field(repr=False)
    source: TokenSource


def find_token(
    *,
    authorization: str | None = None,
    subprotocols: Sequence[str] = (),
    query: str | None = None,
) -> FoundToken | None:
    """Finds the token of a request.

    A place that holds none, or another scheme such as Basic, is passed over; a place that holds
    a bad one is not, so that what is verified never depends on whether it verifies.

    Args:
        authorization: The value of ``Authorization`` (RFC 6750 section 2.1).
        subprotocols: What `offered_subprotocols` made of ``Sec-WebSocket-Protocol``: a browser
            can set no other header on a WebSocket, so the token follows the name ``bearer``.
        query: The value of the query parameter ``token``.
    """
    if authorization is not None:
        # RFC 9110 section 11.1: the name of a scheme is case-insensitive.
        scheme, _, credentials = authorization.strip().partition(" ")
        if scheme.lower() == "bearer" and credentials.strip():
            return FoundToken(credentials.strip(), TokenSource.HEADER)
    if BEARER_SUBPROTOCOL in subprotocols:
        following = subprotocols[subprotocols.index(BEARER_SUBPROTOCOL) + 1 :]
        if following and following[0]:
            return FoundToken(following[0], TokenSource.SUBPROTOCOL)
    if query:
        return FoundToken(query, TokenSource.QUERY)
    return None


def offered_subprotocols(header: str | None) -> tuple[str, ...]:
    """Splits ``Sec-WebSocket-Protocol`` (RFC 6455 section 11.3.4) into what the client offers."""
    if header is None:
        return ()
    return tuple(name for name in (part.strip() for part in header.split(",")) if name)


def choose_subprotocol(offered: Sequence[str]) -> str | None:
    """What to answer in ``Sec-WebSocket-Protocol``: ``bearer`` where it is offered, else nothing.

    A browser drops a connection whose offer was not answered, so this holds wherever the token
    was found in the end. The token itself is never echoed.
    """
    return BEARER_SUBPROTOCOL if BEARER_SUBPROTOCOL in offered else None
