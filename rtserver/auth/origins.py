"""Origins: which web pages may talk to the server (RFC 6454)."""

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


class Origins:
    """Same origin, and what the operator has listed."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._listed = sorted(origin.lower().rstrip("/") for origin in allowed)
        self._allowed = frozenset(filter(None, map(_parts, self._listed)))

    def all_listed(self) -> list[str]:
        """The origins that the operator has listed."""
        return self._listed

    def listed(self, origin: str) -> bool:
        """Whether a page of another origin may talk to the server."""
        return _parts(origin) in self._allowed

    def allows(self, origin: str | None, host: str) -> bool:
        """Whether a request may come from this origin.

        Args:
            origin: the Origin header; None where there is none, as from a program.
            host: the Host header. Browsers leave a default port out of both headers, and some
                proxies put it into this one.
        """
        if origin is None or self.listed(origin):
            return True
        parts = _parts(origin)
        # The scheme that the client used is not known here: a proxy may have ended its TLS.
        return parts is not None and _parts(f"{parts.scheme}://{host}") == parts


class _Parts(NamedTuple):
    """Scheme, host and port, which make an origin (RFC 6454 section 4)."""

    scheme: str
    host: str
    port: int


def _parts(origin: str) -> _Parts | None:
    try:
        parts = urlsplit(origin.lower())
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        return None
    return _Parts(
        parts.scheme, parts.hostname, DEFAULT_PORTS[parts.scheme] if port is None else port
    )
