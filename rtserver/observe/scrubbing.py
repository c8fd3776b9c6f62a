"""Token redaction: takes whatever may be a token out of texts for logs and records."""

import re

SCRUBBED = "[token]"
"""What is written in the place of a token."""

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
    ``t%6Fken=`` is ``token=`` to the server that reads the address.
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
