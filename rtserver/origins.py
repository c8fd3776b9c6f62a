"""Which web pages may talk to the server (RFC 6454)."""

from collections.abc import Iterable
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


class Origins:
    """Same origin, and what the operator has listed."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(origin.lower().rstrip("/") for origin in allowed)

    def all_listed(self) -> list[str]:
        """The origins that the operator has listed."""
        return sorted(self._allowed)

    def listed(self, origin: str) -> bool:
        """Whether a page of another origin may talk to the server."""
        return origin.lower().rstrip("/") in self._allowed

    def allows(self, origin: str | None, host: str) -> bool:
        """Whether a request may come from this origin.

        Args:
            origin: the Origin header; None where there is none, as from a program.
            host: the Host header.
        """
        if origin is None:
            return True
        return self.listed(origin) or _host_of(origin) == host.lower()


def _host_of(origin: str) -> str | None:
    try:
        parts = urlsplit(origin.lower())
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if port is None or port == DEFAULT_PORTS[parts.scheme]:
        return host
    return f"{host}:{port}"
