"""Where a token travels in a request, and how it is kept out of the logs.

Pure functions of header and query values, so that every way in finds tokens alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

BEARER_SUBPROTOCOL = "bearer"
SCRUBBED = "[token]"


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


# Each pattern starts at a fixed word or at the start of a run, and repeats single character
# classes only, so the time to scrub a line that a stranger chose grows with its length and no
# faster. What they take may be more than a token; it is never less.
_AFTER_BEARER = re.compile(
    r"""(?xi)
    ( (?: bearer (?: [\s,:"'+\\] | %20 | %2C )+ )+ )  # a header, a subprotocol pair, a repr
    [^\s,"'\\]+
    """
)
_AFTER_EQUALS = re.compile(
    r"""(?xi)
    ( token (?: = | %3D ) ["']? )                     # a query, a fragment, a key=value log line
    [^\s&"'<>\#]+
    """
)
_AFTER_COLON = re.compile(
    r"""(?xi)
    ( token [\\"']+ \s* : \s* [\\"']+ )               # JSON, JSON within JSON, a dict's repr
    [^"'\\]+
    """
)
# A JWT starts with the base64url of "{", then of '"' or white space.
_JWT = re.compile(
    r"""(?x)
    eyJ [A-Za-z0-9_.=-]+
    | (?<! [A-Za-z0-9_-] ) e[wy] [A-Za-z0-9_-]{8,}+ \. [A-Za-z0-9_.=-]+
    """
)


# Letters, digits and "-._~", which nobody needs to escape in an address (RFC 3986 section 2.3).
_ESCAPED_UNRESERVED = re.compile(r"(?i)%(2[DE]|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])")


def scrub(text: str) -> str:
    """Replaces whatever may be a token in a text by ``[token]``, for logs.

    It finds ``token=...`` in URLs, ``Bearer ...``, the pair ``bearer, ...``, JSON's
    ``"token":"..."`` and bare JWTs, whole or cut short. Rather too much is taken than too little.
    Characters that are escaped as in an address, though they need not be, are shown as themselves:
    ``t%6Fken=`` is ``token=`` to whoever reads the address.
    """
    if "%" in text:
        text = _ESCAPED_UNRESERVED.sub(lambda escaped: chr(int(escaped[1], 16)), text)
    # Nearly every text has nothing to hide, and a search for a word costs far less than a pattern.
    folded = text.casefold()
    if not ("token" in folded or "bearer" in folded or "ey" in text or "ew" in text):
        return text
    text = _AFTER_BEARER.sub(rf"\1{SCRUBBED}", text)
    text = _AFTER_EQUALS.sub(rf"\1{SCRUBBED}", text)
    text = _AFTER_COLON.sub(rf"\1{SCRUBBED}", text)
    return _JWT.sub(SCRUBBED, text)
